"""The ERC models: encoders, fusion, context and heads."""

from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init

from .configuration_erc import MODALITIES, ErcConfig
from .context_erc import CONTEXTS, SpeakerCentering, in_context
from .encoders_erc import ENCODERS, BackboneEncoder, ModalityProjection, check_rows, merge_lora, take_rows, used_inputs
from .fusion_erc import FUSIONS, fuse
from .layers_erc import (
    AttentionPool,
    ContrastiveHead,
    ContrastiveMemory,
    Dropout,
    Packing,
    drop_modalities,
    length_buckets,
    masked_mean,
    unsplit,
)
from .losses_erc import ErcLoss
from .outputs_erc import ErcClassifierOutput, ErcModelOutput
from .streaming_erc import ErcStream

if TYPE_CHECKING:  # loading a model does not need media libraries
    from .processing_erc import ErcProcessor

NO_DIALOGUES = (
    "utterance_mask is missing: the model takes dialogues as its ErcProcessor encodes them. For words or media use "
    'pipeline("emotion-recognition-in-conversation", model=CHECKPOINT)([{"speaker": "Ann", "text": "We won!"}])'
)
NO_HIDDEN_STATES = (
    "output_hidden_states is not supported: the output has last_hidden_state; for the layers of a backbone call "
    'model.erc_model.encoder("text").backbone, or audio or vision'
)
# Utterances that are encoded and fused at a time in inference.
GROUP = 512


class ErcPreTrainedModel(PreTrainedModel):
    """Base class with loading, saving and weight initialisation."""

    config_class = ErcConfig
    base_model_prefix = "erc"
    main_input_name = "utterance_mask"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    # Statistics of features (see `ModalityProjection`).
    _keep_in_fp32_modules_strict: ClassVar[set[str]] = {"feature_mean", "feature_scale"}
    # Otherwise the Trainer concludes from **kwargs in forward that the model scales the loss.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialises linear layers and norms as transformers does; a module with other weights sets its own."""
        super()._init_weights(module)
        if isinstance(module, nn.GRU):
            for weight in module.parameters():
                init.uniform_(weight, -(module.hidden_size**-0.5), module.hidden_size**-0.5)
        elif (set_initial := getattr(module, "set_initial_weights", None)) is not None:
            set_initial()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Loads a checkpoint and freezes the backbones that its config names.

        Only safetensors files are opened, regardless of `use_safetensors`: a pickle can execute any code.

        Raises:
            ValueError: `device_map` puts parts of the model on different devices.
        """
        kwargs["use_safetensors"] = True
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        devices = sorted({str(weight.device) for weight in model.parameters()})
        if len(devices) > 1 or devices == ["meta"]:
            raise ValueError(
                f"device_map puts the weights on {' and '.join(devices)} (meta: offloaded), but layers read each "
                'other\'s weights: put all on one device, such as device_map="cuda:0" or "cpu"'
            )
        for modality in model.erc_model.encoders:
            model.erc_model.encoder(modality).freeze()
        return loaded

    def save_pretrained(self, save_directory: str | PathLike, **kwargs: Any) -> None:
        """Saves weights, config and code, including the pipeline.

        State-dict keys are not converted to the legacy format of a backbone: the Trainer restores checkpoints with
        `strict=False` and would silently skip renamed keys.
        """
        # The import makes transformers copy the file. At the top it would load all pipelines of transformers.
        from .pipeline_erc import CUSTOM_PIPELINES

        kwargs.setdefault("save_original_format", False)
        classes = {"AutoModel": ErcModel, "AutoModelForSequenceClassification": ErcForSequenceClassification}
        auto_map = {auto: f"modeling_erc.{cls.__name__}" for auto, cls in classes.items()}
        self.config.auto_map = {**(getattr(self.config, "auto_map", None) or {}), **auto_map}
        self.config.custom_pipelines = CUSTOM_PIPELINES
        super().save_pretrained(save_directory, **kwargs)
        # safetensors makes files that only their owner can read; a shared folder needs the mode of all other files.
        mode = (Path(save_directory) / "config.json").stat().st_mode
        for weights in Path(save_directory).glob("*.safetensors"):
            weights.chmod(mode)

    def get_input_embeddings(self) -> nn.Module:
        """Returns the token embeddings of the text backbone.

        Raises:
            NotImplementedError: the model has no text backbone.
        """
        return self._text_backbone().get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Sets the token embeddings of the text backbone."""
        self._text_backbone().set_input_embeddings(value)

    def _text_backbone(self) -> PreTrainedModel:
        if "text" not in self.erc_model.encoders:
            raise NotImplementedError("the model has no text backbone and so no token embeddings")
        return self.erc_model.encoder("text").backbone

    @property
    def erc_model(self) -> "ErcModel":
        """The base model without heads."""
        model: ErcModel = self.base_model
        return model

    def load_backbones(self, sources: dict[str, str]) -> None:
        """Loads pretrained weights into the backbones.

        Args:
            sources: Hub id or local folder for each modality; its architecture must be that of the config.
        """
        for modality, source in sources.items():
            config = self.config.backbone_config(modality)
            # The config selects one tower of a multi-tower checkpoint (CLIP).
            backbone = AutoModel.from_pretrained(source, config=config, dtype=self.dtype, use_safetensors=True)
            self.erc_model.encoder(modality).set_backbone(backbone)

    def merge_lora(self) -> None:
        """Merges low-rank adapters into their backbones, so that the checkpoint loads without peft."""
        for modality in self.config.lora_modalities or []:
            merge_lora(self.erc_model.encoder(modality).backbone)
        self.config.lora_modalities = []

    def set_feature_statistics(self, modality: str, mean: Tensor, scale: Tensor) -> None:
        """Sets `mean` and `scale`, both `(width,)`, for standardising precomputed features of a modality.

        Features that are constant in training become zero: their weights are untrained, and dividing by a tiny scale
        would produce huge values.
        """
        projection = self.erc_model.projection(modality)
        projection.feature_mean.copy_(mean)
        projection.feature_scale.copy_(scale.where(scale > 1e-6, torch.inf))


class ErcModel(ErcPreTrainedModel):
    """Encoders, fusion and context without heads: one vector per utterance.

    Args:
        config: config of the model.

    Example:
        >>> import torch
        >>> from modeling_erc import ErcConfig, ErcModel
        >>> model = ErcModel(ErcConfig(feature_sizes={"text": 10, "audio": 6}, hidden_size=32)).eval()
        >>> output = model(
        ...     utterance_mask=torch.tensor([[True, True, True], [True, False, False]]),
        ...     text_features=torch.randn(4, 10),
        ...     audio_features=torch.randn(4, 6),
        ... )
        >>> output.last_hidden_state.shape
        torch.Size([2, 3, 32])
    """

    # Weights of a classifier that the base model does not have.
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"^(classifier|modality_classifiers|contrastive_\w+)\."]

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        if not config.modalities:
            raise ValueError("the config has no modality: give the config of a backbone, or feature_sizes")
        if config.output_hidden_states:
            raise ValueError(NO_HIDDEN_STATES)
        self.encoders = nn.ModuleDict(
            {m: ENCODERS[m](config, m) for m in config.modalities if config.backbone_config(m) is not None}
        )
        self.projections = nn.ModuleDict({m: ModalityProjection(config, m) for m in config.modalities})
        context = CONTEXTS[config.context]
        before, after = config.context_position != "after", config.context_position != "before"
        self.pools = nn.ModuleDict({m: AttentionPool(config) for m in config.modalities if before})
        self.context_before = nn.ModuleDict({m: context(config) for m in config.modalities if before})
        self.context_after = context(config) if after else None
        centered = [m for m in config.modalities if m in (config.centered_modalities or [])]
        self.centering = nn.ModuleDict({m: SpeakerCentering(config) for m in centered})
        self.fusion = FUSIONS[config.fusion](config)
        self.post_init()

    def encoder(self, modality: str) -> BackboneEncoder:
        """Returns the encoder of a modality that has a backbone."""
        return cast(BackboneEncoder, self.encoders[modality])

    def projection(self, modality: str) -> ModalityProjection:
        """Returns the projection of a modality to the hidden width."""
        return cast(ModalityProjection, self.projections[modality])

    def forward(
        self,
        utterance_mask: Tensor | None = None,
        modality_mask: Tensor | None = None,
        speaker_ids: Tensor | None = None,
        utterance_index: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        text_token_mask: Tensor | None = None,
        text_token_index: Tensor | None = None,
        audio_values: Tensor | None = None,
        audio_attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        text_features: Tensor | None = None,
        text_features_mask: Tensor | None = None,
        audio_features: Tensor | None = None,
        audio_features_mask: Tensor | None = None,
        visual_features: Tensor | None = None,
        visual_features_mask: Tensor | None = None,
        context_states: dict[str, Any] | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> ErcModelOutput | tuple[Tensor, ...]:
        """Encodes dialogues.

        The inputs of a modality are packed: they hold one row for each utterance that has it, in the row-major order of
        `modality_mask[..., m]`, as made by `ErcProcessor`. A compiled or exported model is one graph: it neither counts
        the rows nor buckets lengths.

        Args:
            utterance_mask: boolean `(batch, utterances)`, False in padded slots.
            modality_mask: boolean `(batch, utterances, modalities)`; default: every utterance has all given modalities.
            speaker_ids: `(batch, utterances)`, equal for the same speaker of a dialogue; default: one speaker.
            utterance_index: `(N, 2)`, dialogue and position of each real utterance; default: see [`Packing`].
            input_ids: `(N_text, length)`, or windows of dialogues, `(windows, length)`.
            attention_mask: of the same shape.
            text_token_mask: `(N_text, length)`, 1 for tokens of the utterance, 0 for those of its neighbours.
            text_token_index: `(N_text, tokens)`, its tokens in the flattened windows, then -1 (see [`TextEncoder`]).
            audio_values: `(N_audio, ...)`, output of the feature extractor of the backbone.
            audio_attention_mask: `(N_audio, samples or frames)`.
            pixel_values: `(N_vision, frames, channels, height, width)`.
            text_features: `(N_text, width)`, `(N_text, tokens, width)` or, for the layer mix,
                `(N_text, layers, tokens, width)`; replaces the output of the backbone.
            text_features_mask: boolean `(N_text, tokens)`.
            audio_features: as `text_features`, with N_audio rows.
            audio_features_mask: boolean `(N_audio, tokens)`.
            visual_features: as `text_features`, with N_vision rows.
            visual_features_mask: boolean `(N_vision, tokens)`.
            context_states: states of a stream (see [`ErcStream`]), updated by the call; the batch is then `(1, 1)`.
            output_hidden_states: not supported, because every backbone has layers of its own.
            return_dict: if False, returns a tuple.

        Raises:
            ValueError: an input is missing, its rows do not match the masks, or `output_hidden_states` is True.
        """
        if utterance_mask is None:
            raise ValueError(NO_DIALOGUES)
        if output_hidden_states:
            raise ValueError(NO_HIDDEN_STATES)
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "text_token_mask": text_token_mask,
            "text_token_index": text_token_index,
            "audio_values": audio_values,
            "audio_attention_mask": audio_attention_mask,
            "pixel_values": pixel_values,
            "text_features": text_features,
            "text_features_mask": text_features_mask,
            "audio_features": audio_features,
            "audio_features_mask": audio_features_mask,
            "visual_features": visual_features,
            "visual_features_mask": visual_features_mask,
        }
        modalities = self.config.modalities
        if modality_mask is None:
            names = [MODALITIES[m] for m in modalities]
            given = [inputs[n.features] is not None or inputs[n.inputs[0]] is not None for n in names]
            # An empty batch of the processor has a modality mask.
            if not any(given):
                raise ValueError(f"no input for any of the model's modalities ({', '.join(modalities)})")
            modality_mask = utterance_mask[..., None] & torch.tensor(given, device=utterance_mask.device)
        if speaker_ids is None:
            speaker_ids = torch.zeros_like(utterance_mask, dtype=torch.long)
        utterance_mask = utterance_mask.bool()
        modality_mask = modality_mask.bool() & utterance_mask[..., None]
        packing = Packing(utterance_mask, utterance_index)
        present = packing.pack(modality_mask)  # (N, modalities), N real utterances
        packed = {m: used_inputs(m, inputs, encoded=m in self.encoders) for m in modalities}
        if not torch.compiler.is_compiling():
            check_rows(packed, present)
        groups = self._groups(packed, present)

        def joined(parts: list[Tensor]) -> Tensor:
            return unsplit(parts, groups) if len(parts) > 1 else parts[0]

        def in_dialogue(place: str, context: Any, states: Tensor, mask: Tensor) -> Tensor:
            if context_states is None:
                return in_context(context, states, mask, speaker_ids, utterance_mask)
            states, context_states[place] = context.step(states, mask, speaker_ids, context_states.get(place))
            return states

        parts = [self._tokens(packed, present, rows if len(groups) > 1 else None) for rows in groups]
        present = drop_modalities(present, self.config.modality_dropout if self.training else 0.0)
        masks = [
            {m: mask[m] & present[rows, i, None] for i, m in enumerate(modalities)}
            for rows, (_, mask) in zip(groups, parts, strict=True)
        ]
        modality_mask = packing.unpack(present)

        def add(place: str, context: Any, pool: Any, m: str) -> None:
            pooled = joined([pool(tokens[m], mask[m]) for (tokens, _), mask in zip(parts, masks, strict=True)])
            seen = modality_mask[..., modalities.index(m)]
            added = packing.pack(in_dialogue(place, context, packing.unpack(pooled), seen))
            for rows, (tokens, _) in zip(groups, parts, strict=True):
                tokens[m] = tokens[m] + added[rows, None]

        for m, centering in self.centering.items():
            add(f"{m} speaker", centering, partial(masked_mean, dim=1), m)
        for m, context in self.context_before.items():
            add(m, context, self.pools[m], m)
        fused = [
            fuse(self.fusion, states, mask, present[rows])
            for rows, (states, _), mask in zip(groups, parts, masks, strict=True)
        ]
        joint = packing.unpack(joined([part.joint for part in fused]))
        if self.context_after is not None:
            joint = in_dialogue("joint", self.context_after, joint, utterance_mask)
        joint = joint * utterance_mask[..., None]
        per_modality = [joined([part.per_modality[m] for part in fused]) for m in modalities]
        own = torch.stack(per_modality, dim=1) * present[..., None]
        output = ErcModelOutput(joint, modality_states=packing.unpack(own), modality_mask=modality_mask)
        return output if return_dict is not False else output.to_tuple()

    def _groups(self, packed: dict[str, dict[str, Tensor]], present: Tensor) -> tuple[Tensor, ...]:
        """Returns the utterances that are encoded and fused at a time; in training all of them."""
        if self.training or torch.compiler.is_compiling() or len(present) <= GROUP:
            return (torch.arange(present.shape[0], device=present.device),)  # len() would fix it in a graph
        if "text_token_index" in packed.get("text", ()):  # most windows stay in one group
            return torch.arange(len(present), device=present.device).split(GROUP)
        lengths = torch.zeros(len(present), device=present.device)
        for index, m in enumerate(self.config.modalities):
            if MODALITIES[m].inputs[0] in packed[m] and (own := self.encoder(m).lengths(packed[m])) is not None:
                lengths[present[:, index]] += own / own.max()
        return length_buckets(lengths, GROUP)

    def _tokens(
        self, packed: dict[str, dict[str, Tensor]], present: Tensor, rows: Tensor | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns the projected tokens `(rows, tokens, hidden)` of utterances by modality, and their masks."""
        tokens, token_mask = {}, {}
        for index, m in enumerate(self.config.modalities):
            inputs, here = packed[m], present[:, index]
            if rows is not None:
                place, here = here.cumsum(0) - 1, here[rows]
                inputs = take_rows(inputs, place[rows[here]])
            states, mask = self._modality_tokens(m, inputs)
            # A row of zeros comes first, for the utterances without this modality.
            row = here.cumsum(0) * here
            tokens[m] = nn.functional.pad(states, (0, 0, 0, 0, 1, 0)).index_select(0, row)
            token_mask[m] = nn.functional.pad(mask, (0, 0, 1, 0))[row]
        return tokens, token_mask

    def _modality_tokens(self, modality: str, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns projected tokens `(rows, tokens, hidden)` of one modality and their mask `(rows, tokens)`."""
        projection, feature = self.projection(modality), MODALITIES[modality].features
        if feature in inputs:
            tokens = inputs[feature][:, None] if inputs[feature].dim() == 2 else inputs[feature]
            mask = inputs.get(f"{feature}_mask", tokens.new_ones(tokens.shape[0], tokens.shape[-2]))
        elif inputs and next(iter(inputs.values())).shape[0]:
            tokens, mask = self.encoders[modality](**inputs)
        else:
            tokens, mask = projection.no_tokens()
        return projection(tokens), mask.bool()


class ErcForSequenceClassification(ErcPreTrainedModel):
    """Classifies the emotion of every utterance of a dialogue.

    There is one classifier for the joint feature and one per modality (the dual classifiers of the paper). Their logits
    are averaged over the modalities present. Depending on `problem_type` and `target_names`, the columns of the logits
    are classes, numbers such as valence and arousal in their own units, or classes and numbers behind them.

    Args:
        config: config of the model with `id2label`.

    Example:
        >>> import torch
        >>> from modeling_erc import ErcConfig, ErcForSequenceClassification
        >>> config = ErcConfig(feature_sizes={"text": 10}, hidden_size=32, num_labels=3)
        >>> model = ErcForSequenceClassification(config).eval()
        >>> mask = torch.tensor([[True, True], [True, False]])
        >>> model(utterance_mask=mask, text_features=torch.randn(3, 10)).logits.shape
        torch.Size([2, 2, 3])
    """

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        self.erc = ErcModel(config)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_outputs)
        self.modality_classifiers = nn.ModuleDict(
            {m: nn.Linear(config.hidden_size, config.num_outputs) for m in config.modalities}
        )
        self.contrastive_head = ContrastiveHead(config) if config.contrastive != "none" else None
        remembers = self.contrastive_head is not None and config.contrastive_memory
        self.contrastive_memory = ContrastiveMemory(config) if remembers else None
        self.post_init()

    def forward(
        self,
        utterance_mask: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **inputs: Any,
    ) -> ErcClassifierOutput | tuple[Tensor, ...]:
        """Classifies utterances.

        With labels and a `contrastive_memory`, a call in training mode also stores its embeddings.

        Args:
            utterance_mask: boolean `(batch, utterances)`, False in padded slots.
            labels: `(batch, utterances)`, -100 for utterances without a label; with several labels or targets
                `(batch, utterances, columns)` (see [`ErcLoss`]).
            return_dict: if False, returns a tuple.
            **inputs: inputs of [`ErcModel.forward`].
        """
        if utterance_mask is None:  # before `inputs`, which may be those of another task
            raise ValueError(NO_DIALOGUES)
        encoded = self.erc(utterance_mask, **inputs)
        hidden, mask = encoded.last_hidden_state, encoded.modality_mask
        logits, modality_logits = self.heads(hidden, encoded.modality_states, mask)
        embeddings, prototypes = self.contrastive_head(hidden) if self.contrastive_head is not None else (None, None)
        output = ErcClassifierOutput(
            logits=logits,
            modality_logits=modality_logits,
            modality_mask=mask,
            embeddings=embeddings,
            prototypes=prototypes,
            last_hidden_state=hidden,
        )
        if labels is not None:
            output.loss = ErcLoss(self.config, self.contrastive_memory)(output, labels)
        return output if return_dict is not False else output.to_tuple()

    def heads(self, hidden_states: Tensor, modality_states: Tensor, modality_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the dual classifiers.

        Args:
            hidden_states: `(batch, utterances, hidden)`, the joint feature.
            modality_states: `(batch, utterances, modalities, hidden)`.
            modality_mask: boolean `(batch, utterances, modalities)`.

        Returns:
            logits averaged over the joint head and the heads of the modalities present, each weighted with
            `modality_logit_weight`, those of classes divided by `calibration_temperature`, `(batch, utterances,
            outputs)`, and logits of each modality head, `(batch, utterances, modalities, outputs)`.
        """
        joint_logits = self.classifier(self.dropout(hidden_states))
        states = self.dropout(modality_states)
        own = [self.modality_classifiers[m](states[..., i, :]) for i, m in enumerate(self.config.modalities)]
        modality_logits = torch.stack(own, dim=2) * modality_mask[..., None]
        weight = self.config.modality_logit_weight
        total = 1 + weight * modality_mask.to(joint_logits.dtype).sum(dim=2, keepdim=True)
        logits = (joint_logits + weight * modality_logits.sum(dim=2)) / total
        temperature = self.config.calibration_temperature
        if not self.config.target_names:
            return logits / temperature, modality_logits
        modality_logits = self._in_units(modality_logits) * modality_mask[..., None]
        return self._in_units(logits, temperature), modality_logits

    def _in_units(self, logits: Tensor, temperature: float = 1.0) -> Tensor:
        """Converts the columns of targets from standard deviations to their own units, and calibrates the classes."""
        mean, scale = logits.new_tensor(self.config.target_mean), logits.new_tensor(self.config.target_scale)
        count = self.config.num_classes
        return torch.cat([logits[..., :count] / temperature, logits[..., count:] * scale + mean], dim=-1)

    def stream(self, processor: "ErcProcessor") -> ErcStream:
        """Returns an [`ErcStream`] that classifies a running dialogue utterance by utterance."""
        return ErcStream(self, processor)


ErcModel.register_for_auto_class("AutoModel")
ErcForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
