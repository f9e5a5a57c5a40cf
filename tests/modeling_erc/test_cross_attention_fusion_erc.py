from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from modeling_erc import ErcConfig, ErcModel
from modeling_erc.fusion_erc import CrossAttentionFusion, CrossmodalLayer

MakeConfig = Callable[..., ErcConfig]
LENGTHS = {"text": 4, "audio": 3, "vision": 1}


def fresh(config: ErcConfig) -> CrossAttentionFusion:
    torch.manual_seed(0)
    fusion = cast(CrossAttentionFusion, ErcModel(config).fusion.eval())
    for parameter in fusion.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return fusion


def slow_layer(layer: CrossmodalLayer, target: Tensor, source: Tensor) -> Tensor:
    """One utterance, `(length, hidden)`, head by head, nothing masked."""
    queries = layer.query(layer.attention_norm(target)).chunk(layer.num_heads, dim=1)
    keys, values = layer.key_value(layer.attention_norm(source)).chunk(2, dim=1)
    heard = []
    for query, key, value in zip(
        queries, keys.chunk(layer.num_heads, dim=1), values.chunk(layer.num_heads, dim=1), strict=True
    ):
        weights = (query @ key.T / query.shape[1] ** 0.5).exp()
        heard.append(weights @ value / (weights.sum(dim=1, keepdim=True) + 1))  # 1 = exp(0), the null position
    target = target + layer.attention_output(torch.cat(heard, dim=1))
    return target + cast(Tensor, layer.feed_forward(target))


def layers(stack: nn.Module) -> list[CrossmodalLayer]:
    return [cast(CrossmodalLayer, layer) for layer in cast(nn.ModuleList, stack)]


@pytest.mark.parametrize("modalities", [("text",), ("text", "audio"), ("text", "audio", "vision")])
def test_it_equals_a_plain_loop_over_utterances_and_pairs(
    modalities: tuple[str, ...], feature_config: MakeConfig
) -> None:
    fusion = fresh(feature_config(*modalities, fusion="cross_attention"))
    present = torch.cartesian_prod(*[torch.tensor([True, False])] * len(modalities)).reshape(-1, len(modalities))
    count = len(present)
    tokens = {m: torch.randn(count, LENGTHS[m], 32) for m in modalities}
    ends = {m: torch.randint(1, LENGTHS[m] + 1, (count, 1)) * present[:, i, None] for i, m in enumerate(modalities)}
    token_mask = {m: torch.arange(LENGTHS[m]) < ends[m] for m in modalities}
    output = fusion(tokens, token_mask, present)
    for row in range(count):
        here = [m for i, m in enumerate(modalities) if present[row, i]]
        own = {m: tokens[m][row, token_mask[m][row]] for m in here}
        vectors = {m: torch.zeros(32) for m in modalities}
        for target in here:
            streams = []
            for source in here:
                if source != target:
                    stream = own[target]
                    for layer in layers(fusion.crossmodal_layers[f"{source}_to_{target}"]):
                        stream = slow_layer(layer, stream, own[source])
                    streams.append(stream)
            states = torch.stack(streams).mean(dim=0) if streams else own[target]
            for layer in layers(fusion.self_layers[target]):
                states = slow_layer(layer, states, states)
            vectors[target] = fusion.modality_norms[target](states.mean(dim=0))
            assert torch.allclose(output.per_modality[target][row], vectors[target], atol=1e-5)
        expected = fusion.net(torch.cat([vectors[m] for m in modalities]))
        assert torch.allclose(output.joint[row], expected, atol=1e-5)


def test_a_single_modality_has_no_crossmodal_layers(feature_config: MakeConfig) -> None:
    fusion = fresh(feature_config("audio", fusion="cross_attention"))
    assert len(fusion.crossmodal_layers) == 0 and len(layers(fusion.self_layers["audio"])) == 2


@pytest.mark.parametrize(
    ("modalities", "heads", "width"),
    [(("text",), 4, 64), (("text", "audio"), 4, 32), (("text", "audio", "vision"), 4, 20), (tuple(LENGTHS), 32, 32)],
)
def test_the_attentions_of_a_target_share_the_width_of_one(
    modalities: tuple[str, ...], heads: int, width: int, feature_config: MakeConfig
) -> None:
    sizes = {"hidden_size": 64, "num_attention_heads": heads}
    fusion = fresh(feature_config(*modalities, fusion="cross_attention", **sizes))
    assert layers(fusion.self_layers["text"])[0].query.out_features == width


def test_a_target_can_decline_to_listen(feature_config: MakeConfig) -> None:
    config = feature_config("text", "audio", fusion="cross_attention")
    layer = layers(fresh(config).crossmodal_layers["audio_to_text"])[0]
    target, source, seen = torch.randn(1, 2, 32), torch.randn(1, 1, 32), torch.ones(1, 1).bool()
    nn.init.ones_(layer.query.bias)
    nn.init.zeros_(layer.query.weight)
    with torch.no_grad():
        key = layer.key_value.weight[: layer.query.out_features]
        nn.init.zeros_(key)
        layer.key_value.bias[: layer.query.out_features] = -1e3  # far below the null position's score of 0
    declined = layer(target, source, seen)
    assert torch.equal(declined, layer(target, torch.randn(1, 1, 32), seen))
    assert torch.allclose(declined, layer(target, source, ~seen), atol=1e-6)
