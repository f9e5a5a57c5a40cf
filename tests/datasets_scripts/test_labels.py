import pytest

from datasets_scripts import LABEL_SETS, SHARED_EMOTIONS, LabelSet


def test_class_indices_follow_the_community_order() -> None:
    order = {name: label_set.names for name, label_set in LABEL_SETS.items()}
    assert order["meld"] == ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
    assert order["iemocap6"] == ("happy", "sad", "neutral", "angry", "excited", "frustrated")
    assert order["iemocap4"] == ("angry", "happy", "neutral", "sad")
    assert order["emorynlp"] == ("joyful", "mad", "peaceful", "neutral", "sad", "powerful", "scared")
    assert order["dailydialog"] == ("no emotion", "anger", "disgust", "fear", "happiness", "sadness", "surprise")


def test_registry_keys_are_the_names_of_the_sets() -> None:
    assert all(key == label_set.name for key, label_set in LABEL_SETS.items())


def test_corpora_meet_in_the_shared_emotions() -> None:
    reached = {name: set(label_set.shared.values()) - {None} for name, label_set in LABEL_SETS.items()}
    assert reached["meld"] == reached["dailydialog"] == set(SHARED_EMOTIONS)
    assert reached["meld"] & reached["iemocap6"] == {"neutral", "sadness", "joy", "anger"}
    assert LABEL_SETS["iemocap6"].shared["happy"] == LABEL_SETS["iemocap6"].shared["excited"]
    assert LABEL_SETS["iemocap6"].shared["frustrated"] is None


@pytest.mark.parametrize(
    ("names", "shared", "message"),
    [
        (("joy", "joy"), {"joy": "joy"}, "twice"),
        (("joy", "fear"), {"joy": "joy"}, "shared maps"),
        (("joy",), {"joy": "glee"}, "glee"),
    ],
)
def test_inconsistent_label_set_is_refused(names: tuple[str, ...], shared: dict[str, str | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelSet("broken", names, shared)
