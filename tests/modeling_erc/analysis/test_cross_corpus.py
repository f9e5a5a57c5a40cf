import datasets
import numpy as np
import pytest

from datasets_scripts import LABEL_SETS, LabelSet, dialogue_features
from modeling_erc import ErcConfig
from modeling_erc.analysis.cross_corpus import LabelMapping, common_modalities, usable


def test_shared_emotions_are_those_that_both_corpora_have() -> None:
    mapping = LabelMapping.between(LABEL_SETS["meld"], LABEL_SETS["emorynlp"])
    assert mapping.emotions == ("neutral", "fear", "sadness", "joy", "anger")
    assert [name for name, emotion in mapping.train.items() if emotion is None] == ["surprise", "disgust"]
    assert [name for name, emotion in mapping.test.items() if emotion is None] == ["peaceful", "powerful"]
    assert mapping.test["mad"] == "anger"


def test_classes_of_one_emotion_are_summed_and_the_rest_is_renormalised() -> None:
    mapping = LabelMapping.between(LABEL_SETS["iemocap6"], LABEL_SETS["meld"])
    assert mapping.emotions == ("neutral", "sadness", "joy", "anger")
    # In the model's own order: excited, frustrated, neutral, happy, angry, sad.
    names = ["excited", "frustrated", "neutral", "happy", "angry", "sad"]
    given = np.array([[0.20, 0.50, 0.05, 0.10, 0.10, 0.05], [0.0, 0.2, 0.8, 0.0, 0.0, 0.0]])
    found = mapping.probabilities(given, names)
    np.testing.assert_allclose(found, [[0.1, 0.1, 0.6, 0.2], [1.0, 0.0, 0.0, 0.0]])
    # Neither of the two is the largest class by itself, and frustration is.
    assert mapping.emotions[found[0].argmax()] == "joy"


def test_mapping_is_described_by_the_names_of_both_sides() -> None:
    lines = LabelMapping.between(LABEL_SETS["iemocap6"], LABEL_SETS["emorynlp"]).describe()
    assert len(lines) == 4
    assert lines[1:3] == ["sadness: sad -> sad", "joy: happy, excited -> joyful"]


@pytest.mark.parametrize("names", [("glad", "calm"), ("joy", "calm")])
def test_fewer_than_two_shared_emotions_are_refused(names: tuple[str, ...]) -> None:
    own = LabelSet("table", names, {name: "joy" if name == "joy" else None for name in names})
    with pytest.raises(ValueError, match=r"table \((glad|joy), calm\) share (no emotion|joy): at least two"):
        LabelMapping.between(LABEL_SETS["meld"], own)


def test_label_map_matches_classes_of_other_names_and_leaves_some_out() -> None:
    own = LabelSet("table", ("fury", "glee", "sad"), {"fury": None, "glee": None, "sad": "sadness"})
    mapping = LabelMapping.between(LABEL_SETS["iemocap6"], own, {"fury": "anger", "glee": "joy", "excited": None})
    assert mapping.describe() == ["sadness: sad -> sad", "joy: happy -> glee", "anger: angry -> fury"]
    for wrong in ({"rage": "anger"}, {"fury": "angry"}):
        with pytest.raises(ValueError, match=r"label_map: '(rage|angry)': it maps classes of happy, .* to neutral, "):
            LabelMapping.between(LABEL_SETS["iemocap6"], own, wrong)


def test_features_of_another_width_count_as_missing() -> None:
    utterance = {"utterance_id": "0", "speaker": "Ann", "text": "Hi.", "audio_path": None, "video_path": None}
    given = {
        **utterance,
        "start": None,
        "end": None,
        "label": 0,
        "text_features": [0.0] * 4,
        "audio_features": [1.0] * 3,
    }
    rows = datasets.Dataset.from_list(
        [{"dialogue_id": "a", "utterances": [given]}], features=dialogue_features(["joy"], {"text": 4, "audio": 3})
    )
    config = ErcConfig(feature_sizes={"text": 5, "audio": 3}, hidden_size=32)
    assert common_modalities(config, rows) == ["audio"]
    (dialogue,) = usable(rows, config)
    assert "text_features" not in dialogue["utterances"][0]
    assert dialogue["utterances"][0]["audio_features"] == [1.0] * 3
