import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.analysis.corrupted_split import CorruptedSplit, corrupt, hit
from modeling_erc.analysis.corruptions import BlackFrames, Blur, Corruption, Drop, WhiteNoise, WordDrop, WordSwap
from modeling_erc.analysis.finished_run import Run
from modeling_erc.features.decoded_media import DecodedMedia
from modeling_erc.features.feature_store import FeatureStore
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.training import ErcTrainingArguments
from modeling_erc.training.arguments import DataArguments

NAMES = ["neutral", "joy", "anger"]
Open = Callable[..., Run]


@pytest.fixture
def rows(clips: dict[str, Path]) -> list[dict[str, Any]]:
    """Two dialogues, of 3 and 2 utterances; the clip of the first one is shared, and one is broken."""

    def utterance(text: str | None, clip: str, label: int | None) -> dict[str, Any]:
        place = {"start": None, "end": None, "label": label, "speaker": "Ann"}
        sound, picture = str(clips[f"{clip}.wav"]), str(clips[f"{clip}.mp4"])
        return {"text": text, "audio_path": sound, "video_path": picture, **place}

    broken = {**utterance(None, "short", 2), "audio_path": "nowhere.wav"}
    first = [utterance("w1 w2 w3 w4 w5 w6 w7 w8", "long", 0), utterance("we won", "short", 1), broken]
    second = [utterance("w9 w10 w11 w12 w13 w14", "long", None), utterance("oh no w20 w21 w22", "short", 0)]
    return [{"dialogue_id": "a", "utterances": first}, {"dialogue_id": "b", "utterances": second}]


@pytest.fixture
def open_run(
    raw_config: Callable[..., ErcConfig], processor: ErcProcessor, rows: list[dict[str, Any]], tmp_path: Path
) -> Open:
    """A run in memory: an untrained model whose text and audio backbones are frozen."""

    def make(*modalities: str, past: int = 0, rows: list[dict[str, Any]] = rows) -> Run:
        torch.manual_seed(0)
        config = raw_config(*modalities, frozen_modalities=["text", "audio"], id2label=dict(enumerate(NAMES)))
        config.label2id = {name: i for i, name in enumerate(NAMES)}
        model = ErcForSequenceClassification(config).eval()
        processor.modalities, processor.text_past = list(config.modalities), past
        args = ErcTrainingArguments(output_dir=str(tmp_path / "run"), use_cpu=True)
        data = DataArguments(feature_cache=str(tmp_path / "cache"))
        return Run(tmp_path, model, processor, datasets.DatasetDict({"test": rows}), NAMES, data, args)

    return make


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def slow_logits(run: Run, rows: list[dict[str, Any]]) -> np.ndarray:
    """The model's own way from raw inputs, the corruptions applied to decoded clips first; no feature is reused."""
    decode = DecodedMedia(run.processor, budget=0)
    dialogues = []
    for row in rows:
        utterances = []
        for utterance in row["utterances"]:
            (decoded,) = decode([utterance])
            corruption = utterance.get("corruption")
            # Only kinds without chance are compared so.
            utterances.append(corruption(decoded, np.random.default_rng()) if corruption else decoded)
        dialogues.append(utterances)
    inputs, _ = run.processor.encode(dialogues)
    with torch.inference_mode():
        return np.asarray(run.model(**inputs).logits[inputs["utterance_mask"]])


@pytest.mark.parametrize("past", [0, 1])
@pytest.mark.parametrize(
    "corruption",
    [WordDrop("text", 0.5), WordSwap("text", 0.9), Drop("audio", 1.0), Blur("vision", 4.0), BlackFrames("vision", 1.0)],
)
def test_reused_features_give_what_raw_inputs_give(
    open_run: Open, scratch: Path, rows: list[dict[str, Any]], corruption: Corruption, past: int
) -> None:
    run = open_run(past=past)
    split = CorruptedSplit(run, "test", scratch)
    chosen = np.array([True, False, True, True, False])
    changed = corrupt(rows, chosen, corruption)
    found = split.predict(changed).logits
    np.testing.assert_allclose(found, slow_logits(run, changed), atol=1e-4)
    clean = split.predict(rows).logits
    np.testing.assert_allclose(clean, slow_logits(run, rows), atol=1e-4)
    assert np.abs(found - clean).max() > 1e-2


def test_noise_changes_only_the_chosen_utterances(open_run: Open, scratch: Path, rows: list[dict[str, Any]]) -> None:
    split = CorruptedSplit(open_run("audio"), "test", scratch)
    chosen = np.array([True, False, False, False, False])
    clean = split.predict(rows)
    loud, faint = (split.predict(corrupt(rows, chosen, WhiteNoise("audio", snr))) for snr in (0.0, 60.0))
    own = [np.abs(found.modality_logits - clean.modality_logits)[:, 0].max(axis=-1) for found in (loud, faint)]
    assert own[0][0] > 10 * own[1][0] > 0
    # The fourth has the same clip, unharmed, and the second dialogue hears nothing of the first.
    np.testing.assert_allclose(loud.logits[3:], clean.logits[3:], atol=1e-5)


def test_a_clip_is_encoded_once_however_many_utterances_share_it(
    open_run: Open, scratch: Path, rows: list[dict[str, Any]]
) -> None:
    split = CorruptedSplit(open_run("audio"), "test", scratch)
    before = set(split.transforms[0].store)
    above = [transform.above(scratch / "noisy") for transform in split.transforms]
    for share in (0.4, 1.0):
        split.predict(corrupt(rows, hit(5, share, seed=0), WhiteNoise("audio", 0.0)), above)
    # Two clips; the third one is broken.
    assert len(FeatureStore(scratch / "noisy")) == 2
    assert set(split.transforms[0].store) == before
    assert len(before) == 2


def test_scores_start_at_clean_and_leave_nothing_behind(open_run: Open, scratch: Path, tmp_path: Path) -> None:
    split = CorruptedSplit(open_run(), "test", scratch)
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    scores = split.scores(Drop("text", 1.0, ()), (0.0, 0.5, 1.0), range(3))
    assert scores.shape == (3, 3)
    assert (scores[:, 0] == split.clean).all()
    everything = split.score(split.predict(corrupt(split.rows, np.ones(5, dtype=bool), Drop("text", 1.0))))
    assert (scores[:, 2] == everything).all()
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == files


def test_a_model_of_one_modality_survives_its_loss(open_run: Open, scratch: Path) -> None:
    split = CorruptedSplit(open_run("text"), "test", scratch)
    rows = corrupt(split.rows, np.ones(5, dtype=bool), Drop("text", 1.0))
    logits = split.predict(rows).logits
    assert np.isfinite(logits).all()
    assert np.abs(logits - split.predict(split.rows).logits).max() > 1e-2


def test_an_unlabelled_split_cannot_be_scored(open_run: Open, scratch: Path, rows: list[dict[str, Any]]) -> None:
    silent = [{**row, "utterances": [{**u, "label": None} for u in row["utterances"]]} for row in rows]
    with pytest.raises(ValueError, match="no labelled utterance"):
        CorruptedSplit(open_run("text", rows=silent), "test", scratch)


@pytest.mark.parametrize("count", [1, 10, 333])
def test_a_smaller_share_is_part_of_a_larger_one(count: int) -> None:
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    for seed in range(3):
        chosen = [hit(count, share, seed) for share in shares]
        assert [mask.sum() for mask in chosen] == [round(share * count) for share in shares]
        for few, more in itertools.pairwise(chosen):
            assert not (few & ~more).any()


def test_each_seed_chooses_others() -> None:
    assert (hit(100, 0.5, seed=0) != hit(100, 0.5, seed=1)).any()
    assert (hit(100, 0.5, seed=0) == hit(100, 0.5, seed=0)).all()


def test_an_utterance_is_corrupted_in_one_way_whichever_others_are(rows: list[dict[str, Any]]) -> None:
    alone = corrupt(rows, np.array([False, False, False, False, True]), WordDrop("text", 0.4))
    all_of_them = corrupt(rows, np.ones(5, dtype=bool), WordDrop("text", 0.4))
    assert alone[1]["utterances"][1] == all_of_them[1]["utterances"][1] != rows[1]["utterances"][1]
    assert alone[0] == rows[0]
    # What is lost at a low rate is lost at a higher one.
    few = corrupt(rows, np.ones(5, dtype=bool), WordDrop("text", 0.7))
    said = [{word for u in row["utterances"] for word in (u["text"] or "").split()} for row in (*few, *all_of_them)]
    assert said[0] < said[2]
    assert said[1] < said[3]
