import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluate
import pytest
import torch
from torch import Tensor

from modeling_erc import ErcConfig, ErcForSequenceClassification, ErcModel
from modeling_erc.layers_erc import ContrastiveMemory
from modeling_erc.losses_erc import CONTRASTIVE_LOSSES, ErcLoss
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.training import ErcCollator, ErcTrainer, ErcTrainingArguments

MakeConfig = Callable[..., ErcConfig]
Row = dict[str, Any]
CONTRASTS = sorted(set(CONTRASTIVE_LOSSES) - {"none"})
LABELS = torch.tensor([[0, 1, 2], [1, -100, 0]])
MASK = torch.ones(2, 3).bool()


def fresh(config: ErcConfig) -> ErcForSequenceClassification:
    torch.manual_seed(0)
    return ErcForSequenceClassification(config).train()


def batch(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"utterance_mask": MASK, "text_features": torch.randn(6, 6, generator=generator)}


def contents(memory: ContrastiveMemory | None) -> list[tuple[int, list[float]]]:
    """What it holds, in no particular order."""
    assert memory is not None
    embeddings, labels = memory.read()
    return sorted(zip(labels.tolist(), embeddings.tolist(), strict=True))


def test_it_holds_the_last_ones() -> None:
    memory = ContrastiveMemory(ErcConfig(contrastive_memory=5, contrastive_size=2))
    pushed: list[tuple[int, list[float]]] = []
    assert contents(memory) == []
    for size in (2, 0, 2, 3, 5, 1, 7, 4, 12):
        first = len(pushed)
        pushed += [(number % 3, [float(number), -1.0]) for number in range(first, first + size)]
        labels, embeddings = ([row[i] for row in pushed[first:]] for i in (0, 1))
        memory.push(torch.tensor(embeddings).reshape(size, 2), torch.tensor(labels, dtype=torch.long))
        assert contents(memory) == sorted(pushed[-5:])


def test_what_is_not_finite_is_left_out() -> None:
    memory = ContrastiveMemory(ErcConfig(contrastive_memory=5, contrastive_size=2))
    memory.push(torch.tensor([[1.0, 0.0], [torch.nan, 0.0], [0.0, torch.inf], [0.0, 1.0]]), torch.tensor([0, 1, 2, 3]))
    assert contents(memory) == [(0, [1.0, 0.0]), (3, [0.0, 1.0])]


@pytest.mark.parametrize("contrastive", CONTRASTS)
def test_a_step_contrasts_with_the_steps_before_it(contrastive: str, feature_config: MakeConfig) -> None:
    config = feature_config("text", contrastive=contrastive, contrastive_memory=20, contrastive_weight=1.0)
    model, plain = fresh(config), ErcLoss(config)
    past: list[tuple[Tensor, Tensor]] = []
    for step in range(4):
        output = model(**batch(step), labels=LABELS)
        embeddings, targets = output.embeddings[LABELS >= 0], LABELS[LABELS >= 0]
        # Its own loss without a past, and the difference that a past makes.
        expected = plain(output, LABELS)
        if past:
            members = tuple(torch.cat([pair[i] for pair in past][-4:]) for i in (0, 1))
            loss, tau = CONTRASTIVE_LOSSES[contrastive], config.contrastive_temperature
            with_past = loss(embeddings, targets, output.prototypes, tau, (members[0], members[1]))
            difference = (with_past - loss(embeddings, targets, output.prototypes, tau)).sum() / 5
            assert difference.abs() > 1e-3
            expected = expected + difference
        assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)
        output.loss.backward()  # nothing reaches back into an earlier step's graph, which is gone
        past.append((embeddings.detach(), targets))
        assert len(contents(model.contrastive_memory)) == 5 * (step + 1)


def test_the_past_has_no_gradient(feature_config: MakeConfig) -> None:
    model = fresh(feature_config("text", contrastive_memory=20))
    first = model(**batch(0), labels=LABELS)
    second = model(**batch(1), labels=LABELS)
    assert torch.autograd.grad(second.loss, first.embeddings, allow_unused=True) == (None,)


def test_ignored_utterances_are_not_remembered(feature_config: MakeConfig) -> None:
    model = fresh(feature_config("text", contrastive_memory=20))
    output = model(**batch(0), labels=LABELS)
    kept = zip(LABELS[LABELS >= 0].tolist(), output.embeddings[LABELS >= 0].tolist(), strict=True)
    assert contents(model.contrastive_memory) == sorted(kept)
    ignored = model(**batch(1), labels=torch.full_like(LABELS, -100))
    ignored.loss.backward()
    assert ignored.loss == 0 and len(contents(model.contrastive_memory)) == 5
    assert all(p.grad is None or torch.equal(p.grad, torch.zeros_like(p)) for p in model.parameters())


@pytest.mark.parametrize("contrastive", CONTRASTS)
def test_an_empty_memory_changes_nothing(contrastive: str, feature_config: MakeConfig) -> None:
    found = []
    for size in (0, 20):
        model = fresh(feature_config("text", contrastive=contrastive, contrastive_memory=size))
        output = model(**batch(0), labels=LABELS)
        output.loss.backward()
        found.append([output.loss, *(p.grad for p in model.parameters())])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_without_one_there_is_no_buffer(feature_config: MakeConfig) -> None:
    buffers = [
        {name for name, _ in fresh(feature_config("text", **settings)).named_buffers()}
        for settings in ({}, {"contrastive_memory": 4, "contrastive": "none"}, {"contrastive_memory": 4})
    ]
    added = {f"contrastive_memory.{name}" for name in ("embeddings", "labels", "position")}
    assert buffers[0] == buffers[1] == buffers[2] - added and added <= buffers[2]


def test_evaluation_neither_uses_nor_changes_it(feature_config: MakeConfig) -> None:
    model = fresh(feature_config("text", contrastive_memory=20))
    empty = model.eval()(**batch(1), labels=LABELS).loss
    model.train()(**batch(0), labels=LABELS)
    before = contents(model.contrastive_memory)
    assert torch.equal(model.eval()(**batch(1), labels=LABELS).loss, empty)
    assert contents(model.contrastive_memory) == before
    assert model.train()(**batch(1), labels=LABELS).loss != empty


@pytest.mark.parametrize("contrastive", CONTRASTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("autocast", [False, True], ids=["cast", "autocast"])
def test_half_precision_steps_are_finite(
    autocast: bool, dtype: torch.dtype, contrastive: str, feature_config: MakeConfig
) -> None:
    settings = {"classification_loss": "focal", "class_weights": [1.0, 4.0, 0.5], "label_smoothing": 0.1}
    config = feature_config(
        "text", contrastive=contrastive, contrastive_memory=8, contrastive_temperature=0.01, **settings
    )
    model = fresh(config) if autocast else fresh(config).to(dtype)
    for step in range(3):
        inputs = batch(step)
        inputs["text_features"] = inputs["text_features"].to(model.dtype)
        model.zero_grad()
        with torch.autocast("cpu", dtype, enabled=autocast):
            loss = model(**inputs, labels=LABELS).loss
        loss.backward()
        assert loss.dtype == torch.float32 and loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_checkpoint_holds_it(feature_config: MakeConfig, tmp_path: Path) -> None:
    model = fresh(feature_config("text", contrastive_memory=7))
    for step in range(2):
        model(**batch(step), labels=LABELS)
    model.save_pretrained(tmp_path)
    loaded, report = ErcForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert contents(loaded.contrastive_memory) == contents(model.contrastive_memory)
    # The next step overwrites the same slots.
    states = [m.train()(**batch(2), labels=LABELS) and m.state_dict() for m in (model, loaded)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    _, report = ErcModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report


def test_a_checkpoint_without_one_starts_with_an_empty_one(feature_config: MakeConfig, tmp_path: Path) -> None:
    fresh(feature_config("text")).save_pretrained(tmp_path)
    model = ErcForSequenceClassification.from_pretrained(tmp_path, contrastive_memory=7).train()
    assert contents(model.contrastive_memory) == []
    output = model(**batch(0), labels=LABELS)
    assert len(contents(model.contrastive_memory)) == 5 and output.loss.isfinite()


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="contrastive_memory -1: it cannot be negative"):
        ErcConfig(contrastive_memory=-1)


@pytest.fixture
def rows() -> list[Row]:
    """Eight dialogues of one to four utterances, some of them without a label."""
    generator = torch.Generator().manual_seed(0)

    def turn(row: int, column: int) -> Row:
        label = None if (row + column) % 5 == 4 else (row * column + row) % 3
        return {"speaker": "A", "text_features": torch.randn(6, generator=generator).numpy(), "label": label}

    return [
        {"dialogue_id": str(row), "utterances": [turn(row, column) for column in range(1 + row * 3 % 4)]}
        for row in range(8)
    ]


@pytest.fixture
def make_trainer(
    rows: list[Row], feature_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ErcTrainer]:
    """Trains in the order of the rows, two dialogues a batch."""
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "metrics")

    def make(config: Row, **settings: Any) -> ErcTrainer:
        model = fresh(feature_config("text", contrastive_weight=1.0, **config))
        processor = ErcProcessor(modalities=("text",))
        names = list(model.config.label2id)
        args = ErcTrainingArguments(
            output_dir=str(tmp_path / "run"),
            per_device_train_batch_size=2,
            train_sampling_strategy="sequential",
            use_cpu=True,
            disable_tqdm=True,
            **{"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False, **settings},
        )
        return ErcTrainer(
            model=model,
            args=args,
            data_collator=ErcCollator(processor, names, model.config.label2id),
            train_dataset=rows,
            eval_dataset=rows[:3],
            processing_class=processor,
        )

    return make


@pytest.mark.parametrize("contrastive", CONTRASTS)
def test_the_trainer_fills_it_once_a_batch_also_when_it_accumulates(
    contrastive: str, rows: list[Row], make_trainer: Callable[..., ErcTrainer]
) -> None:
    trainer = make_trainer(
        {"contrastive": contrastive, "contrastive_memory": 6},
        max_steps=2,
        gradient_accumulation_steps=2,
        learning_rate=0.0,
        logging_strategy="steps",
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=1,
    )
    model = copy.deepcopy(trainer.model)
    trainer.train()
    objective, losses = ErcLoss(model.config, model.contrastive_memory), []
    for first in (0, 4):  # a step is two batches of two
        batches = [trainer.data_collator(rows[start : start + 2]) for start in (first, first + 2)]
        items = sum(int((inputs["labels"] >= 0).sum()) for inputs in batches)
        step = 0.0
        for inputs in batches:
            labels, *_ = (inputs.pop(name) for name in ("labels", "media_problems", "dialogue_ids"))
            step += objective(model(**inputs), labels, items).item()
        losses.append(step)
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert logged == pytest.approx(losses, abs=1e-5)
    assert contents(trainer.model.contrastive_memory) == contents(model.contrastive_memory)
    assert len(contents(model.contrastive_memory)) == 6


def test_a_resumed_run_ends_where_the_whole_one_ends(make_trainer: Callable[..., ErcTrainer], tmp_path: Path) -> None:
    config = {"contrastive_memory": 7, "hidden_dropout_prob": 0.1}
    settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "save_total_limit": None}
    whole = make_trainer(config, **settings)
    whole.train()
    resumed = make_trainer(config, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    states = [trainer.model.state_dict() for trainer in (whole, resumed)]
    assert [name for name in states[0] if not torch.equal(states[0][name], states[1][name])] == []
    assert len(contents(resumed.model.contrastive_memory)) == 7
