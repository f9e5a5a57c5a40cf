import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    TrainerCallback,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

from datasets_scripts import label_names
from modeling_erc import ErcForSequenceClassification
from modeling_erc.features.decoded_media import DecodedMedia
from modeling_erc.features.feature_cache import cache_frozen_features
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.training import ErcCollator, ErcTrainer
from modeling_erc.training.trainer import TrainingDiverged

MakeSplits = Callable[..., datasets.DatasetDict]
NO_CHECKPOINTS = {"save_strategy": "no", "eval_strategy": "no", "load_best_model_at_end": False}
PLAIN = {"lr_scheduler_type": "constant", "warmup_steps": 0, "max_grad_norm": 0.0, "hidden_dropout_prob": 0.0}


def state_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def differing(first: dict[str, Tensor], second: dict[str, Tensor]) -> set[str]:
    assert set(first) == set(second)
    return {name for name in first if not torch.equal(first[name], second[name])}


@pytest.fixture
def uneven(make_splits: MakeSplits) -> datasets.DatasetDict:
    """Sixteen dialogues of features, of one to seven utterances, some without a label."""
    rng = np.random.default_rng(0)

    def turn(label: int | None) -> dict[str, Any]:
        return {"text_features": rng.standard_normal(5), "audio_features": rng.standard_normal(4), "label": label}

    dialogues = []
    for number in range(16):
        labels: list[int | None] = [int(label) for label in rng.integers(0, 3, 1 + number * 5 % 7)]
        if number % 3 == 0:
            labels[1:] = [None] * (len(labels) - 1)
        dialogues.append([turn(label) for label in labels])
    return make_splits({"train": dialogues, "dev": dialogues[:3]}, text=5, audio=4)


class Gradients(TrainerCallback):
    """Keeps the gradients of the first optimizer step."""

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for name, parameter in kwargs["model"].named_parameters():
            if parameter.grad is not None:
                self.kept.setdefault(name, parameter.grad.clone())


@pytest.mark.parametrize("extra", [{}, {"label_smoothing": 0.1, "modality_loss_weight": 0.7}], ids=["plain", "smooth"])
def test_four_small_batches_equal_one_large_one(
    uneven: datasets.DatasetDict, make_trainer: Any, extra: dict[str, Any]
) -> None:
    def first_step(batch: int, steps: int) -> tuple[float, dict[str, Tensor]]:
        gradients = Gradients()
        trainer = make_trainer(
            uneven,
            {"callbacks": [gradients]},
            modalities=["text", "audio"],
            contrastive="none",
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=steps,
            train_sampling_strategy="sequential",
            max_steps=1,
            logging_strategy="steps",
            logging_steps=1,
            **NO_CHECKPOINTS,
            **PLAIN,
            **extra,
        )
        trainer.model.config.class_weights = [0.5, 1.0, 2.0]
        trainer.train()
        return trainer.state.log_history[0]["loss"], gradients.kept

    labelled = [sum(u["label"] is not None for u in row["utterances"]) for row in uneven["train"]]
    assert len({sum(labelled[i : i + 4]) for i in range(0, 16, 4)}) > 1, "equal parts would prove nothing"
    small_loss, small = first_step(batch=4, steps=4)
    large_loss, large = first_step(batch=16, steps=1)
    assert small_loss == pytest.approx(large_loss, abs=1e-5)
    assert len(small) > 20
    assert max(float(value.abs().max()) for value in large.values()) > 1e-3
    for name, value in large.items():
        torch.testing.assert_close(small[name], value, atol=1e-6, rtol=1e-4, msg=name)


def test_the_logged_loss_is_that_of_the_model(uneven: datasets.DatasetDict, make_trainer: Any) -> None:
    trainer = make_trainer(uneven, per_device_eval_batch_size=3, modalities=["text", "audio"], modality_dropout=0.0)
    batch = trainer.data_collator(list(uneven["dev"]))
    batch.pop("media_problems"), batch.pop("dialogue_ids")
    with torch.no_grad():
        expected = trainer.model.eval()(**batch).loss.item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def legacy_backbones(tmp_path: Path) -> dict[str, str]:
    """A ViT and an audio spectrogram transformer, whose checkpoints have legacy key names."""
    size = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    folders = {m: str(tmp_path / m) for m in ("audio", "vision")}
    ViTModel(ViTConfig(image_size=32, patch_size=16, **size)).save_pretrained(folders["vision"])
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folders["vision"])
    ASTModel(ASTConfig(max_length=64, num_mel_bins=32, **size)).save_pretrained(folders["audio"])
    ASTFeatureExtractor(max_length=64, num_mel_bins=32).save_pretrained(folders["audio"])
    return {f"{m}_encoder": folder for m, folder in folders.items()}


def test_the_best_checkpoint_is_restored_in_every_tensor(
    splits: datasets.DatasetDict, make_trainer: Any, legacy_backbones: dict[str, str], tmp_path: Path
) -> None:
    scores = iter([0.9, 0.5, 0.1])  # the first is the best, and by far not the last
    trainer = make_trainer(
        splits,
        {"compute_metrics": lambda prediction: {"weighted_f1": next(scores)}},
        modalities=["text", "audio", "vision"],
        num_train_epochs=3,
        save_total_limit=None,
        learning_rate=1e-2,
        **legacy_backbones,
    )
    model = trainer.model
    assert model.erc.encoders["vision"].backbone.config.model_type == "vit"
    assert model.erc.encoders["audio"].backbone.config.model_type == "audio-spectrogram-transformer"
    trainer.train()
    checkpoints = sorted((tmp_path / "run").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    assert len(checkpoints) == 3
    assert trainer.state.best_model_checkpoint == str(checkpoints[0])
    best, last = (load_file(folder / "model.safetensors") for folder in (checkpoints[0], checkpoints[-1]))
    assert differing(state_of(model), best) == set()
    # Every trained tensor changed after the best checkpoint, so that none is equal by chance.
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    still = trained - differing(best, last)
    assert not {name for name in still if "backbone" in name}, "backbones moved"
    assert len(still) <= 0.05 * len(trained), still


def test_a_resumed_run_starts_from_every_tensor_of_its_checkpoint(
    splits: datasets.DatasetDict, make_trainer: Any, legacy_backbones: dict[str, str], tmp_path: Path
) -> None:
    settings = {"modalities": ["audio", "vision"], "load_best_model_at_end": False, **legacy_backbones}
    make_trainer(splits, num_train_epochs=1, **settings).train()
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    saved = load_file(checkpoint / "model.safetensors")
    again = make_trainer(splits, num_train_epochs=1, seed=5, **settings)
    assert differing(state_of(again.model), saved)
    again.train(resume_from_checkpoint=str(checkpoint))
    assert differing(state_of(again.model), saved) == set()
    assert again.state.global_step == 2


def test_a_frozen_backbone_never_changes(splits: datasets.DatasetDict, make_trainer: Any) -> None:
    trainer = make_trainer(
        splits,
        modalities=["text", "vision"],
        frozen_modalities=["text"],
        learning_rate=1e-2,
        weight_decay=0.5,
        num_train_epochs=2,
        **NO_CHECKPOINTS,
    )
    before = state_of(trainer.model)
    trainer.train()
    moved = differing(before, state_of(trainer.model))
    assert not {name for name in moved if name.startswith("erc.encoders.text")}
    assert not any(p.requires_grad for p in trainer.model.erc.encoders["text"].parameters())
    assert {name for name in moved if name.startswith("erc.encoders.vision")}
    assert "classifier.weight" in moved


def test_backbones_can_have_another_learning_rate(splits: datasets.DatasetDict, make_trainer: Any) -> None:
    trainer = make_trainer(
        splits,
        modalities=["text", "vision"],
        learning_rate=1e-3,
        backbone_learning_rate=3e-5,
        **NO_CHECKPOINTS,
        **PLAIN,
    )
    trainer.train()
    inside = {id(p) for p in trainer.model.erc.encoders.parameters()}
    rates: dict[bool, set[float]] = {True: set(), False: set()}
    seen = []
    for group in trainer.optimizer.param_groups:
        for parameter in group["params"]:
            rates[id(parameter) in inside].add(group["lr"])
            seen.append(id(parameter))
    assert rates == {True: {3e-5}, False: {1e-3}}
    assert sorted(seen) == sorted(id(p) for p in trainer.model.parameters()), "each parameter once"
    # Both have biases and norms without weight decay.
    assert {(g["backbone"], g["weight_decay"]) for g in trainer.optimizer.param_groups} == {
        (True, 0.0),
        (True, 0.01),
        (False, 0.0),
        (False, 0.01),
    }


def test_a_backbone_rate_of_zero_leaves_backbones_unchanged(splits: datasets.DatasetDict, make_trainer: Any) -> None:
    trainer = make_trainer(splits, backbone_learning_rate=0.0, **NO_CHECKPOINTS, **PLAIN)
    before = state_of(trainer.model)
    trainer.train()
    moved = differing(before, state_of(trainer.model))
    assert moved
    assert not {name for name in moved if name.startswith("erc.encoders")}


def test_by_default_backbones_have_the_common_rate(splits: datasets.DatasetDict, make_trainer: Any) -> None:
    trainer = make_trainer(splits, learning_rate=2e-3, **NO_CHECKPOINTS, **PLAIN)
    trainer.train()
    assert {group["lr"] for group in trainer.optimizer.param_groups} == {2e-3}


@pytest.mark.parametrize("modalities", [["text"], ["audio", "vision"]], ids="+".join)
def test_every_checkpoint_loads_with_its_processor(
    splits: datasets.DatasetDict, make_trainer: Any, modalities: list[str], tmp_path: Path
) -> None:
    trainer = make_trainer(splits, modalities=modalities)
    trainer.train()
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    processor = ErcProcessor.from_pretrained(checkpoint)
    model = ErcForSequenceClassification.from_pretrained(checkpoint)
    assert differing(state_of(trainer.model), state_of(model)) == set()
    first, second = (p(splits["dev"][0]) for p in (trainer.processor, processor))
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_stops_early(uneven: datasets.DatasetDict, make_trainer: Any) -> None:
    scores = iter([0.2, 0.5, 0.4, 0.5, 0.45, 0.9, 0.9, 0.9])
    trainer = make_trainer(
        uneven,
        {"compute_metrics": lambda prediction: {"weighted_f1": next(scores)}},
        early_stopping_patience=2,
        num_train_epochs=8,
    )
    trainer.train()
    assert trainer.state.epoch == 4
    assert trainer.state.best_metric == 0.5


def test_evaluation_metrics_equal_scikit_learn(splits: datasets.DatasetDict, make_trainer: Any) -> None:
    trainer = make_trainer(splits, per_device_eval_batch_size=2)
    scores = trainer.evaluate(splits["train"])
    prediction = trainer.predict(splits["train"])
    true, predicted = [], []
    with torch.no_grad():
        for row in splits["train"]:
            inputs = trainer.processor(row)
            predicted += trainer.model.eval()(**inputs).logits[0].argmax(-1).tolist()
            true += [u["label"] for u in row["utterances"]]
    assert len(set(true)) > 3
    classes = range(7)
    assert scores["eval_accuracy"] == pytest.approx(accuracy_score(true, predicted))
    for average in ("weighted", "macro"):
        expected = f1_score(true, predicted, labels=classes, average=average, zero_division=0)
        assert scores[f"eval_{average}_f1"] == pytest.approx(expected)
    by_class = f1_score(true, predicted, labels=classes, average=None, zero_division=0)
    for index, name in trainer.model.config.id2label.items():
        assert scores[f"eval_f1_{name}"] == pytest.approx(by_class[index])
    assert prediction.metrics["test_weighted_f1"] == pytest.approx(scores["eval_weighted_f1"])
    assert prediction.predictions[..., 0].shape == (6, 4)


def test_scores_do_not_depend_on_the_batch_size(uneven: datasets.DatasetDict, make_trainer: Any) -> None:
    one_by_one = make_trainer(uneven, per_device_eval_batch_size=1).evaluate(uneven["train"])
    together = make_trainer(uneven, per_device_eval_batch_size=16).evaluate(uneven["train"])
    for name in ("eval_accuracy", "eval_weighted_f1", "eval_macro_f1"):
        assert one_by_one[name] == pytest.approx(together[name])


def test_training_lowers_the_loss(uneven: datasets.DatasetDict, make_trainer: Any) -> None:
    trainer = make_trainer(
        uneven,
        modalities=["text", "audio"],
        contrastive="none",
        modality_loss_weight=0.0,
        num_train_epochs=25,
        learning_rate=1e-2,
        **{**NO_CHECKPOINTS, **PLAIN},
    )
    before = trainer.evaluate(uneven["train"])
    trainer.train()
    after = trainer.evaluate(uneven["train"])
    assert after["eval_loss"] < 0.5 * before["eval_loss"]
    assert after["eval_accuracy"] > 0.8


def test_the_same_seed_gives_the_same_model(splits: datasets.DatasetDict, make_trainer: Any) -> None:
    states = []
    for seed in (1, 1, 2):
        trainer = make_trainer(splits, seed=seed, **NO_CHECKPOINTS)
        trainer.train()
        states.append(state_of(trainer.model))
    assert differing(states[0], states[1]) == set()
    assert differing(states[0], states[2])


def test_each_broken_clip_is_counted_once(
    splits: datasets.DatasetDict, make_trainer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = copy.deepcopy(list(splits["train"]))
    truncated, empty = tmp_path / "truncated.mp4", tmp_path / "empty.mp4"
    # Truncated in the index at the end of the file, so that audio and video fail for different reasons.
    whole = Path(broken[0]["utterances"][0]["audio_path"]).read_bytes()
    truncated.write_bytes(whole[: whole.find(b"moov") + 150])
    empty.write_bytes(b"")
    for place, path in ((0, truncated), (1, empty)):
        broken[0]["utterances"][place].update(audio_path=str(path), video_path=str(path))
    splits = datasets.DatasetDict(
        train=datasets.Dataset.from_list(broken, features=splits["train"].features), dev=splits["dev"]
    )
    trainer = make_trainer(splits, modalities=["text", "audio", "vision"], num_train_epochs=2, **NO_CHECKPOINTS)
    trainer.data_collator.transforms.append(DecodedMedia(trainer.processor, budget=2**20))
    trainer.warn_of_media_problems()
    assert "clip(s)" not in caplog.text
    assert trainer.train().global_step == 4
    trainer.predict(splits["train"])
    trainer.warn_of_media_problems()
    (message,) = [record.getMessage() for record in caplog.records if "clip(s)" in record.getMessage()]
    assert message.startswith("2 clip(s) could not be used")
    assert message.count("truncated.mp4") == 2
    assert message.count("empty.mp4") == 1


def test_cached_features_train_the_same_model_as_the_raw_path(
    splits: datasets.DatasetDict, make_trainer: Any, tmp_path: Path
) -> None:
    # Plain SGD, since Adam would amplify rounding errors of gradients that should be zero.
    settings = {"frozen_modalities": ["text"], "text_past": 1, "optim": "sgd", "learning_rate": 0.1, **PLAIN}
    settings |= {**NO_CHECKPOINTS, "num_train_epochs": 3}
    raw, cached = make_trainer(splits, **settings), make_trainer(splits, **settings)
    transforms, _ = cache_frozen_features(splits, cached.model, cached.processor, tmp_path / "cache")
    cached.data_collator.transforms += transforms
    cached.model.load_state_dict(raw.model.state_dict())
    raw.train()
    cached.train()
    first, second = state_of(raw.model), state_of(cached.model)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=1e-4, rtol=1e-3, msg=name)


def test_several_workers_collate_the_same_batches(
    splits: datasets.DatasetDict, make_trainer: Any, tmp_path: Path
) -> None:
    trainer = make_trainer(splits, modalities=["text", "audio"], frozen_modalities=["text"], dataloader_num_workers=2)
    transforms, _ = cache_frozen_features(splits, trainer.model, trainer.processor, tmp_path / "cache")
    trainer.data_collator.transforms += [*transforms, DecodedMedia(trainer.processor, budget=2**20)]
    in_workers = trainer.predict(splits["dev"]).predictions
    trainer.args.dataloader_num_workers = 0
    assert np.array_equal(trainer.predict(splits["dev"]).predictions, in_workers)


def test_the_train_collator_is_used_in_training_only(splits: Any, make_trainer: Any, make_parts: Any) -> None:
    parts = make_parts(splits)
    names = label_names(splits["train"])
    other = ErcCollator(parts.processor, names, parts.model.config.label2id)
    trainer = make_trainer(splits, trainer_options={"train_collator": other})
    assert trainer.get_train_dataloader().collate_fn is other
    assert trainer.get_eval_dataloader().collate_fn is trainer.data_collator is not other
    assert make_trainer(splits).get_train_dataloader().collate_fn is not other


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_training_stops_before_a_step_that_is_not_finite(
    where: str, splits: datasets.DatasetDict, make_trainer: Any
) -> None:
    trainer = make_trainer(splits, num_train_epochs=3, logging_strategy="no")

    def spoil(value: Tensor) -> Tensor:
        broken = trainer.state.global_step == 3
        return value * torch.nan if broken else value

    if where == "loss":
        trainer.model.classifier.register_forward_hook(lambda module, inputs, output: spoil(output))
    else:
        trainer.model.classifier.weight.register_hook(spoil)
    with pytest.raises(TrainingDiverged, match=rf"step 4: the {where} is nan, with the dialogues .*train_\d") as error:
        trainer.train()
    assert "checkpoint-2 is complete: continue with --resume" in str(error.value)
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


def test_one_process_uses_one_gpu(
    splits: datasets.DatasetDict, make_parts: Any, caplog: pytest.LogCaptureFixture
) -> None:
    parts = make_parts(splits)
    assert parts.args.n_gpu == 0
    parts.args._n_gpu = 2  # what a process that sees two GPUs has
    ErcTrainer(model=parts.model, args=parts.args, train_dataset=splits["train"], eval_dataset=splits["dev"])
    assert parts.args.n_gpu == 1
    assert "2 GPUs are visible, one is used" in caplog.text
