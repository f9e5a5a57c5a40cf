import pickle
import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from modeling_erc.features.decoded_media import DecodedMedia
from modeling_erc.training import ErcCollator


@pytest.fixture
def clips(splits: datasets.DatasetDict, tmp_path: Path) -> list[dict[str, Any]]:
    """A dialogue with copies of clips, which a test may delete."""
    utterances = []
    for utterance in splits["dev"][0]["utterances"]:
        path = shutil.copy(utterance["audio_path"], tmp_path)
        utterances.append({**utterance, "audio_path": str(path), "video_path": str(path)})
    return utterances


@pytest.fixture
def processor(splits: datasets.DatasetDict, make_parts: Any) -> Any:
    return make_parts(splits, modalities=["audio", "vision"]).processor


def same(first: Any, second: Any) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_decoded_clips_give_the_same_inputs(clips: list[dict[str, Any]], processor: Any) -> None:
    assert same(processor(clips), processor(DecodedMedia(processor, budget=10**8)(clips)))


def test_a_clip_is_read_once(clips: list[dict[str, Any]], processor: Any) -> None:
    before = processor(clips)
    decoded = DecodedMedia(processor, budget=10**8)
    decoded(clips)
    for clip in clips:
        Path(clip["audio_path"]).unlink()
    assert same(before, processor(decoded(clips)))


def test_what_is_over_budget_is_not_kept(clips: list[dict[str, Any]], processor: Any) -> None:
    decoded = DecodedMedia(processor, budget=0)
    assert all("audio" in utterance for utterance in decoded(clips))
    for clip in clips:
        Path(clip["audio_path"]).unlink()
    assert not any("audio" in utterance or "video" in utterance for utterance in decoded(clips))


def test_the_budget_is_in_bytes(clips: list[dict[str, Any]], processor: Any) -> None:
    audio, video = (DecodedMedia(processor, 10**8)(clips)[0][name] for name in ("audio", "video"))
    decoded = DecodedMedia(processor, budget=audio[0].nbytes + video.nbytes)
    decoded(clips[:1])
    assert decoded.budget == 0
    decoded(clips[1:2])
    for clip in clips:
        Path(clip["audio_path"]).unlink()
    first, second = decoded(clips[:2])
    assert "audio" in first
    assert "audio" not in second


def test_parts_of_one_recording_are_kept_apart(clips: list[dict[str, Any]], processor: Any) -> None:
    parts = [{**clips[0], "start": 0.0, "end": 0.5}, {**clips[0], "start": 0.4, "end": 0.9}]
    decoded = DecodedMedia(processor, budget=10**8)
    decoded(parts)
    assert same(processor(parts), processor(decoded(parts)))
    first, second = (utterance["audio"][0] for utterance in decoded(parts))
    assert first.tolist() != second.tolist()


def test_a_broken_clip_stays_a_path_and_is_reported(clips: list[dict[str, Any]], processor: Any) -> None:
    Path(clips[1]["audio_path"]).write_bytes(b"")
    decoded = DecodedMedia(processor, budget=10**8)
    utterances = decoded(clips)
    assert [("audio" in u, "video" in u) for u in utterances] == [(i != 1, i != 1) for i in range(len(clips))]
    batch = ErcCollator(processor, ["neutral"] * 7, {"neutral": 0}, [decoded])([{"utterances": clips}])
    assert {Path(line.partition(": ")[0]).name for line in batch["media_problems"]} == {
        Path(clips[1]["audio_path"]).name
    }
    assert batch["modality_mask"][0].all(dim=1).tolist() == [i != 1 for i in range(len(clips))]


def test_modalities_without_a_raw_encoder_are_not_decoded(
    splits: datasets.DatasetDict, clips: list[dict[str, Any]], make_parts: Any
) -> None:
    sound_only = DecodedMedia(make_parts(splits, modalities=["audio"]).processor, budget=10**8)(clips)
    assert all("audio" in u and "video" not in u for u in sound_only)
    nothing = DecodedMedia(make_parts(splits, modalities=["text"]).processor, budget=10**8)(clips)
    assert nothing == clips


def test_utterances_without_clips_pass_through(processor: Any) -> None:
    utterances = [{"speaker": "A", "text": "hello", "audio_path": None, "video_path": None}]
    assert DecodedMedia(processor, budget=10**8)(utterances) == utterances


def test_it_can_be_pickled_for_a_worker(clips: list[dict[str, Any]], processor: Any) -> None:
    decoded = pickle.loads(pickle.dumps(DecodedMedia(processor, budget=10**8)))
    assert same(processor(clips), processor(decoded(clips)))
