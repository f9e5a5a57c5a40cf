import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from tokenizers import normalizers
from torch import Tensor

from datasets_scripts import label_names
from modeling_erc import MODALITIES
from modeling_erc.features import extraction
from modeling_erc.features.feature_cache import CachedFeatures, cache_frozen_features, encoder_fingerprint
from modeling_erc.features.feature_store import FeatureStore
from modeling_erc.training import ErcCollator

ROOT = Path(__file__).parents[3]
ALL = ["text", "audio", "vision"]
MakeSplits = Callable[..., datasets.DatasetDict]


class Rows:
    """Counts the utterances that a modality's backbone reads."""

    def __init__(self, parts: Any, modality: str) -> None:
        self.count = 0
        parts.model.erc.encoders[modality].register_forward_hook(self._add, with_kwargs=True)

    def _add(self, module: Any, args: Any, inputs: dict[str, Tensor], output: Any) -> None:
        self.count += len(next(iter(inputs.values())))

    def taken(self) -> int:
        self.count, count = 0, self.count
        return count


def fill(splits: datasets.DatasetDict, parts: Any, folder: Path) -> tuple[list[CachedFeatures], list[str]]:
    return cache_frozen_features(splits, parts.model, parts.processor, folder)


def collate(splits: datasets.DatasetDict, parts: Any, transforms: list[Any], split: str = "dev") -> dict[str, Any]:
    collator = ErcCollator(parts.processor, label_names(splits), parts.model.config.label2id, transforms)
    return collator(list(splits[split]))


@torch.no_grad()
def logits(splits: datasets.DatasetDict, parts: Any, transforms: list[Any], split: str = "dev") -> Tensor:
    batch = collate(splits, parts, transforms, split)
    batch.pop("media_problems"), batch.pop("dialogue_ids")
    result: Tensor = parts.model.eval()(**batch).logits
    return result


@pytest.fixture
def own_clips(splits: datasets.DatasetDict, make_splits: MakeSplits, tmp_path: Path) -> datasets.DatasetDict:
    """Two dialogues with copies of clips, which a test may change."""
    dialogues = []
    for row in splits["dev"].select(range(2)):
        for utterance in row["utterances"]:
            path = str(tmp_path / f"{row['dialogue_id']}_{Path(utterance['audio_path']).name}")
            shutil.copy(utterance["audio_path"], path)
            utterance["audio_path"] = utterance["video_path"] = path
        dialogues.append(row["utterances"])
    return make_splits({"train": dialogues[:1], "dev": dialogues[1:]}, label_names(splits))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"text_layer": "mix", "audio_layer": "mix", "audio_token_stride": 3},
        {"modalities": ["text"], "text_layer": "1", "text_past": 2, "text_future": 1},
        {"modalities": ["text"], "text_past": 1, "text_layer": "mix", "max_text_length": 12, "fusion": "concat"},
        {"text_context": "dialogue", "text_layer": "mix"},
        {"modalities": ["text"], "text_context": "dialogue", "max_text_length": 16},
    ],
    ids=["last", "mix", "context", "context-mix", "dialogue-mix", "windows"],
)
def test_cached_features_give_the_logits_of_the_raw_path(
    splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path, settings: dict[str, Any]
) -> None:
    parts = make_parts(splits, **{"modalities": ALL, "frozen_modalities": ALL, **settings})
    cached, problems = fill(splits, parts, tmp_path)
    assert not problems
    used = parts.settings["modalities"]
    assert {transform.modality for transform in cached} == set(used)
    batch = collate(splits, parts, cached)
    assert {MODALITIES[modality].features for modality in used} <= set(batch)
    assert not {"input_ids", "audio_values", "pixel_values"} & set(batch)
    torch.testing.assert_close(logits(splits, parts, cached), logits(splits, parts, []), atol=1e-5, rtol=0)


def test_a_second_fill_computes_nothing(splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path) -> None:
    parts = make_parts(splits, modalities=ALL, frozen_modalities=ALL)
    rows = [Rows(parts, modality) for modality in ALL]
    fill(splits, parts, tmp_path)
    assert [row.taken() for row in rows] == [48, 48, 48]
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(files) == 3
    cached, _ = fill(splits, parts, tmp_path)
    # Another run with the same settings finds the same folders.
    again, _ = fill(splits, make_parts(splits, modalities=ALL, frozen_modalities=ALL), tmp_path)
    assert [row.taken() for row in rows] == [0, 0, 0]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == files
    assert torch.equal(logits(splits, parts, cached), logits(splits, parts, again))


def test_utterances_without_text_or_clip_are_not_tried_again(
    make_splits: MakeSplits, splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    clip = splits["dev"][0]["utterances"][0]["audio_path"]
    turns: list[dict[str, Any]] = [{"text": "hello", "audio_path": clip}, {"text": None}, {"text": "  "}]
    corpus = make_splits({"train": [turns], "dev": [turns]})
    parts = make_parts(corpus, modalities=["text", "audio"], frozen_modalities=["text", "audio"])
    rows = [Rows(parts, modality) for modality in ("text", "audio")]
    cached, problems = fill(corpus, parts, tmp_path)
    assert [row.taken() for row in rows] == [1, 1]
    assert problems == []
    fill(corpus, parts, tmp_path)
    assert [row.taken() for row in rows] == [0, 0]
    assert collate(corpus, parts, cached)["modality_mask"][0].tolist() == [[True, True], [False, False], [False, False]]


def test_repeated_text_is_encoded_once(make_splits: MakeSplits, make_parts: Any, tmp_path: Path) -> None:
    corpus = make_splits({"train": [[{"text": "hello"}]], "dev": [[{"text": "hello", "speaker": "Z"}]]})
    parts = make_parts(corpus, frozen_modalities=["text"])
    rows = Rows(parts, "text")
    fill(corpus, parts, tmp_path)
    assert rows.taken() == 1


@pytest.mark.parametrize(("past", "recomputed"), [(0, 1), (1, 2)], ids=["utterance", "dialogue with neighbours"])
def test_changed_text_is_encoded_again_and_nothing_else(
    make_splits: MakeSplits, make_parts: Any, tmp_path: Path, past: int, recomputed: int
) -> None:
    def corpus(word: str) -> datasets.DatasetDict:
        return make_splits({"train": [[{"text": "hello"}, {"text": word}], [{"text": f"no {i}"} for i in range(9)]]})

    parts = make_parts(corpus("hooray"), frozen_modalities=["text"], text_past=past)
    rows = Rows(parts, "text")
    fill(corpus("hooray"), parts, tmp_path)
    assert rows.taken() == 11
    changed = corpus("hello no")
    cached, _ = fill(changed, parts, tmp_path)
    assert rows.taken() == recomputed
    assert torch.allclose(
        logits(changed, parts, cached, "train"), logits(changed, parts, [], "train"), atol=1e-5, rtol=0
    )


def test_a_changed_clip_is_encoded_again_and_nothing_else(
    own_clips: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    parts = make_parts(own_clips, modalities=["audio"], frozen_modalities=["audio"])
    rows = Rows(parts, "audio")
    fill(own_clips, parts, tmp_path / "cache")
    assert rows.taken() == 8
    first, second = (Path(u["audio_path"]) for u in own_clips["dev"][0]["utterances"][:2])
    before = first.stat()
    shutil.copy(second, first)
    cached, _ = fill(own_clips, parts, tmp_path / "cache")
    assert rows.taken() == 1
    torch.testing.assert_close(logits(own_clips, parts, cached), logits(own_clips, parts, []), atol=1e-5, rtol=0)
    rows.taken()
    # A new modification time is enough, even where the size is the same.
    os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    fill(own_clips, parts, tmp_path / "cache")
    assert rows.taken() == 1


def test_a_broken_clip_is_masked_and_reported(own_clips: datasets.DatasetDict, make_parts: Any, tmp_path: Path) -> None:
    broken = own_clips["dev"][0]["utterances"][1]["audio_path"]
    Path(broken).write_bytes(b"no clip at all")
    gone = own_clips["train"][0]["utterances"][0]["audio_path"]
    Path(gone).unlink()
    parts = make_parts(own_clips, modalities=["text", "audio"], frozen_modalities=["audio"])
    cached, problems = fill(own_clips, parts, tmp_path / "cache")
    assert sorted(line.partition(": ")[0] for line in problems) == sorted([broken, gone])
    batch = collate(own_clips, parts, cached)
    assert batch["modality_mask"][0].tolist() == [[True, i != 1] for i in range(4)]
    # Reported once: the collator does not try the file again.
    assert batch["media_problems"] == []
    torch.testing.assert_close(logits(own_clips, parts, cached), logits(own_clips, parts, []), atol=1e-5, rtol=0)


def test_raw_inputs_of_a_cached_modality_are_removed(
    own_clips: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    Path(own_clips["dev"][0]["utterances"][1]["audio_path"]).write_bytes(b"")
    parts = make_parts(own_clips, modalities=["audio", "vision"], frozen_modalities=["audio"])
    cached, _ = fill(own_clips, parts, tmp_path / "cache")
    utterances = cached[0](own_clips["dev"][0]["utterances"])
    assert [utterance["audio_features"] is None for utterance in utterances] == [False, True, False, False]
    for utterance in utterances:
        assert not {"audio", "audio_path"} & set(utterance)
        # The other modality still needs its clip.
        assert utterance["video_path"]


def keys_of(turns: list[tuple[str, str]], past: int, future: int, parts: Any, store: FeatureStore) -> list[str]:
    parts.processor.text_past, parts.processor.text_future = past, future
    utterances = [{"speaker": speaker, "text": text} for speaker, text in turns]
    return CachedFeatures("text", store, parts.processor).keys(utterances)


@pytest.mark.parametrize(
    ("past", "future", "changed"),
    [(0, 0, []), (1, 0, [2]), (2, 0, [2, 3]), (0, 1, [0]), (1, 1, [0, 2]), (0, 2, [0])],
)
@pytest.mark.parametrize("what", ["words", "name"])
def test_a_key_changes_with_the_neighbours_that_the_backbone_reads(
    splits: datasets.DatasetDict,
    make_parts: Any,
    tmp_path: Path,
    past: int,
    future: int,
    changed: list[int],
    what: str,
) -> None:
    parts, store = make_parts(splits), FeatureStore(tmp_path)
    turns = [("Ann", "one"), ("Bo", "two"), ("Ann", "three"), ("Bo", "four"), ("Ann", "five")]
    other = list(turns)
    other[1] = ("Bo", "TWO") if what == "words" else ("Cy", "two")
    before, after = (keys_of(spoken, past, future, parts, store) for spoken in (turns, other))
    # The utterance's own text always matters, the speaker's name only with neighbours.
    own = [1] if what == "words" or past or future else []
    assert [i for i in range(5) if before[i] != after[i]] == sorted(changed + own)


def test_a_key_changes_with_every_turn_of_a_dialogue_that_is_read_at_once(
    splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    parts, store = make_parts(splits, text_context="dialogue"), FeatureStore(tmp_path)
    turns = [("Ann", "hi"), ("Ann", "hi"), ("Bo", "two")]
    before = keys_of(turns, 0, 0, parts, store)
    for other in ("TWO", "Bo"), ("two", "Cy"):
        after = keys_of([*turns[:2], (other[1], other[0])], 0, 0, parts, store)
        assert len({*before, *after}) == 6


def test_a_neighbour_before_is_not_a_neighbour_after(
    splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    parts, store = make_parts(splits), FeatureStore(tmp_path)
    first = keys_of([("Ann", "hi"), ("Ann", "hi")], 1, 0, parts, store)
    second = keys_of([("Ann", "hi"), ("Ann", "hi")], 0, 1, parts, store)
    assert first[1] != second[0]
    assert first[0] == second[1]


@pytest.mark.parametrize(
    "settings",
    [
        {"text_layer": "1"},
        {"text_past": 1},
        {"text_context": "dialogue", "max_text_length": 128},
        {"max_text_length": 9},
        {"seed": 7},
        {"audio_token_stride": 2},
        {"max_audio_seconds": 0.7},
    ],
    ids=str,
)
def test_other_weights_and_settings_have_another_folder(
    splits: datasets.DatasetDict, make_parts: Any, settings: dict[str, Any]
) -> None:
    def fingerprints(**settings: Any) -> list[str]:
        parts = make_parts(splits, modalities=["text", "audio"], **settings)
        return [encoder_fingerprint(parts.model, parts.processor, m) for m in ("text", "audio")]

    plain = fingerprints()
    assert fingerprints(hidden_size=32, num_train_epochs=9) == plain, "only what features depend on counts"
    assert fingerprints(**settings) != plain


def test_another_vocabulary_has_another_folder(make_splits: MakeSplits, make_parts: Any) -> None:
    texts = [[[{"text": "one two"}]], [[{"text": "eno owt"}]]]
    first, second = (make_parts(make_splits({"train": content})) for content in texts)
    second.model.load_state_dict(first.model.state_dict())
    before, after = (encoder_fingerprint(first.model, p.processor, "text") for p in (first, second))
    assert before != after


def test_a_setting_of_one_modality_keeps_the_features_of_another(splits: datasets.DatasetDict, make_parts: Any) -> None:
    plain, changed = (
        make_parts(splits, modalities=["text", "audio"], **settings)
        for settings in ({}, {"max_audio_seconds": 0.5, "num_frames": 3})
    )
    before, after = (encoder_fingerprint(p.model, p.processor, "text") for p in (plain, changed))
    assert before == after


def test_another_normalisation_of_the_tokenizer_has_another_folder(
    splits: datasets.DatasetDict, make_parts: Any
) -> None:
    parts = make_parts(splits)
    before = encoder_fingerprint(parts.model, parts.processor, "text")
    parts.processor([{"text": "a call sets truncation and padding"}])
    assert encoder_fingerprint(parts.model, parts.processor, "text") == before
    parts.processor.tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert encoder_fingerprint(parts.model, parts.processor, "text") != before


def test_an_encoder_loaded_from_another_path_has_the_same_folder(
    splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    fresh = make_parts(splits, modalities=["text"])
    found = set()
    for place in ("here", "there"):
        fresh.model.erc_model.encoder("text").backbone.save_pretrained(tmp_path / place)
        fresh.processor.tokenizer.save_pretrained(tmp_path / place)
        parts = make_parts(splits, modalities=["text"], text_encoder=str(tmp_path / place))
        found.add(encoder_fingerprint(parts.model, parts.processor, "text"))
    assert len(found) == 1


def test_a_clip_by_another_spelling_of_its_path_is_the_same_clip(
    own_clips: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    parts = make_parts(own_clips, modalities=["audio"])
    cached = CachedFeatures("audio", FeatureStore(tmp_path / "store"), parts.processor)
    utterances = own_clips["dev"][0]["utterances"]
    others = [{**u, "audio_path": os.path.relpath(u["audio_path"])} for u in utterances]
    assert cached.keys(others) == cached.keys(utterances)


def test_a_half_precision_backbone_can_be_cached(splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path) -> None:
    parts = make_parts(splits, frozen_modalities=["text"])
    parts.model.erc.encoders["text"].backbone.bfloat16()
    cached, _ = fill(splits, parts, tmp_path)
    torch.testing.assert_close(logits(splits, parts, cached), logits(splits, parts, []), atol=1e-2, rtol=0)


def test_a_model_in_training_stays_in_training(splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path) -> None:
    parts = make_parts(splits, frozen_modalities=["text"])
    parts.model.train()
    fill(splits, parts, tmp_path)
    assert parts.model.erc.encoders["text"].training
    assert not parts.model.erc.encoders["text"].backbone.training


def test_modalities_that_are_trained_or_absent_are_not_cached(
    splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    parts = make_parts(splits, modalities=["text"], frozen_modalities=["audio"])
    assert fill(splits, parts, tmp_path) == ([], [])
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_it_can_be_pickled_for_a_worker(splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path) -> None:
    parts = make_parts(splits, frozen_modalities=["text"], text_layer="mix")
    cached, _ = fill(splits, parts, tmp_path)
    expected = logits(splits, parts, cached)
    sent = pickle.dumps(cached)
    # A worker maps the files itself: features are not pickled.
    assert len(sent) < 20_000
    assert torch.equal(logits(splits, parts, pickle.loads(sent)), expected)


def test_a_corpus_larger_than_a_shard_is_stored_in_several(
    splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "SHARD_BYTES", 10_000)
    monkeypatch.setattr(extraction, "BATCH_UTTERANCES", 6)
    parts = make_parts(splits, modalities=["text", "audio"], frozen_modalities=["text", "audio"])
    cached, _ = fill(splits, parts, tmp_path)
    assert all(len(list(folder.glob("*.safetensors"))) > 2 for folder in tmp_path.iterdir())
    torch.testing.assert_close(logits(splits, parts, cached), logits(splits, parts, []), atol=1e-5, rtol=0)


FILLER = """
import json, sys, time
from pathlib import Path
import datasets, torch
from transformers import set_seed
from datasets_scripts import label_names
from modeling_erc.features.feature_cache import cache_frozen_features
from modeling_erc.training import ErcArgumentParser, build
torch.set_num_threads(1)
folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
model_args, data_args, args = ErcArgumentParser().parse_dict(settings)
splits = datasets.load_from_disk(str(folder / "corpus"))
set_seed(args.seed)
model, processor = build(model_args, data_args, splits, label_names(splits))
(folder / "ready").touch()
(cached,), problems = cache_frozen_features(splits, model, processor, folder / "cache")
print(len(cached.store), len(problems))
"""


def test_two_processes_may_fill_one_store_at_once(
    splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    parts = make_parts(splits, modalities=["audio"], frozen_modalities=["audio"])
    alone, _ = fill(splits, parts, tmp_path / "alone")
    rows = Rows(parts, "audio")

    splits.save_to_disk(str(tmp_path / "corpus"))
    other = subprocess.Popen(
        [sys.executable, "-c", FILLER, str(tmp_path), json.dumps(parts.settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "home")},
        text=True,
    )
    while not (tmp_path / "ready").exists():
        assert other.poll() is None, other.communicate()[1]
        time.sleep(0.01)
    (mine,), _ = fill(splits, parts, tmp_path / "cache")
    printed, errors = other.communicate(timeout=120)
    assert printed == "48 0\n", errors

    assert rows.taken() > 0, "both were at work"
    (folder,) = (tmp_path / "cache").iterdir()
    assert not list(folder.glob("*.writing"))
    for store in (mine.store, FeatureStore(folder)):
        assert set(store) == set(alone[0].store)
        for key, value in alone[0].store.items():
            torch.testing.assert_close(store[key], value, atol=1e-5, rtol=0)
