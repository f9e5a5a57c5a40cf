import datasets
import pytest

from modeling_erc.training.folds import fold_groups, held_out


def rows(dialogues: dict[str, str]) -> datasets.Dataset:
    """Dialogues by id, each with its speakers as letters."""
    return datasets.Dataset.from_list(
        [
            {"dialogue_id": name, "utterances": [{"speaker": speaker} for speaker in speakers]}
            for name, speakers in dialogues.items()
        ]
    )


SPLITS = {
    "train": rows({"Ses01F_impro01": "ab", "Ses02M_script01_1": "cd", "Ses01M_impro02": "ba"}),
    "dev": rows({"Ses02F_impro05": "dc", "Ses03F_impro01": "ef"}),
    "test": rows({"Ses05F_impro01": "gh"}),
}
KNOWN = datasets.concatenate_datasets([SPLITS["train"], SPLITS["dev"]])


def names(split: datasets.Dataset) -> list[str]:
    return list(split["dialogue_id"])


@pytest.mark.parametrize("folds", ["session", "speaker"])
def test_a_group_is_never_in_training_and_held_out(folds: str) -> None:
    groups = fold_groups(KNOWN, folds)
    assert sorted(map(sorted, groups)) == [
        ["Ses01F_impro01", "Ses01M_impro02"],
        ["Ses02F_impro05", "Ses02M_script01_1"],
        ["Ses03F_impro01"],
    ]


def test_a_number_of_folds_covers_all_dialogues_once_and_does_not_depend_on_their_order() -> None:
    groups = fold_groups(KNOWN, "2")
    assert sorted(name for group in groups for name in group) == sorted(names(KNOWN))
    assert sorted(map(len, groups)) == [2, 3]
    assert fold_groups(KNOWN.select([4, 2, 0, 1, 3]), "2") == groups
    assert len(fold_groups(KNOWN, "dialogue")) == 5


def test_a_fold_holds_out_its_dialogues_and_does_not_read_test() -> None:
    splits = held_out(SPLITS, "session", 1)
    assert names(splits["dev"]) == ["Ses02M_script01_1", "Ses02F_impro05"]
    assert sorted(names(splits["train"]) + names(splits["dev"])) == sorted(names(KNOWN))
    assert "test" not in splits


def test_without_a_fold_all_of_them_are_training() -> None:
    splits = held_out(SPLITS, "session", None)
    assert sorted(names(splits["train"])) == sorted(names(KNOWN))
    assert (set(splits), names(splits["test"])) == ({"train", "test"}, ["Ses05F_impro01"])


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ("1", "from 2 to 5"),
        ("6", "from 2 to 5"),
        ("year", "choose session, speaker, dialogue"),
    ],
)
def test_a_wrong_kind_of_folds_is_refused(folds: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fold_groups(KNOWN, folds)


def test_folds_that_the_corpus_does_not_have_are_refused_with_a_remedy() -> None:
    shared = rows({"a": "xy", "b": "yz"})
    with pytest.raises(ValueError, match=r"form 1 group\(s\) of this kind; take a number of folds"):
        fold_groups(shared, "speaker")
    with pytest.raises(ValueError, match="name no session"):
        fold_groups(shared, "session")
    with pytest.raises(ValueError, match="fold 3: session gives folds 0 to 2"):
        held_out(SPLITS, "session", 3)
