"""Several labels and targets in the model: heads, losses, streaming, saving."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.losses_erc import TARGET_LOSSES, ErcLoss, binary_cross_entropy, concordance
from modeling_erc.outputs_erc import ErcClassifierOutput
from modeling_erc.processing_erc import ErcProcessor

SMALL: dict[str, Any] = {
    "feature_sizes": {"text": 5, "audio": 4},
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_fusion_layers": 1,
    "context_causal": True,
}
DIMENSIONS: dict[str, Any] = {
    "target_names": ["valence", "arousal"],
    "target_mean": [3.0, 10.0],
    "target_scale": [0.5, 4.0],
    "target_ranges": [[1.0, 5.0], [0.0, 20.0]],
}
TASKS: dict[str, dict[str, Any]] = {
    "regression": {"problem_type": "regression", **DIMENSIONS},
    "several labels": {"problem_type": "multi_label_classification", "id2label": {0: "joy", 1: "fear", 2: "anger"}},
    "labels and targets": {"id2label": {0: "joy", 1: "fear", 2: "anger"}, **DIMENSIONS},
    "several labels and targets": {
        "problem_type": "multi_label_classification",
        "id2label": {0: "joy", 1: "fear", 2: "anger"},
        **DIMENSIONS,
    },
}
LABELS = {
    "regression": torch.tensor([[[3.0, 12.0], [4.0, -100.0]], [[-100.0, -100.0], [-100.0, -100.0]]]),
    "several labels": torch.tensor([[[1.0, 0.0, 1.0], [0.0, 0.0, -100.0]], [[0.0, 1.0, 0.0], [-100.0] * 3]]),
    "labels and targets": torch.tensor(
        [[[2.0, 3.0, 12.0], [-100.0, 4.0, -100.0]], [[0.0, -100.0, -100.0], [-100.0] * 3]]
    ),
    "several labels and targets": torch.tensor(
        [[[1.0, 0, 1, 3, 12], [0.0, 0, 0, -100, 4]], [[0.0, 1, 0, 2, 2], [-100.0] * 5]]
    ),
}
MASK = torch.tensor([[True, True], [True, False]])
INPUTS: dict[str, Any] = {"utterance_mask": MASK, "text_features": torch.ones(3, 5), "audio_features": torch.ones(3, 4)}


def model_of(task: str, **settings: Any) -> ErcForSequenceClassification:
    torch.manual_seed(0)
    return ErcForSequenceClassification(ErcConfig(**SMALL, **TASKS[task], **settings)).eval()


@pytest.mark.parametrize("task", TASKS)
def test_every_task_learns_from_what_is_known_and_comes_back_from_disk(task: str, tmp_path: Path) -> None:
    model = model_of(task)
    width = {"regression": 2, "several labels": 3, "labels and targets": 5, "several labels and targets": 5}[task]
    output = model(**INPUTS, labels=LABELS[task])
    assert output.logits.shape == (2, 2, width)
    assert output.loss.isfinite()
    output.loss.backward()
    weight = model.classifier.weight.grad
    assert weight is not None
    assert (weight.abs().sum(dim=1) > 0).all(), "every output has a gradient"
    nothing = model(**INPUTS, labels=torch.full_like(LABELS[task], -100.0)).loss
    assert nothing.item() == 0
    model.save_pretrained(tmp_path)
    again = ErcForSequenceClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(again(**INPUTS).logits, output.logits)
    assert len(list(tmp_path.glob("*.py"))) <= 16


def test_targets_are_predicted_in_their_own_units_and_learned_in_standard_deviations() -> None:
    model = model_of("regression", modality_loss_weight=0.0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "classifier" in name:
                weight.copy_(torch.tensor([1.0, -0.5]) if name.endswith("bias") else torch.zeros_like(weight))
    output = model(**INPUTS, labels=LABELS["regression"])
    # The mean plus one deviation, and less half of one.
    assert output.logits[MASK].tolist() == [[3.5, 8.0]] * 3
    # Squared errors: mean of 1 and 1, then 1 alone; two utterances have a target.
    assert output.loss.item() == pytest.approx(((1 + 1) / 2 + 1) / 2)


def test_concordance_equals_its_definition_over_all_known_values() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((2, 40, 2)).astype(np.float32)
    known = draw.random((40, 2)) < 0.7
    loss = concordance(torch.tensor(x), torch.tensor(y), torch.tensor(known), None)
    for column in range(2):
        a, b = x[known[:, column], column], y[known[:, column], column]
        expected = 2 * np.cov(a, b, bias=True)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)
        assert loss[:, column].tolist() == pytest.approx([1 - expected] * 40, rel=1e-5)


def test_an_utterance_without_a_label_has_the_loss_of_its_targets_alone() -> None:
    config = ErcConfig(**SMALL, **TASKS["labels and targets"], target_loss="mse")
    logits, labels = torch.randn(1, 1, 5), torch.tensor([[[-100.0, 3.5, 14.0]]])
    errors = (logits[0, 0, 3:] - labels[0, 0, 1:]) / torch.tensor([0.5, 4.0])
    loss = ErcLoss(config)(ErcClassifierOutput(logits=logits), labels)
    torch.testing.assert_close(loss, config.target_loss_weight * (errors**2).mean())


@pytest.mark.parametrize("name", sorted(TARGET_LOSSES))
def test_a_perfect_prediction_has_no_loss_and_one_value_no_nan(name: str) -> None:
    true, known = torch.tensor([[1.0], [2.0], [4.0]]), torch.ones(3, 1).bool()
    assert TARGET_LOSSES[name](true, true, known, None).abs().max() < 1e-6
    assert TARGET_LOSSES[name](true[:1], true[:1], known[:1], None).isfinite().all()


def test_binary_cross_entropy_is_the_mean_over_known_labels() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    labels = torch.tensor([[1.0, -100.0, 0.0]])
    weight = torch.tensor([3.0, 1.0, 1.0])
    config = ErcConfig(problem_type="multi_label_classification", num_labels=3)
    expected = binary_cross_entropy_with_logits(logits, labels.clamp(min=0), pos_weight=weight, reduction="none")
    loss = binary_cross_entropy(logits, labels, weight, config)
    assert loss.item() == pytest.approx(((expected[0, 0] + expected[0, 2]) / 2).item())


def test_logit_adjustment_of_several_labels_adds_the_log_odds_of_their_priors() -> None:
    config = ErcConfig(
        problem_type="multi_label_classification", num_labels=2, class_priors=[0.5, 0.1], logit_adjustment=1.0
    )
    plain = ErcConfig(problem_type="multi_label_classification", num_labels=2)
    logits, labels = torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.0]]])
    shifted = torch.tensor([[[0.0, np.log(0.1 / 0.9)]]], dtype=torch.float32)
    expected = ErcLoss(plain)(ErcClassifierOutput(logits=shifted), labels)
    assert torch.isclose(ErcLoss(config)(ErcClassifierOutput(logits=logits), labels), expected)


@pytest.mark.parametrize("task", TASKS)
def test_a_stream_equals_the_whole_dialogue(task: str) -> None:
    model, processor = model_of(task), ErcProcessor(modalities=["text", "audio"])
    draw = np.random.default_rng(0)
    dialogue = [
        {"speaker": "AB"[i % 2], "text_features": draw.standard_normal(5), "audio_features": draw.standard_normal(4)}
        for i in range(4)
    ]
    del dialogue[2]["audio_features"]
    stream = model.stream(processor)
    whole = model(**processor(dialogue)).logits[0]
    for utterance, expected in zip(dialogue, whole, strict=True):
        logits = stream.add(utterance).logits
        assert logits is not None
        assert torch.allclose(logits[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problem_type": "regression", "contrastive": "supcon", "target_names": ["v"]}, "contrastive supcon compares"),
        ({"problem_type": "multi_label_classification", "classification_loss": "focal"}, "focal does not fit"),
        ({"target_names": ["v", "v"]}, "each name can be there once"),
        ({"target_names": ["v"], "target_scale": [0.0]}, "larger than 0"),
        ({"target_names": ["v"], "target_mean": [0.0, 1.0]}, "2 target_mean for 1 targets"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ErcConfig(**SMALL, **settings)


def test_a_regression_names_its_outputs_as_transformers_does() -> None:
    config = ErcConfig(problem_type="regression", target_names=["valence", "arousal"])
    assert config.id2label == {0: "valence", 1: "arousal"}
    assert (config.num_labels, config.num_classes, config.num_outputs) == (2, 0, 2)
    assert config.contrastive == "none"
    assert ErcConfig(problem_type="regression", id2label={0: "strength"}).target_names == ["strength"]
