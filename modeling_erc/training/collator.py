"""From dialogue rows to a batch: labels by name, cached features in place of raw inputs, packed tensors."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from ..losses_erc import IGNORE_INDEX
from ..processing_erc import ErcProcessor


class DialogueTransform(Protocol):
    """Something that changes a dialogue's utterances before they are encoded, such as the feature cache."""

    def __call__(self, utterances: list[dict[str, Any]]) -> list[dict[str, Any]]: ...


class ErcCollator:
    """Collates dialogue rows into what the model takes, with `labels` and `media_problems`.

    Args:
        processor: encodes the dialogues.
        label_names: the corpus' class names, in the order of the rows' label indices.
        label2id: the model's. Labels are matched by name, never by position.
        transforms: applied to each dialogue's utterances in turn.

    Raises:
        ValueError: a class of the corpus is none of the model's.
    """

    def __init__(
        self,
        processor: ErcProcessor,
        label_names: Sequence[str],
        label2id: Mapping[str, int],
        transforms: Sequence[DialogueTransform] = (),
    ) -> None:
        unknown = [name for name in label_names if name not in label2id]
        if unknown:
            raise ValueError(
                f"the corpus' label(s) {', '.join(unknown)} are unknown to the model, which has {', '.join(label2id)}: "
                "use a checkpoint of this label set, or train one"
            )
        self.processor = processor
        self.model_ids = [label2id[name] for name in label_names]
        self.transforms = list(transforms)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Collates.

        Args:
            rows: dialogues of the schema.

        Returns:
            the processor's tensors, `labels` `(batch, utterances)` with -100 where nothing is scored, and
            `media_problems`, a line for each clip that could not be used.
        """
        dialogues = []
        label_ids: list[int] = []
        for row in rows:
            utterances = list(row["utterances"])
            for transform in self.transforms:
                utterances = transform(utterances)
            dialogues.append({"dialogue_id": row.get("dialogue_id"), "utterances": utterances})
            given = (utterance.get("label") for utterance in utterances)
            label_ids += [IGNORE_INDEX if label is None else self.model_ids[label] for label in given]
        inputs, problems = self.processor.encode(dialogues)
        labels = torch.full(inputs["utterance_mask"].shape, IGNORE_INDEX)
        labels[inputs["utterance_mask"]] = torch.tensor(label_ids)
        return {**inputs, "labels": labels, "media_problems": problems}
