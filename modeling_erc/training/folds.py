"""Folds of a cross-validation: train and dev dialogues in groups that are held out one after another."""

import random
import re
from collections.abc import Mapping

import datasets

from datasets_scripts.split_draw import speaker_groups


def fold_groups(dialogues: datasets.Dataset, folds: str) -> list[list[str]]:
    """Returns the dialogue ids of each fold.

    Args:
        dialogues: rows of the schema.
        folds: "session" for the sessions of IEMOCAP, as its dialogue ids begin with them; "speaker" for folds without a
            common speaker, as many as there are; "dialogue" for one dialogue each; or a number of equal folds of
            dialogues, drawn at random, the same ones for every seed.

    Raises:
        ValueError: there is no such way, or it gives fewer than two folds.
    """
    names = list(dialogues["dialogue_id"])
    groups: list[list[str]] = []
    if folds == "session":
        sessions = {name: found[0] for name in names if (found := re.match(r"Ses\d+", name))}
        if len(sessions) < len(names):
            raise ValueError("folds session: the dialogue ids of this corpus name no session (Ses01..., as in IEMOCAP)")
        groups = [[n for n in names if sessions[n] == session] for session in sorted(set(sessions.values()))]
    elif folds == "speaker":
        speakers = {
            row["dialogue_id"]: {u["speaker"] for u in row["utterances"] if u["speaker"]}
            for row in dialogues.select_columns(["dialogue_id", "utterances"])
        }
        groups = speaker_groups(speakers) if all(speakers.values()) else []
    elif folds == "dialogue":
        groups = [[name] for name in names]
    elif folds.isdecimal() and 1 < int(folds) <= len(names):
        order = random.Random(0).sample(sorted(names), len(names))
        groups = [order[start :: int(folds)] for start in range(int(folds))]
    else:
        raise ValueError(f"folds {folds!r}: choose session, speaker, dialogue, or a number from 2 to {len(names)}")
    if len(groups) < 2:
        raise ValueError(
            f"folds {folds}: the {len(names)} dialogues of train and dev form {len(groups)} group(s) of this kind; "
            "take a number of folds, such as 5"
        )
    return groups


def train_and_dev(splits: Mapping[str, datasets.Dataset]) -> datasets.Dataset:
    """Returns the dialogues that folds are cut from."""
    return datasets.concatenate_datasets([splits[name] for name in ("train", "dev") if name in splits])


def held_out(splits: Mapping[str, datasets.Dataset], folds: str, fold: int | None) -> dict[str, datasets.Dataset]:
    """Returns the splits of one run of a cross-validation.

    Args:
        splits: the corpus with `train`, `dev` and `test`.
        folds: as for [`fold_groups`], which cuts the dialogues of train and dev.
        fold: number of the fold that becomes dev, without a test split: it is not read before the choice is made.
            `None` trains on all folds, without a dev split.

    Raises:
        ValueError: there is no such fold.
    """
    known = train_and_dev(splits)
    if fold is None:
        return {"train": known, "test": splits["test"]}
    groups = fold_groups(known, folds)
    if not 0 <= fold < len(groups):
        raise ValueError(f"fold {fold}: {folds} gives folds 0 to {len(groups) - 1}")
    out = set(groups[fold])
    names = list(known["dialogue_id"])
    return {
        "train": known.select([i for i, name in enumerate(names) if name not in out]),
        "dev": known.select([i for i, name in enumerate(names) if name in out]),
    }
