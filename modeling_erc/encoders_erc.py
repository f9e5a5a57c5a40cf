"""Encoders: `AutoModel` backbones for text, speech and images, and their projections. One registry: `ENCODERS`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from .configuration_erc import MODALITIES, ErcConfig
from .layers_erc import Dropout, length_buckets, pick_tokens, unsplit
from .registry_erc import Registry
from .text_context_erc import text_positions

BUCKET_SIZE = 32  # rows in a length bucket of a backbone
# Mean tokens of long rows of text, and tokens in a bucket of them on a CPU, where their padding costs more than calls.
LONG_TEXT, BUCKET_TOKENS = 64, 256
SPANS = 2  # masked spans per axis of SpecAugment
FARTHEST = 1e4  # standard deviations to which features are cut: wrong ones stay finite


def unimodal_config(config: PreTrainedConfig, modality: str) -> PreTrainedConfig:
    """Returns the part of a multi-tower config that belongs to `modality`, e.g. `vision_config` of CLIP."""
    tower = getattr(config, f"{modality}_config", None)
    return tower if isinstance(tower, PreTrainedConfig) else config


def strip_backbone(model: PreTrainedModel) -> PreTrainedModel:
    """Removes parts that do not contribute to hidden states: decoder and pooling head."""
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    pooler = getattr(model, "pooler", None)
    # That of a ResNet has no parameters, and the model calls it in any case.
    if pooler is not None and any(True for _ in pooler.parameters()):
        model.pooler = None
    if model.config.model_type.startswith("convnext"):
        model.layernorm = nn.Identity()  # used for the pooled output only
    if getattr(model.config, "layerdrop", 0.0):
        model.config.layerdrop = 0.0  # dropping a layer would shift the numbers of the others
    return model


class BackboneEncoder(nn.Module, ABC):
    """Runs a backbone over packed utterances and returns the hidden states of the chosen layer.

    Args:
        config: config of the model.
        modality: modality of the backbone.
    """

    def __init__(self, config: ErcConfig, modality: str) -> None:
        super().__init__()
        self.layer: str = getattr(config, f"{modality}_layer")
        self.frozen = modality in (config.frozen_modalities or [])
        self.lora_rank = config.lora_rank if modality in (config.lora_modalities or []) else 0
        # The file of a backbone may name a lower precision, in which it would be trained.
        dtype = torch.get_default_dtype()
        self.set_backbone(AutoModel.from_config(config.backbone_config(modality), dtype=dtype))

    def set_backbone(self, model: PreTrainedModel) -> None:
        """Sets `model` as the backbone and freezes or adapts it according to the config."""
        self.backbone = strip_backbone(model)
        if self.lora_rank and not self.frozen:
            add_lora(self.backbone, self.lora_rank)
        self.freeze()

    def freeze(self) -> None:
        """Freezes the weights that are not trained according to the config."""
        if self.frozen:
            self.backbone.requires_grad_(False).eval()
        elif self.lora_rank:
            train_adapters_only(self.backbone)

    def forward(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes N utterances with length bucketing.

        Args:
            **inputs: inputs of [`encode`].

        Returns:
            tokens `(N, tokens, width)`, or `(N, layers, tokens, width)` for the layer `"mix"`, and their boolean mask
            `(N, tokens)`.
        """
        lengths = self.lengths(inputs)
        size = self.bucket_size(lengths)
        # In a compiled graph all rows are one batch, unless padding would change the result.
        if lengths is None or (torch.compiler.is_compiling() and size > 1) or len(lengths) <= size:
            return self.encode(**inputs)
        groups = length_buckets(lengths, size)
        outputs = [self.encode(**self.trim(inputs, rows, int(lengths[rows].max()))) for rows in groups]
        tokens = unsplit([tokens for tokens, _ in outputs], groups)
        return tokens, unsplit([mask[..., None] for _, mask in outputs], groups)[..., 0]

    @abstractmethod
    def encode(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes all utterances in one batch; returns the same as `forward`."""

    def bucket_size(self, lengths: Tensor | None = None) -> int:
        """Returns the number of rows in a length bucket; `lengths` are those of all rows, if they differ."""
        return BUCKET_SIZE

    def lengths(self, inputs: dict[str, Tensor]) -> Tensor | None:
        """Returns the input length of each row without padding, `(N,)`; `None` if all have one length."""
        return None

    def trim(self, inputs: dict[str, Tensor], rows: Tensor, length: int) -> dict[str, Tensor]:
        """Selects rows and removes the padding beyond `length`."""
        return {name: value[rows] for name, value in inputs.items()}

    def choose_layer(self, last: Tensor, hidden_states: tuple[Tensor, ...] | None) -> Tensor:
        """Returns the layer set in the config; hidden states are tokens or feature maps `(N, width, rows, columns)`."""
        if self.layer == "last":
            return _flat_tokens(last)
        layers = [_flat_tokens(states) for states in hidden_states or ()]
        if not layers or any(states.shape != layers[0].shape for states in layers):
            raise ValueError(f"{type(self.backbone).__name__} has layers of different shapes: use layer 'last'")
        if self.layer == "mix":
            return torch.stack(layers, dim=1)
        try:
            return layers[int(self.layer)]
        except (ValueError, IndexError):
            raise ValueError(
                f"layer {self.layer!r} of {type(self.backbone).__name__}: use 'last', 'mix' or 0..{len(layers) - 1}"
            ) from None

    def run_backbone(self, **inputs: Tensor | None) -> Tensor:
        """Runs the backbone, in its own precision, and selects the layer."""
        inputs = {
            name: value.to(self.backbone.dtype) if value is not None and value.is_floating_point() else value
            for name, value in inputs.items()
        }
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            output = self.backbone(**inputs, output_hidden_states=self.layer != "last")
        return self.choose_layer(output.last_hidden_state, getattr(output, "hidden_states", None))

    def train(self, mode: bool = True) -> "BackboneEncoder":
        """Keeps a frozen backbone in eval mode, so that its dropout and norms are inactive."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self


def _flat_tokens(states: Tensor) -> Tensor:
    # Convolutional image backbones give (N, width, rows, columns).
    return states.flatten(2).transpose(1, 2) if states.dim() == 4 else states


ENCODERS: Registry[type[BackboneEncoder]] = Registry("encoder")


@ENCODERS.register("text")
class TextEncoder(BackboneEncoder):
    """Text backbone. Returns the tokens of the utterance without those of neighbouring utterances in the input."""

    def forward(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes text of N utterances, each in a row of its own or in windows that utterances share.

        Args:
            **inputs: inputs of [`encode`]; for windows, `text_token_index` `(N, tokens)` in place of `text_token_mask`:
                positions of the tokens of an utterance in the flattened `input_ids`, then -1.
        """
        index = inputs.pop("text_token_index", None)
        if index is None:
            return super().forward(**inputs)
        states, _ = super().forward(**inputs, text_token_mask=inputs["attention_mask"])
        length, places = inputs["input_ids"].shape[1], index.clamp(min=0)
        # The states end with the longest window.
        places = places - places // length * (length - states.shape[-2])
        return pick_tokens(states, places), index >= 0

    def encode(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes text.

        Args:
            input_ids: `(N, length)`.
            attention_mask: `(N, length)`.
            text_token_mask: `(N, length)`, True for tokens of the utterance; the others are context.
        """
        length, limit = inputs["input_ids"].shape[1], text_positions(self.backbone.config)
        if limit is not None and length > limit:
            raise ValueError(
                f"a text of {length} tokens with its neighbours: the {self.backbone.config.model_type} backbone has "
                f"{limit} positions; lower max_text_length to {limit}"
            )
        own = inputs["text_token_mask"].bool()
        tokens = self.run_backbone(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        if torch.compiler.is_compiling():  # the shortest length depends on the data; fusion ignores token positions
            return tokens, own
        # Own tokens move to the front in order, which shortens the input of the fusion.
        order = own.long().argsort(dim=1, descending=True, stable=True)[:, : int(own.sum(dim=1).max())]
        index = order[..., None].expand(-1, -1, tokens.shape[-1])
        if tokens.dim() == 4:
            index = index[:, None].expand(-1, tokens.shape[1], -1, -1)
        return tokens.gather(-2, index), own.gather(1, order)

    def bucket_size(self, lengths: Tensor | None = None) -> int:
        """Returns fewer rows where they are long."""
        if lengths is None or lengths.device.type != "cpu" or torch.compiler.is_compiling():
            return BUCKET_SIZE
        mean = int(lengths.sum()) // max(len(lengths), 1)
        return BUCKET_SIZE if mean < LONG_TEXT else max(1, BUCKET_TOKENS // mean)

    def lengths(self, inputs: dict[str, Tensor]) -> Tensor | None:
        """Returns the number of tokens of each row."""
        return inputs["attention_mask"].sum(dim=1)

    def trim(self, inputs: dict[str, Tensor], rows: Tensor, length: int) -> dict[str, Tensor]:
        """Selects rows and removes the padding beyond `length`."""
        return {name: value[rows, :length] for name, value in inputs.items()}


@ENCODERS.register("audio")
class AudioEncoder(BackboneEncoder):
    """Speech backbone over the output of its feature extractor: waveforms, log-mel frames or log-mel images."""

    def __init__(self, config: ErcConfig, modality: str) -> None:
        super().__init__(config, modality)
        self.stride = config.audio_token_stride
        self.masking = config.audio_masking

    def encode(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes speech.

        Args:
            audio_values: `(N, samples)`, `(N, mels, frames)`, `(N, frames, mels)` or `(N, channels, height, width)`.
            audio_attention_mask: `(N, samples or frames)`, if the feature extractor pads.
        """
        values, mask = inputs["audio_values"], inputs.get("audio_attention_mask")
        if self.training and self.masking:
            values = mask_spans(values, self.masking)
        if self.backbone.config.model_type == "whisper":
            assert mask is not None
            tokens, token_mask = self._whisper(values, mask.bool())
        else:
            name = self.backbone.main_input_name
            if mask is not None and hasattr(self.backbone, "_get_feature_vector_attention_mask"):
                tokens = self.run_backbone(**{name: values}, attention_mask=mask)
                token_mask = self.backbone._get_feature_vector_attention_mask(tokens.shape[-2], mask).bool()
            else:
                tokens = self.run_backbone(**{name: values})
                token_mask = tokens.new_ones(tokens.shape[0], tokens.shape[-2], dtype=torch.bool)
        return pool_tokens(tokens, token_mask, self.stride)

    def bucket_size(self, lengths: Tensor | None = None) -> int:
        """Returns 1 if a norm of the front-end runs over time, because padding would change the result."""
        over_time = getattr(self.backbone.config, "feat_extract_norm", None) == "group"
        return 1 if over_time else super().bucket_size(lengths)

    def lengths(self, inputs: dict[str, Tensor]) -> Tensor | None:
        """Returns the number of samples or frames of each row, if the feature extractor pads."""
        mask = inputs.get("audio_attention_mask")
        return None if mask is None else mask.sum(dim=1)

    def trim(self, inputs: dict[str, Tensor], rows: Tensor, length: int) -> dict[str, Tensor]:
        """Selects rows and removes the padding beyond `length`."""
        values, mask = inputs["audio_values"][rows], inputs["audio_attention_mask"][rows, :length]
        frames_first = values.dim() == 3 and self.backbone.config.model_type != "whisper"
        return {
            "audio_values": values[:, :length] if frames_first else values[..., :length],
            "audio_attention_mask": mask,
        }

    def _whisper(self, mel: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Runs Whisper's encoder without padding to 30 s, which its own forward requires.

        Padded frames are zero before each convolution and masked in attention, so that the tokens of a clip do not
        depend on its batch.
        """
        encoder = self.backbone
        states = nn.functional.gelu(encoder.conv1(mel.to(encoder.conv1.weight.dtype) * mask[:, None]))
        states = nn.functional.gelu(encoder.conv2(states * mask[:, None])).transpose(1, 2)
        token_mask = mask[:, ::2]
        states = states + encoder.embed_positions.weight[: states.shape[1]]
        states = nn.functional.dropout(states, encoder.dropout, encoder.training)
        bias = states.new_zeros(token_mask.shape).masked_fill(~token_mask, torch.finfo(states.dtype).min)
        hidden_states = [states]
        # Layers above the chosen one are not needed.
        for layer in encoder.layers[: int(self.layer) if self.layer.isdigit() else None]:
            hidden_states.append(layer(hidden_states[-1], bias[:, None, None]))
        if len(hidden_states) > len(encoder.layers):
            hidden_states[-1] = encoder.layer_norm(hidden_states[-1])
        return self.choose_layer(hidden_states[-1], tuple(hidden_states)), token_mask


@ENCODERS.register("vision")
class VisionEncoder(BackboneEncoder):
    """Image backbone. A frame becomes one token, the mean of its patches."""

    def encode(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes frames.

        Args:
            pixel_values: `(N, frames, channels, height, width)`.
        """
        pixels = inputs["pixel_values"]
        utterances, frames = pixels.shape[:2]
        pooled = self.run_backbone(pixel_values=pixels.flatten(0, 1)).mean(dim=-2)  # (N * frames, [layers,] width)
        tokens = pooled.unflatten(0, (utterances, frames))
        if tokens.dim() == 4:
            tokens = tokens.transpose(1, 2)
        return tokens, tokens.new_ones(utterances, frames, dtype=torch.bool)


def used_inputs(modality: str, inputs: Mapping[str, Tensor | None], *, encoded: bool) -> dict[str, Tensor]:
    """Returns the inputs of a modality that a model uses; features replace those of the backbone.

    Args:
        modality: the modality.
        inputs: all inputs of the model by name.
        encoded: whether the modality has a backbone.
    """
    names = MODALITIES[modality]
    used = names.inputs if encoded else ()
    if inputs[names.features] is not None:
        used = (names.features, f"{names.features}_mask")
    return {name: value for name in used if (value := inputs[name]) is not None}


def check_rows(packed: Mapping[str, Mapping[str, Tensor]], present: Tensor) -> None:
    """Raises `ValueError` if the inputs of a modality have another number of rows than utterances have it.

    `packed` holds the inputs of each modality by name; `present` is boolean `(N, modalities)`.
    """
    if (found := present.shape[1]) != len(packed):
        raise ValueError(f"modality_mask has {found} column(s), not {', '.join(packed)}: set processor.modalities")
    for (modality, inputs), rows in zip(packed.items(), present.sum(dim=0).tolist(), strict=True):
        # Utterances share windows of text.
        found = len(inputs.get("text_token_index", next(iter(inputs.values())))) if inputs else 0
        if found != rows:
            raise ValueError(f"{found} rows of {modality} for {rows} utterances that have it (modality_mask)")


def take_rows(inputs: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """Returns the inputs of some utterances of a modality; of shared windows of text those that hold the utterances.

    Args:
        inputs: packed inputs of the modality.
        rows: indices of its utterances.
    """
    index = inputs.get("text_token_index")
    if index is None:
        return {name: value[rows] for name, value in inputs.items()}
    index, length = index[rows], inputs["input_ids"].shape[1]
    windows, place = (index[:, 0] // length).unique(return_inverse=True)
    moved = (place[:, None] * length + index % length).where(index >= 0, -1)
    return {name: moved if name == "text_token_index" else value[windows] for name, value in inputs.items()}


def pool_tokens(tokens: Tensor, mask: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Averages groups of `stride` neighbouring tokens, ignoring padding.

    Args:
        tokens: `(N, [layers,] tokens, width)`.
        mask: boolean `(N, tokens)`.
        stride: number of tokens that become one.
    """
    if stride == 1:
        return tokens, mask
    padding = -tokens.shape[-2] % stride
    tokens = nn.functional.pad(tokens, (0, 0, 0, padding)).unflatten(-2, (-1, stride))
    mask = nn.functional.pad(mask, (0, padding)).unflatten(-1, (-1, stride))
    weights = mask[..., None].to(tokens.dtype)
    if tokens.dim() == 5:
        weights = weights[:, None]
    return (tokens * weights).sum(dim=-2) / weights.sum(dim=-2).clamp(min=1.0), mask.any(dim=-1)


def mask_spans(values: Tensor, share: float) -> Tensor:
    """SpecAugment without time warping (Park et al. 2019, arXiv 1904.08779).

    Sets `SPANS` spans of the last axis, and of the one before it if there is one, to the mean of the row. Length (up to
    `share` of the axis) and position of a span are random.

    Args:
        values: `(N, samples)`, `(N, mels, frames)`, `(N, frames, mels)` or `(N, channels, height, width)`.
        share: largest length of a span as a share of the axis, from 0 to 1.

    Returns:
        a tensor of the same shape.

    Example:
        >>> mask_spans(torch.randn(4, 80, 300), share=0.2).shape
        torch.Size([4, 80, 300])
    """
    rows = len(values)
    masked = torch.zeros_like(values, dtype=torch.bool)
    for axis in range(1 if values.dim() == 2 else values.dim() - 2, values.dim()):
        length = values.shape[axis]
        for _ in range(SPANS):
            width = torch.rand(rows, 1, device=values.device) * share * length
            start = torch.rand(rows, 1, device=values.device) * (length - width)
            position = torch.arange(length, device=values.device)
            span = (position >= start) & (position < start + width)
            masked |= span.view(rows, *(length if i == axis else 1 for i in range(1, values.dim())))
    mean = values.flatten(1).mean(dim=1).view(rows, *[1] * (values.dim() - 1))
    return torch.where(masked, mean, values)


class ModalityProjection(nn.Module):
    """Projects tokens of a modality to the hidden width: layer mix, standardisation or norm, linear map.

    `feature_mean` and `feature_scale` standardise precomputed features. They are computed from the training split (see
    [`ErcPreTrainedModel.set_feature_statistics`]) and saved with the checkpoint. They stay in float32 where the model
    is cast to half precision, which would round features with a large mean and overflow on large ones.
    """

    def __init__(self, config: ErcConfig, modality: str) -> None:
        super().__init__()
        backbone = config.backbone_config(modality)
        mixes = backbone is not None and getattr(config, f"{modality}_layer") == "mix"
        width = (config.feature_sizes or {})[modality] if backbone is None else backbone_width(backbone)
        self.layer_weights = nn.Parameter(torch.empty(backbone.num_hidden_layers + 1)) if mixes and backbone else None
        self.feature_mean: Tensor
        self.feature_scale: Tensor
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_scale", torch.ones(width))
        self.norm: nn.Module = nn.Identity() if backbone is None else nn.LayerNorm(width)
        self.linear = nn.Linear(width, config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def set_initial_weights(self) -> None:
        """Sets statistics that change nothing, and an even mix of the layers."""
        init.zeros_(self.feature_mean)
        init.ones_(self.feature_scale)
        if self.layer_weights is not None:
            init.zeros_(self.layer_weights)

    def no_tokens(self) -> tuple[Tensor, Tensor]:
        """Returns the tokens of no utterance, `(0, [layers,] 1, width)`, and their mask `(0, 1)`."""
        layers = () if self.layer_weights is None else (len(self.layer_weights),)
        tokens = self.feature_mean.new_zeros(0, *layers, 1, len(self.feature_mean))
        return tokens, tokens.new_zeros(0, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Projects `(N, [layers,] tokens, width)` to `(N, tokens, hidden)`."""
        tokens = tokens.to(self.feature_mean.dtype)
        if self.layer_weights is not None:
            weights = self.layer_weights.to(tokens.dtype).softmax(dim=0)
            tokens = torch.einsum("l,nltw->ntw", weights, tokens)
        tokens = ((tokens - self.feature_mean) / self.feature_scale).clamp(-FARTHEST, FARTHEST)
        # A linear layer with eight-bit weights has another class and takes float32.
        dtype = self.linear.weight.dtype if isinstance(self.linear, nn.Linear) else torch.float32
        return self.dropout(self.linear(self.norm(tokens.to(dtype))))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ModalityProjection":
        statistics = {"feature_mean": self.feature_mean, "feature_scale": self.feature_scale}
        super()._apply(fn, recurse)
        for name, exact in statistics.items():
            moved = getattr(self, name)
            if moved.dtype.itemsize < exact.dtype.itemsize:
                setattr(self, name, exact.to(moved.device))
        return self


def backbone_width(config: PreTrainedConfig) -> int:
    """Returns the width of the hidden states of a backbone."""
    width: int = config.hidden_size if hasattr(config, "hidden_size") else config.hidden_sizes[-1]
    return width


def add_lora(backbone: PreTrainedModel, rank: int) -> None:
    """Adds low-rank adapters to every linear layer of `backbone`, in place.

    Args:
        backbone: model to adapt.
        rank: rank of the adapters.

    Raises:
        ImportError: peft is not installed.
    """
    try:
        import peft
    except ImportError:
        raise ImportError('lora_modalities needs peft: pip install "modeling-erc[lora]"') from None
    peft.inject_adapter_in_model(
        peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules="all-linear"), backbone
    )
    for name, weight in backbone.named_parameters():
        if "lora_" in name:
            # Initialised by peft; transformers would do so again, and a new adapter would not start at zero.
            weight._is_hf_initialized = True  # type: ignore[attr-defined]


def train_adapters_only(backbone: nn.Module) -> None:
    """Makes the adapters the only trainable weights of `backbone`."""
    for name, weight in backbone.named_parameters():
        weight.requires_grad_("lora_" in name)


def merge_lora(backbone: nn.Module) -> None:
    """Merges the adapters into the weights of the backbone, in place."""
    adapted = [name for name, module in backbone.named_modules() if hasattr(module, "base_layer")]
    for name in adapted:
        parent = backbone.get_submodule(name.rpartition(".")[0])
        layer = backbone.get_submodule(name)
        layer.merge()  # type: ignore[operator]
        setattr(parent, name.rpartition(".")[2], layer.base_layer)
