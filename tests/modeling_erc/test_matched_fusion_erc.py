import itertools
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch

from modeling_erc import ErcConfig, ErcModel, ErcProcessor
from modeling_erc.fusion_erc import FUSIONS, JointVectorFusion, MatchedFusion, matched_width, num_parameters

MakeConfig = Callable[..., ErcConfig]

every_other = pytest.mark.parametrize("name", ["concat", "cross_attention", "gated", "tensor"])


@every_other
@pytest.mark.parametrize("modalities", [("text",), ("text", "audio"), ("text", "audio", "vision")])
def test_every_fusion_is_as_large_as_joint_vectors(
    name: str, modalities: tuple[str, ...], feature_config: MakeConfig
) -> None:
    for hidden, times, layers in itertools.product((64, 128, 256), (2, 4), (1, 2, 3)):
        sizes = {"hidden_size": hidden, "intermediate_size": times * hidden, "num_fusion_layers": layers}
        config = feature_config(*modalities, **sizes, num_joint_vectors=4)
        with torch.device("meta"):
            count, expected = num_parameters(FUSIONS[name](config)), num_parameters(JointVectorFusion(config))
        assert count == pytest.approx(expected, rel=0.01), sizes


@pytest.mark.parametrize("name", ["concat", "gated", "tensor"])
def test_late_fusions_work_without_layers_of_their_own(
    name: str, feature_config: MakeConfig, feature_dialogues: list[list[dict[str, Any]]]
) -> None:
    config = feature_config(fusion=name, num_fusion_layers=0)
    model = ErcModel(config).eval()
    assert isinstance(model.fusion, MatchedFusion) and model.fusion.width == config.intermediate_size
    assert model(**ErcProcessor(modalities=config.modalities)(feature_dialogues)).last_hidden_state.isfinite().all()


@pytest.mark.parametrize("name", ["joint_vector", "cross_attention"])
def test_a_fusion_whose_layers_fuse_needs_one(name: str, feature_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match=f"'{name}' needs num_fusion_layers of at least 1"):
        ErcModel(feature_config(fusion=name, num_fusion_layers=0))


@pytest.mark.parametrize("target", [0, 110, 129, 131, 5000, 5011])
def test_the_matched_width_comes_nearest(target: int) -> None:
    width = matched_width(lambda width: 100 + 20 * width, target)
    assert width == min(range(1, 300), key=lambda other: abs(100 + 20 * other - target))


@every_other
def test_the_inner_width_follows_from_the_config_and_costs_no_random_number(
    name: str, feature_config: MakeConfig
) -> None:
    config = feature_config()
    torch.manual_seed(0)
    by_rule = FUSIONS[name](config)
    assert isinstance(by_rule, MatchedFusion)
    torch.manual_seed(0)
    given = cast(type[MatchedFusion], FUSIONS[name])(ErcConfig(**config.to_dict()), by_rule.width)
    for key, value in given.state_dict().items():
        assert value.device.type == "cpu" and torch.equal(value, by_rule.state_dict()[key]), key
