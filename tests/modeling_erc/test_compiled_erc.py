"""`torch.compile` traces the model as one graph, whose outputs are those of the model."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.fusion_erc import FUSIONS
from modeling_erc.processing_erc import ErcProcessor
from tests.conftest import perturbed

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]
Graphs = list[torch.fx.GraphModule]


@pytest.fixture
def graphs() -> Graphs:
    """The graphs that `in_one_graph` has traced."""
    torch._dynamo.reset()
    return []


def in_one_graph(model: ErcForSequenceClassification, graphs: Graphs) -> Any:
    """Compiles a model; a part that cannot be traced raises."""

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    return torch.compile(model, fullgraph=True, backend=backend)


def assert_same(found: Any, expected: Any, mask: Tensor) -> None:
    for name in ("logits", "modality_logits", "last_hidden_state"):
        torch.testing.assert_close(found[name][mask], expected[name][mask], atol=1e-5, rtol=0)
    assert not found.last_hidden_state[~mask].any()


@pytest.mark.parametrize(
    ("fusion", "context"), [("joint_vector", "relational"), *((f, "transformer") for f in FUSIONS)]
)
def test_a_model_of_features_is_one_graph(
    fusion: str, context: str, feature_config: MakeConfig, feature_dialogues: Dialogues, graphs: Graphs
) -> None:
    config = feature_config(
        "text", "audio", fusion=fusion, context=context, num_fusion_layers=1, centered_modalities=["audio"]
    )
    model = perturbed(config)
    inputs = dict(ErcProcessor(modalities=config.modalities)(feature_dialogues))
    assert_same(in_one_graph(model, graphs)(**inputs), model(**inputs), inputs["utterance_mask"])
    assert len(graphs) == 1


def test_a_bucket_of_shapes_is_traced_once(
    feature_config: MakeConfig, feature_dialogues: Dialogues, graphs: Graphs
) -> None:
    """Batches of one shape share a graph, whichever utterances are padded or lack a modality.

    Without the index of the utterances, padded slots are computed as well.
    """
    config = feature_config("text", "audio", num_fusion_layers=1)
    model, processor = perturbed(config), ErcProcessor(modalities=config.modalities)
    compiled = in_one_graph(model, graphs)
    for batch in (feature_dialogues, feature_dialogues[::-1]):
        inputs = dict(processor(batch))
        del inputs["utterance_index"]
        assert_same(compiled(**inputs), model(**inputs), inputs["utterance_mask"])
    assert len(graphs) == 1


def test_a_model_of_text_and_audio_is_one_graph(
    raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues, graphs: Graphs
) -> None:
    processor.modalities, processor.text_past = ["text", "audio"], 1
    model = perturbed(raw_config("text", "audio", text_layer="mix", num_fusion_layers=1))
    inputs = dict(processor(dialogues))
    # For inner layers, transformers registers hooks at the first call, which cannot be traced.
    expected = model(**inputs)
    assert_same(in_one_graph(model, graphs)(**inputs), expected, inputs["utterance_mask"])
    assert len(graphs) == 1


def test_training_in_one_graph_has_the_same_gradients(
    feature_config: MakeConfig, feature_dialogues: Dialogues, graphs: Graphs
) -> None:
    config = feature_config("text", "audio", context_position="both", num_fusion_layers=1)
    model = perturbed(config).train()
    inputs = dict(ErcProcessor(modalities=config.modalities)(feature_dialogues))
    weights = [weight for name, weight in model.named_parameters() if "contrastive" not in name]
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    found, expected = (
        torch.autograd.grad(run(**inputs).logits.square().sum(), weights, materialize_grads=True)
        for run in (compiled, model)
    )
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_dropout_in_one_graph_is_random(feature_config: MakeConfig, graphs: Graphs) -> None:
    torch.manual_seed(0)
    config = feature_config("text", hidden_dropout_prob=0.3, modality_dropout=0.3)
    model = perturbed(config).train()
    compiled = in_one_graph(model, graphs)
    inputs = {"utterance_mask": torch.ones(1, 4).bool(), "text_features": torch.ones(4, 6)}
    first, second = compiled(**inputs).logits, compiled(**inputs).logits
    assert first.isfinite().all() and not torch.equal(first, second)
    assert len(graphs) == 1
