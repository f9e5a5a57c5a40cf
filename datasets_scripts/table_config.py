"""Options of users' own tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .builder import TextConfig, check_names
from .schema import FEATURE_COLUMNS, MODALITY_NAMES
from .split_draw import SPLIT_BY, SPLITS
from .table_files import read_rows
from .text_files import Row

MODALITIES = tuple(MODALITY_NAMES.values())
FIELDS: tuple[str, ...] = (
    "dialogue_id",
    "utterance_id",
    "order",
    "speaker",
    *MODALITIES,
    "start",
    "end",
    "label",
    "split",
    *FEATURE_COLUMNS.values(),
)


@dataclass
class TableConfig(TextConfig):
    """Options of a table.

    Args:
        normalize_text: whether to repair encoding errors and to replace typographic punctuation in texts and speaker
            names; off by default.
        columns: the column of the file for each field with another name, such as `{"text": "Utterance"}`.
        labels: class names in the order of their indices; default is those of the table, sorted. Give them if the order
            has to be that of another corpus or of a trained model, or to name a class that reads like a mark of an
            unlabelled utterance.
        label_map: class name for each label that the table writes in another way, such as `{"0": "joy", "ärger":
            "anger"}`; null for a label that is read as unlabelled.
        split_map: split (train, dev or test) of each name that the file gives to a split in another way, such as
            `{"fold 1": "test"}`; the usual names (Development, valid, Test1, ...) need no entry.
        split_by: how to draw dev or test if the table has none: "dialogue"; "speaker" for splits without a common
            speaker; "auto" for "speaker" where speakers repeat across dialogues and such a draw exists, else
            "dialogue"; "none" draws nothing.
        split_seed: seed of this draw.
        dev_share: share of the training dialogues that become dev.
        test_share: share of the training dialogues that become test.
        targets: columns of numbers to predict, such as ["valence", "arousal"]; an empty cell is a missing value. With
            them the label column may be missing.
        label_columns: columns of labels of which an utterance may have several, such as ["joy", "anger"]: a number
            above 0 is a label that it has. They replace the label column.
        media_dir: folder that relative audio and video paths start from; default is that of the table.

    Raises:
        ValueError: if an option has a value that it cannot have.
    """

    normalize_text: bool = False
    columns: dict[str, str] | None = None
    labels: list[str] | None = None
    label_map: dict[str, str | None] | None = None
    split_map: dict[str, str] | None = None
    split_by: str = "auto"
    split_seed: int = 0
    dev_share: float = 0.1
    test_share: float = 0.2
    media_dir: str | None = None
    targets: list[str] | None = None
    label_columns: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        names, columns = self.labels, self.columns or {}
        if names is not None and not (isinstance(names, list | tuple) and names and {*map(type, names)} == {str}):
            # YAML reads [0, 1] as numbers and [no, yes] as booleans.
            raise ValueError(f"labels is {names!r}: give a list of texts, numbers and yes or no in quotation marks")
        check_names("targets", self.targets)
        check_names("label_columns", self.label_columns)
        if self.label_columns and (names or self.label_map):
            raise ValueError("label_columns replaces the label column: leave out labels and label_map")
        if self.label_map is not None:
            if not isinstance(self.label_map, dict) or not all(
                isinstance(v, str | None) for v in self.label_map.values()
            ):
                raise ValueError(f"label_map is {self.label_map!r}: give a class name, as text, for each label")
            # YAML reads the keys of {0: joy} as numbers.
            self.label_map = {str(label): name for label, name in self.label_map.items()}
        if self.split_by not in SPLIT_BY:
            raise ValueError(f"split_by is {self.split_by!r}: choose one of {', '.join(SPLIT_BY)}")
        if not (0 < self.dev_share < 0.5 and 0 < self.test_share < 0.5):
            raise ValueError(
                f"dev_share and test_share are {self.dev_share}, {self.test_share}: choose above 0, below 0.5"
            )
        if set((self.split_map or {}).values()) - set(SPLITS):
            raise ValueError(f"split_map is {self.split_map!r}: its values are train, dev and test")
        # YAML reads the keys of {1: train} as numbers.
        self.split_map = {str(name): split for name, split in (self.split_map or {}).items()}
        unknown = sorted(set(columns) - set(FIELDS))
        if unknown:
            raise ValueError(f"columns maps {', '.join(unknown)}: its keys are among {', '.join(FIELDS)}")
        nameless = [key for key, name in columns.items() if not isinstance(name, str)]
        if nameless:
            raise ValueError(f"columns maps {', '.join(nameless)} to no text: write the names of the file's columns")

    @property
    def names(self) -> dict[str, str]:
        """The file's column for each field."""
        return {name: name for name in FIELDS} | dict(self.columns or {})

    def rows(self, table: Path) -> Iterator[Row]:
        """Returns the rows of a table, which must have the dialogue's column and those that are mapped."""
        names = self.names
        numbers = [*(self.targets or ()), *(self.label_columns or ())]
        return read_rows(table, [names["dialogue_id"], *(self.columns or {}).values(), *numbers], names)

    @property
    def label_column(self) -> str | None:
        """The column of classes; None where it is a target, or several columns replace it."""
        name = self.names["label"]
        return None if self.label_columns or name in (self.targets or ()) else name

    def media_folder(self, table: Path) -> Path:
        """Returns the folder that relative paths in a table start from."""
        if self.media_dir is not None:
            return Path(self.media_dir).expanduser()
        return table if table.is_dir() else table.parent
