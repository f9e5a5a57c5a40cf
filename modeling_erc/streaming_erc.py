"""Streaming inference: utterances of a running dialogue are classified one by one."""

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from .outputs_erc import ErcClassifierOutput
from .text_context_erc import WHOLE_DIALOGUES

if TYPE_CHECKING:  # a model is loaded without what reads media
    from .processing_erc import ErcProcessor


class ErcStream:
    """Classifies the utterances of a dialogue one by one, each from the earlier ones.

    The results equal those of the model for the complete dialogue. No context is computed twice: attention keeps the
    keys and values of earlier utterances (within `context_window`), a recurrence its states, the mean of a speaker its
    sum. The text backbone reads an utterance with the `text_past` utterances before it, as in training.

    Args:
        model: an [`ErcForSequenceClassification`] with `context_causal`, or without context and speaker means, in eval
            mode.
        processor: processor of the model.

    Raises:
        ValueError: the context or the text input of the model includes later utterances, or the model is in training
            mode.

    Example:
        >>> import torch
        >>> from modeling_erc import ErcConfig, ErcForSequenceClassification
        >>> from modeling_erc.processing_erc import ErcProcessor
        >>> config = ErcConfig(feature_sizes={"text": 10}, hidden_size=32, num_labels=3, context_causal=True)
        >>> model = ErcForSequenceClassification(config).eval()
        >>> stream = model.stream(ErcProcessor(modalities=["text"]))
        >>> stream.add({"speaker": "Ann", "text_features": torch.randn(10)}).logits.shape
        torch.Size([1, 1, 3])
        >>> stream.add({"speaker": "Bo"}).logits.shape
        torch.Size([1, 1, 3])
    """

    def __init__(self, model: PreTrainedModel, processor: "ErcProcessor") -> None:
        looking = "context" if model.config.context != "none" else "mean of a speaker"
        centered = set(model.config.centered_modalities or []) & {*model.config.modalities}
        if (looking == "context" or centered) and not model.config.context_causal:
            raise ValueError(
                f"the model's {looking} sees later utterances, so it cannot go along with a dialogue: "
                "train one with context_causal: true, or give this one whole dialogues"
            )
        if processor.text_future:
            raise ValueError(
                f"text_future {processor.text_future}: the model's text backbone reads later utterances, so it cannot "
                "go along with a dialogue: train one with text_future: 0 (text_past may stay), or give this one whole "
                "dialogues"
            )
        if processor.text_context == "dialogue":
            raise ValueError(WHOLE_DIALOGUES)
        if model.training:
            raise ValueError("the model is in training mode, where dropout makes its answers random: call model.eval()")
        self.model = model
        self.processor = processor
        self.reset()

    def reset(self) -> None:
        """Starts a new dialogue."""
        self._states: dict[str, Any] = {}
        self._speakers: dict[Any, int] = {}
        self._count = 0
        self._spoken: deque[Mapping[str, Any]] = deque(maxlen=self.processor.text_past)

    @torch.inference_mode()
    def add(self, utterance: Mapping[str, Any]) -> ErcClassifierOutput:
        """Classifies the next utterance.

        Args:
            utterance: utterance as [`ErcProcessor`] takes it; missing modalities are masked.

        Returns:
            output of the model for one utterance, such as `logits` `(1, 1, classes)`.

        Raises:
            ValueError: features do not fit the model. The state of the dialogue is unchanged.
        """
        inputs = self.processor.encode_next(self._spoken, utterance)
        speaker = self.processor.speaker_key(utterance, self._count)
        number = self._speakers.get(speaker, len(self._speakers))
        inputs["speaker_ids"] = torch.tensor([[number]])
        states = dict(self._states)
        output = self.model(**inputs.to(self.model.device), context_states=states)
        self._states = states
        self._speakers[speaker] = number
        self._count += 1
        self._spoken.append({"speaker": utterance.get("speaker"), "text": utterance.get("text")})
        return output
