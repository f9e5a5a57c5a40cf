"""What is trained, and at which rate: the backbones, each layer of them, and the rest."""

from collections import Counter, defaultdict
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback

from ..modeling_erc import ErcPreTrainedModel


def freeze_lower_layers(model: ErcPreTrainedModel, count: int) -> None:
    """Freezes all but the uppermost layers of the backbones, in place: their gradients cost neither time nor memory.

    Args:
        model: the model.
        count: number of layers of each backbone that stay trained.

    Raises:
        ValueError: a backbone has no layers, or fewer than `count`, or a lower one is read; or no backbone is trained.
    """
    if not (backbones := _trained_backbones(model)):
        raise ValueError(f"--unfreeze_layers {count} has no effect: no backbone is trained; leave it out")
    for modality, backbone in backbones.items():
        if (read := model.erc_model.encoder(modality).layer) not in ("last", "mix"):
            raise ValueError(
                f"--unfreeze_layers {count} counts from the last layer, but {modality}_layer is {read}: leave one out"
            )
        above = layers_above(backbone)
        if count > (layers := max(above.values())):
            raise ValueError(f"--unfreeze_layers {count}: the {modality} backbone has {layers} layers")
        for parameter in backbone.parameters():
            if above[id(parameter)] >= count:
                parameter.requires_grad_(False)


def _trained_backbones(model: ErcPreTrainedModel) -> dict[str, nn.Module]:
    backbones = {name: model.erc_model.encoder(name).backbone for name in model.erc_model.encoders}
    return {
        name: backbone for name, backbone in backbones.items() if any(p.requires_grad for p in backbone.parameters())
    }


def split_groups(
    optimizer: torch.optim.Optimizer, model: ErcPreTrainedModel, rate: float | None, layer_decay: float
) -> None:
    """Splits the groups of an optimizer, in place, so that the layers of the backbones have rates of their own.

    With a layer decay, the embeddings and the lower layers, which hold general features, change less than the upper
    ones (Howard and Ruder 2018, arXiv 1801.06146; Clark et al. 2020, arXiv 2003.10555).

    Args:
        optimizer: the optimizer, not used yet.
        model: the model, not wrapped.
        rate: learning rate of the uppermost layer of a backbone; `None`: that of the optimizer's group.
        layer_decay: rate of a layer divided by that of the layer above it.

    Raises:
        ValueError: a backbone has no layers that could have different rates.
    """
    depths: dict[int, int] = {}
    for backbone in _trained_backbones(model).values():
        depths |= dict.fromkeys(map(id, backbone.parameters()), 0) if layer_decay == 1 else layers_above(backbone)
    for group in list(optimizer.param_groups):
        inside: dict[int, list[nn.Parameter]] = defaultdict(list)
        for parameter in group["params"]:
            if id(parameter) in depths:
                inside[depths[id(parameter)]].append(parameter)
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in depths]
        group["backbone"] = False
        settings = {key: value for key, value in group.items() if key not in ("params", "lr", "initial_lr")}
        highest = group["lr"] if rate is None else rate
        for depth, parameters in sorted(inside.items()):
            own = {"params": parameters, "lr": highest * layer_decay**depth, "backbone": True}
            optimizer.add_param_group({**settings, **own})


def layers_above(backbone: nn.Module) -> dict[int, int]:
    """Returns the number of layers above each parameter of a backbone, by its `id`; embeddings are below all layers.

    Raises:
        ValueError: the backbone has no list of `num_hidden_layers` layers.
    """
    count = getattr(backbone.config, "num_hidden_layers", None)
    stacks = [m for m in backbone.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not stacks:
        raise ValueError(
            f"{type(backbone).__name__} has no stack of layers that could be trained differently: leave out "
            "layer_decay and unfreeze_layers, or freeze this backbone"
        )
    layers = list(stacks[-1])
    numbers = {id(p): len(layers) - 1 - number for number, layer in enumerate(layers) for p in layer.parameters()}
    holder = next(m for m in backbone.modules() if any(child is stacks[-1] for child in m.children()))
    beside = {id(p): name for name, p in holder.named_parameters() if id(p) not in numbers}
    # Relative positions, as in MPNet and DeBERTa, are defined behind the layers and go into each of them.
    relative = any(name.startswith("rel") for name in beside.values())
    above, passed = {}, False
    for parameter in backbone.parameters():
        passed = passed or id(parameter) in numbers
        last = passed and not (relative and id(parameter) in beside)
        above[id(parameter)] = numbers.get(id(parameter), 0 if last else len(layers))
    return above


class TrainedParts(TrainerCallback):
    """Prints what is trained, with numbers of parameters and learning rates, at the start of a training."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Prints one line for each part; only on the first process."""
        if state.is_world_process_zero:
            model = kwargs["model"]
            print("\n".join(trained_parts(getattr(model, "module", model), kwargs["optimizer"])))


def trained_parts(model: ErcPreTrainedModel, optimizer: Any) -> list[str]:
    """Returns one line for each part of a model: number of parameters, and highest learning rate or `frozen`."""
    rates = {
        id(parameter): group.get("initial_lr", group["lr"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    part_of = {
        id(parameter): f"{modality} backbone"
        for modality in model.erc_model.encoders
        for parameter in model.erc_model.encoder(modality).backbone.parameters()
    }
    sizes: Counter[tuple[str, bool]] = Counter()
    part_rates: dict[str, set[float]] = defaultdict(set)
    for parameter in model.parameters():
        part = part_of.get(id(parameter), "fusion, context and heads")
        trained = id(parameter) in rates
        sizes[part, trained] += parameter.numel()
        if trained:
            part_rates[part].add(rates[id(parameter)])
    lines = []
    for (part, trained), size in sizes.items():
        low, high = (min(part_rates[part]), max(part_rates[part])) if trained else (0.0, 0.0)
        span = f"{high:g}" if low == high else f"{low:.2g} (lowest layer) to {high:g} (last)"
        lines.append(f"{part}: {size:,} parameters, {f'learning rate {span}' if trained else 'frozen'}")
    return lines
