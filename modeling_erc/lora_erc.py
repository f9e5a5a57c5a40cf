"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) inside a backbone, through peft."""

from torch import nn
from transformers import PreTrainedModel

try:
    import peft
except ImportError:
    peft = None


def add_lora(backbone: PreTrainedModel, rank: int) -> None:
    """Puts adapters into every linear layer of `backbone`, in place.

    Args:
        backbone: changed in place.
        rank: inner width of the adapters.

    Raises:
        ImportError: peft is not installed.
    """
    if peft is None:
        raise ImportError('lora_modalities needs peft: pip install "modeling-erc[lora]"')
    peft.inject_adapter_in_model(
        peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules="all-linear"), backbone
    )
    for name, weight in backbone.named_parameters():
        if "lora_" in name:
            # peft has initialised it; transformers would do so again, and a fresh adapter would not start at nothing.
            weight._is_hf_initialized = True  # type: ignore[attr-defined]


def train_adapters_only(backbone: nn.Module) -> None:
    """Leaves the adapters as the only weights of `backbone` that are trained."""
    for name, weight in backbone.named_parameters():
        weight.requires_grad_("lora_" in name)


def merge_lora(backbone: nn.Module) -> None:
    """Folds the adapters into the weights that they adapt, in place: what is left is an ordinary backbone."""
    adapted = [name for name, module in backbone.named_modules() if hasattr(module, "base_layer")]
    for name in adapted:
        parent = backbone.get_submodule(name.rpartition(".")[0])
        layer = backbone.get_submodule(name)
        layer.merge()  # type: ignore[operator]
        setattr(parent, name.rpartition(".")[2], layer.base_layer)
