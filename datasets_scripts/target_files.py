"""Targets, numbers such as valence or the strength of a sentiment, from a table beside the features of a corpus."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .builder import CorpusError, first_few, warn_once
from .table_rows import number_of, text_of
from .text_files import open_text, read_csv, split_header

Key = tuple[str | None, str]


def find_target_file(folder: Path, names: Sequence[str]) -> Path:
    """Returns the only CSV file of a folder that has the columns `utterance_id` and `names`.

    Raises:
        CorpusError: if there is none, or several.
    """
    found = []
    tables = sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))
    for path in tables:
        with open_text(path) as file:
            columns = split_header(file.readline(), ["utterance_id", *names])[0]
        if {"utterance_id", *names} <= set(columns):
            found.append(path)
    if len(found) != 1:
        what = f"several tables have them: {', '.join(p.name for p in found)}" if found else "no table has them"
        listed = f" (its tables: {first_few([p.name for p in tables])})" if tables and not found else ""
        raise CorpusError(
            f"targets {', '.join(names)}: {what} in {folder}{listed}: put a CSV there with the columns utterance_id, "
            f"{', '.join(names)}, or name it with target_file"
        )
    return found[0]


class TargetTable:
    """The targets of utterances in a CSV with `utterance_id`, optionally `dialogue_id`, and a column for each target.

    Args:
        path: the file.
        names: names of the targets.

    Raises:
        CorpusError: if a column is missing, a cell is no number, or two rows have the same ids.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self.names = path, list(names)
        self.rows: dict[Key, Mapping[str, float | None]] = {}
        for row in read_csv(path, ["utterance_id", *names], "give the file with utterance_id and the targets"):
            key = text_of(row, "dialogue_id"), text_of(row, "utterance_id") or ""
            if key in self.rows:
                raise CorpusError(f"{row.place}: utterance {key[1]} is there twice: keep one of the two rows")
            self.rows[key] = {name: number_of(row, name) for name in names}

    def __call__(self, dialogue_id: str, utterance_id: str) -> Mapping[str, float | None]:
        """Returns the targets of an utterance, None for each where the table has no row."""
        return self._row(dialogue_id, utterance_id) or dict.fromkeys(self.names)

    def check(self, corpus: Path, ids: Sequence[tuple[str, str]]) -> None:
        """Warns of utterances without a row; raises `CorpusError` where no utterance of the corpus has one.

        Args:
            corpus: the corpus, for the message.
            ids: dialogue id and utterance id of each utterance.
        """
        missing = [pair[1] for pair in ids if self._row(*pair) is None]
        if len(missing) == len(ids):
            raise CorpusError(
                f"{self.path}: none of its rows (the first is {next(iter(self.rows))[1]}) belongs to an utterance of "
                f"{corpus} (the first is {missing[0]}): write the utterance ids of the corpus"
            )
        if missing:
            warn_once(f"{self.path}: {len(missing)} of {len(ids)} utterances have no row ({first_few(missing)})")

    def _row(self, dialogue_id: str, utterance_id: str) -> Mapping[str, float | None] | None:
        return self.rows.get((dialogue_id, utterance_id)) or self.rows.get((None, utterance_id))
