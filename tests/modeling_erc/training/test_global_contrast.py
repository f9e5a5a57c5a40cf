from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import Wav2Vec2Config

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.losses_erc import ErcLoss
from modeling_erc.training.global_contrast import cache_contrast
from tests.conftest import SMALL, TRANSFORMER

MakeConfig = Callable[..., ErcConfig]


def part(seed: int, labels: list[list[int]]) -> dict[str, Tensor]:
    noise = torch.Generator().manual_seed(seed)
    rows = sum(len(row) for row in labels)
    given = {name: torch.randn(rows, width, generator=noise) for name, width in (("text", 6), ("audio", 5))}
    mask = torch.ones(len(labels), len(labels[0])).bool()
    return {"utterance_mask": mask, "labels": torch.tensor(labels), **{f"{m}_features": x for m, x in given.items()}}


# The second part has no labelled utterance.
PARTS = [part(0, [[0, 1, -100], [1, 1, 2]]), part(1, [[-100, -100]]), part(2, [[0, 2], [2, -100]])]


def inputs(of: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in of.items() if name != "labels"}


@pytest.fixture(params=["inter_class", "supcon"])
def config(request: Any, feature_config: MakeConfig) -> ErcConfig:
    """With both kinds of dropout, which the two passes have to draw equally."""
    settings = {"hidden_dropout_prob": 0.3, "modality_dropout": 0.3, "contrastive_memory": 6}
    return feature_config("text", "audio", contrastive=request.param, **settings)


def fresh(config: ErcConfig) -> ErcForSequenceClassification:
    torch.manual_seed(0)
    model = ErcForSequenceClassification(config).train()
    assert model.contrastive_memory is not None
    unit = torch.nn.functional.normalize(torch.randn(4, config.contrastive_size), dim=1)
    model.contrastive_memory.push(unit, torch.tensor([0, 1, 2, 0]))
    return model


def test_parts_with_dropout_have_the_gradient_of_the_whole(config: ErcConfig) -> None:
    at_once, in_parts = fresh(config), fresh(config)
    torch.manual_seed(1)
    outputs = [at_once(**inputs(of)) for of in PARTS]
    scored = [of["labels"] >= 0 for of in PARTS]
    embeddings = torch.cat([output.embeddings[mask] for output, mask in zip(outputs, scored, strict=True)])
    labels = torch.cat([of["labels"][mask] for of, mask in zip(PARTS, scored, strict=True)])
    whole = ErcLoss(config, at_once.contrastive_memory).contrast(embeddings, labels, outputs[0].prototypes).sum()
    whole.backward()
    drawn_after = torch.rand(1)

    torch.manual_seed(1)
    cached = cache_contrast(in_parts, PARTS, ErcLoss(config, in_parts.contrastive_memory))
    total = torch.zeros(())
    for of, contrast in zip(PARTS, cached, strict=True):
        output = in_parts(**inputs(of))
        loss = contrast(output.embeddings[of["labels"] >= 0], output.prototypes)
        loss.backward()
        total = total + loss.detach()
    assert torch.equal(torch.rand(1), drawn_after), "the generator continues as without a first pass"

    torch.testing.assert_close(total, whole.detach())
    expected = {name: p.grad for name, p in at_once.named_parameters() if p.grad is not None}
    assert max(float(value.abs().max()) for value in expected.values()) > 0.1
    for name, parameter in in_parts.named_parameters():
        if name in expected:
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-4, msg=name)
    memory, other = in_parts.contrastive_memory, at_once.contrastive_memory
    assert memory is not None
    assert other is not None
    assert all(torch.equal(a, b) for a, b in zip(memory.buffers(), other.buffers(), strict=True))


def test_the_first_pass_leaves_no_graph(config: ErcConfig) -> None:
    model = fresh(config)
    cached = cache_contrast(model, PARTS, ErcLoss(config, model.contrastive_memory))
    assert not any(x.requires_grad for c in cached for x in (c.value, c.embeddings, c.prototypes))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [len(c.embeddings) for c in cached] == [5, 0, 3]


def test_both_passes_mask_the_same_sound() -> None:
    """SpecAugment of wav2vec 2.0 draws from the generator of NumPy."""
    waves = Wav2Vec2Config(
        **TRANSFORMER,
        conv_dim=(8,),
        conv_kernel=(10,),
        conv_stride=(10,),
        num_feat_extract_layers=1,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        mask_time_prob=0.5,
        mask_time_length=4,
    )
    torch.manual_seed(0)
    model = ErcForSequenceClassification(ErcConfig(**SMALL, audio_config=waves)).train()
    of = {
        "utterance_mask": torch.ones(1, 2).bool(),
        "audio_values": torch.randn(2, 800),
        "labels": torch.tensor([[0, 1]]),
    }
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(1)
    expected = model(**inputs(of)).embeddings
    drawn_after = np.random.rand()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(1)
    cache_contrast(model, [of], ErcLoss(model.config))
    torch.testing.assert_close(model(**inputs(of)).embeddings, expected)
    assert np.random.rand() == drawn_after, "the generator continues as without a first pass"  # noqa: NPY002
