"""Properties over random shapes: what is padded, absent or beside a dialogue changes none of its logits."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from modeling_erc import MODALITIES, ErcConfig, ErcForSequenceClassification
from modeling_erc.context_erc import CONTEXTS
from modeling_erc.fusion_erc import FUSIONS
from modeling_erc.processing_erc import ErcProcessor
from tests.conftest import FEATURE_SIZES

Utterance = dict[str, Any]
# The fixture is a function, so that every example may use it.
RANDOM = settings(
    max_examples=2,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def utterances(draw: st.DrawFn) -> Utterance:
    """A speaker, and 1 to 3 tokens of features of some modalities, or of none."""
    made: Utterance = {"speaker": draw(st.sampled_from("ABC"))}
    noise = np.random.default_rng(draw(st.integers(0, 2**32)))
    for modality in draw(st.sets(st.sampled_from(sorted(FEATURE_SIZES)))):
        shape = (draw(st.integers(1, 3)), FEATURE_SIZES[modality])
        made[MODALITIES[modality].features] = noise.normal(size=shape)
    return made


BATCHES = st.lists(st.lists(utterances(), min_size=1, max_size=5), min_size=2, max_size=3)
SHAPES = st.fixed_dictionaries(
    {
        "context_position": st.sampled_from(["before", "after", "both"]),
        "context_window": st.none() | st.integers(0, 3),
        "context_causal": st.booleans(),
        "num_fusion_layers": st.integers(1, 2),
    }
)


def logits_of(model: ErcForSequenceClassification, inputs: dict[str, Tensor], sizes: list[int]) -> list[Tensor]:
    with torch.no_grad():
        logits = model(**inputs).logits
    return [row[:size] for row, size in zip(logits, sizes, strict=True)]


def padded(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adds two utterances to every dialogue and two tokens to every feature, all masked and full of large numbers."""
    more = {name: torch.nn.functional.pad(inputs[name], (0, 2)) for name in ("utterance_mask", "speaker_ids")}
    more["modality_mask"] = torch.nn.functional.pad(inputs["modality_mask"], (0, 0, 0, 2), value=True)
    for modality in MODALITIES.values():
        if modality.features in inputs:
            mask = torch.nn.functional.pad(inputs[f"{modality.features}_mask"], (0, 2))
            values = torch.nn.functional.pad(inputs[modality.features], (0, 0, 0, 2))
            more |= {modality.features: values.masked_fill(~mask[..., None], 1e4), f"{modality.features}_mask": mask}
    return more


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
@pytest.mark.parametrize("context", sorted(CONTEXTS))
@RANDOM
@given(batch=BATCHES, shape=SHAPES, order=st.randoms(use_true_random=False))
def test_padding_absence_and_order_change_no_logit(
    fusion: str, context: str, feature_config: Callable[..., ErcConfig], batch: Any, shape: Any, order: Any
) -> None:
    torch.manual_seed(0)
    windows = {} if context in ("transformer", "relational") else {"context_window": None}
    config = feature_config(fusion=fusion, context=context, **{**shape, **windows})
    model, processor = ErcForSequenceClassification(config).eval(), ErcProcessor(modalities=config.modalities)
    sizes = [len(dialogue) for dialogue in batch]
    inputs = dict(processor(batch))
    expected = [logits_of(model, dict(processor([dialogue])), [len(dialogue)])[0] for dialogue in batch]
    rows = order.sample(range(len(batch)), len(batch))
    shuffled = logits_of(model, dict(processor([batch[row] for row in rows])), [sizes[row] for row in rows])
    # A modality that no utterance has may be given as no rows, or not at all.
    counts = inputs["modality_mask"].sum(dim=(0, 1))
    empty = {
        MODALITIES[m].features: torch.zeros(0, 1, FEATURE_SIZES[m])
        for m, count in zip(config.modalities, counts, strict=True)
        if not count
    }
    found = {
        "batch": logits_of(model, inputs, sizes),
        "order": [shuffled[rows.index(row)] for row in range(len(batch))],
        "padding": logits_of(model, padded(inputs), sizes),
        "no rows": logits_of(model, {**inputs, **empty}, sizes),
    }
    for what, logits in found.items():
        for one, other in zip(logits, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5, msg=what)
