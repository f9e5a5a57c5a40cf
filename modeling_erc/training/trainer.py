"""`ErcTrainer`: the Trainer with this package's objective."""

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import EarlyStoppingCallback
from transformers.utils import logging

from ..losses_erc import ErcLoss
from ..outputs_erc import ErcClassifierOutput
from ..processing_erc import ErcProcessor
from .arguments import ErcTrainingArguments
from .collator import ErcCollator
from .evaluation_log import EvaluationLog
from .metrics import ErcMetric
from .pushing_trainer import PushingTrainer

logger = logging.get_logger(__name__)


class ErcTrainer(PushingTrainer):
    """Trains `ErcForSequenceClassification` on dialogues.

    The loss is [`ErcLoss`] as the model's config names it, divided by the labelled utterances of the whole optimizer
    step, so that gradient accumulation and several processes give the same gradient as one large batch (for the
    classification terms; the contrastive term sees the utterances of its own forward pass, and those in the model's
    `contrastive_memory`, which every forward pass of training adds to).

    Args:
        model: the classifier.
        args: [`ErcTrainingArguments`].
        processing_class: the processor, saved with every checkpoint.
        train_collator: collates what is trained on, where that differs from `data_collator`.
        **kwargs: as for `transformers.Trainer`.
    """

    def __init__(
        self,
        model: Any = None,
        args: Any = None,
        processing_class: ErcProcessor | None = None,
        train_collator: ErcCollator | None = None,
        **kwargs: Any,
    ) -> None:
        self.train_collator = train_collator
        # The Trainer would look for a tokenizer in it, which a processor without text does not have.
        self.processor = processing_class
        labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
        self.metric = ErcMetric(labels)
        self.media_problems: Counter[str] = Counter()
        kwargs.setdefault("compute_metrics", self.metric.for_trainer)
        kwargs.setdefault("compute_loss_func", self.erc_loss)
        patience = args.early_stopping_patience if isinstance(args, ErcTrainingArguments) else None
        if patience is not None:
            kwargs["callbacks"] = [*(kwargs.get("callbacks") or []), EarlyStoppingCallback(patience)]
        if args is not None and args.run_name is None:
            # Loggers know the run by the name of its folder.
            args.run_name = Path(str(args.output_dir)).name
        super().__init__(model=model, args=args, **kwargs)
        self.evaluation_log = EvaluationLog(labels, self.callback_handler.callbacks)
        self.add_callback(self.evaluation_log)

    def erc_loss(
        self, outputs: ErcClassifierOutput, labels: Tensor, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """The objective, as the Trainer asks for it: already divided by the step's labelled utterances."""
        model = self.accelerator.unwrap_model(self.model)
        return ErcLoss(model.config, model.contrastive_memory)(outputs, labels, num_items=num_items_in_batch)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW as the Trainer makes it, with the backbones' own learning rate where one is set."""
        optimizer = super().create_optimizer(model)
        rate = getattr(self.args, "backbone_learning_rate", None)
        if rate is None or any("backbone" in group for group in optimizer.param_groups):
            return optimizer
        inside = {id(p) for p in self.accelerator.unwrap_model(self.model).erc_model.encoders.parameters()}
        groups = list(optimizer.param_groups)
        for group in groups:
            backbone = [p for p in group["params"] if id(p) in inside]
            group["params"] = [p for p in group["params"] if id(p) not in inside]
            group["backbone"] = False
            if backbone:
                settings = {key: value for key, value in group.items() if key not in ("params", "lr", "initial_lr")}
                optimizer.add_param_group({**settings, "params": backbone, "lr": rate, "backbone": True})
        return optimizer

    def get_train_dataloader(self) -> Any:
        """As the Trainer's, with the `train_collator` where there is one."""
        scored_with: Any = self.data_collator  # type: ignore[has-type]
        self.data_collator = self.train_collator or scored_with
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = scored_with

    def evaluation_loop(self, dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's; what it found is shown to people too."""
        output = super().evaluation_loop(dataloader, *args, **kwargs)
        if output.predictions is not None and output.label_ids is not None:
            found = output.predictions
            logits = found[0] if isinstance(found, tuple) else found
            self.evaluation_log.keep(dataloader.dataset, logits, output.label_ids)
        return output

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.processor is not None:
            self.processor.save_pretrained(output_dir or self.args.output_dir)

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        self.media_problems.update(inputs.pop("media_problems", ()))
        return super()._prepare_inputs(inputs)

    def warn_of_media_problems(self) -> None:
        """One warning for all clips that could not be used so far; they were masked."""
        if self.media_problems:
            # Sound and picture of one clip may fail for different reasons: it is one clip all the same.
            clips = len({line.partition(": ")[0] for line in self.media_problems})
            lines = "\n  ".join(sorted(self.media_problems)[:20])
            more = len(self.media_problems) - 20
            logger.warning(
                f"{clips} clip(s) could not be used and were masked out:\n  {lines}"
                + (f"\n  and {more} more" if more > 0 else "")
            )
