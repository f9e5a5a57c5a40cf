"""`ErcTrainer`: the Trainer with this package's objective."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import EarlyStoppingCallback
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, has_length
from transformers.utils import logging

from ..losses_erc import IGNORE_INDEX, ErcLoss
from ..outputs_erc import ErcClassifierOutput
from ..processing_erc import ErcProcessor
from .arguments import ErcTrainingArguments
from .checkpoints import rotate, seal, writing
from .data import ErcCollator
from .evaluation_log import EvaluationLog
from .global_contrast import CachedContrast, GatherBatch, cache_contrast
from .metrics import ErcMetric
from .pushing_trainer import PushingTrainer

logger = logging.get_logger(__name__)


class ErcTrainer(PushingTrainer):
    """Trains `ErcForSequenceClassification` on dialogues.

    The loss is [`ErcLoss`] as the model's config names it, divided by the labelled utterances of the whole optimizer
    step. What equals one large batch on one process, in loss and gradient:

    - several processes: all terms. The contrastive loss and the model's `contrastive_memory` see the labelled
      utterances of all processes, and a dialogue that fills up an epoch's last batch is not learned from twice.
    - gradient accumulation: the classification terms. The contrastive loss sees one part of the step at a time (and
      the memory, which each part adds to), so that each anchor meets fewer others.
    - gradient accumulation with `gradient_cache`: all terms.

    The loss of an evaluation is a mean over batches, each contrasted by itself, so it depends on their size; the
    metrics do not.

    A checkpoint counts only when all of it is written (see `whole_checkpoint`), and an old one is deleted after that.

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
        self.gather = GatherBatch() if self.args.world_size > 1 else None
        self.parts: list[dict[str, Any]] = []  # of the optimizer step that is about to begin
        self.contrasts: list[CachedContrast] = []  # of those that are still to come
        self.evaluation_log = EvaluationLog(labels, self.callback_handler.callbacks)
        self.add_callback(self.evaluation_log)

    def erc_loss(
        self, outputs: ErcClassifierOutput, labels: Tensor, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """The objective, as the Trainer asks for it: already divided by the step's labelled utterances."""
        cached = self.contrasts.pop(0) if self.contrasts else None
        return self.loss()(outputs, labels, num_items=num_items_in_batch, cached=cached)

    def loss(self) -> ErcLoss:
        """The objective of the model as it stands: over all processes in training, over its own batch elsewhere."""
        model = self.accelerator.unwrap_model(self.model)
        return ErcLoss(model.config, model.contrastive_memory, self.gather if model.training else None)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """As the Trainer's; before the first part of a step, the contrastive loss of all parts where asked for."""
        if self.parts:
            model.train()
            parts = [self._prepare_inputs(part) for part in self.parts]
            self.contrasts, self.parts = cache_contrast(model, parts, self.loss()), []
        return super().training_step(model, inputs, num_items_in_batch)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list, Any]:
        """The parts of an optimizer step and the number of their labelled utterances, over all processes."""
        parts, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        last = self.accelerator.gradient_state.end_of_dataloader
        filled_up = last and self.args.world_size > 1 and not self.args.dataloader_drop_last
        if parts and filled_up and has_length(self.train_dataset):
            # Several processes fill an epoch's last batch up with dialogues from its beginning.
            whole, here = (self._train_batch_size * n for n in (self.args.world_size, self.args.process_index))
            rest = len(self.train_dataset) % whole or whole
            parts[-1]["labels"][max(0, rest - here) :] = IGNORE_INDEX
            items = self._get_num_items_in_batch(parts, device)
        several = len(parts) > 1 and getattr(self.args, "gradient_cache", False)
        self.parts = parts if several and self.model.config.contrastive != "none" else []
        return parts, items

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

    def _get_dataloader(self, *args: Any, is_training: bool = False, **kwargs: Any) -> Any:
        """As the Trainer's, but every dialogue is scored: `dataloader_drop_last` is for what is trained on."""
        drops = self.args.dataloader_drop_last
        self.args.dataloader_drop_last = drops and is_training
        try:
            return super()._get_dataloader(*args, is_training=is_training, **kwargs)
        finally:
            self.args.dataloader_drop_last = drops

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(self._get_output_dir(trial))
        folder = run / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save and folder.exists():
            shutil.rmtree(folder)  # what was cut short before
        self.accelerator.wait_for_everyone()
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # nothing is deleted before the seal
        try:
            with writing(folder):
                super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            with writing(folder):
                seal(folder)
            rotate(run, limit, self.state.best_model_checkpoint)

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
        if not self.args.should_save:  # every process comes here
            return
        folder = Path(output_dir or str(self.args.output_dir))
        # A pickle, which nothing reads and nobody should have to open.
        (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)
        if self.processor is not None:
            self.processor.save_pretrained(folder)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # The sum that the next logged loss is the mean of belongs to where a process stands as well.
        unlogged = {"sum": self._tr_loss.item(), "since_step": self._globalstep_last_logged}
        self._unlogged_file(output_dir).write_text(json.dumps(unlogged) + "\n", encoding="utf-8")

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if checkpoint is not None and (file := self._unlogged_file(checkpoint)).is_file():
            unlogged = json.loads(file.read_text(encoding="utf-8"))
            self._tr_loss.fill_(unlogged["sum"])
            self._globalstep_last_logged = unlogged["since_step"]

    def _unlogged_file(self, checkpoint: str) -> Path:
        return Path(checkpoint) / f"unlogged_loss_{self.args.process_index}.json"

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
