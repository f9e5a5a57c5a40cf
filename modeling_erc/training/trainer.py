"""`ErcTrainer`, the Trainer with this package's objective and complete checkpoints."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import EarlyStoppingCallback, TrainerCallback, set_seed
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, has_length
from transformers.utils import logging

from ..losses_erc import IGNORE_INDEX, ErcLoss, is_labelled
from ..outputs_erc import ErcClassifierOutput
from ..plain_json import finite
from ..processing_erc import ErcProcessor
from .arguments import ErcTrainingArguments
from .checkpoints import complete_checkpoints, rotate, seal, writing
from .data import ErcCollator
from .evaluation_log import EvaluationLog
from .global_contrast import CachedContrast, GatherBatch, cache_contrast
from .metrics import logits_of
from .pushing_trainer import PushingTrainer
from .target_metrics import TaskMetric
from .trained_parts import freeze_lower_layers, split_groups

logger = logging.get_logger(__name__)


class TrainingDiverged(ValueError):
    """The loss or its gradient is not a finite number, so that the step would destroy the weights."""


class OwnDraws(TrainerCallback):
    """Gives each process its own random numbers for dropout and masks; the Trainer seeds all processes equally.

    It runs once the weights are initialised and the order of the dialogues is fixed, in which all processes agree.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Sets the seed of this process; a resumed run restores the states of its checkpoint after that."""
        if args.world_size > 1:
            set_seed(args.seed + args.process_index)


class ErcTrainer(PushingTrainer):
    """Trains `ErcForSequenceClassification` on dialogues.

    The loss is [`ErcLoss`] as configured in the model, divided by the number of labelled utterances in the optimizer
    step. These terms equal one large batch on one process, in loss and gradient:

    - with several processes: all terms. The contrastive loss and the model's `contrastive_memory` see the labelled
      utterances of all processes, and a dialogue that only pads an epoch's last batch does not count twice.
    - with gradient accumulation: the classification terms. The contrastive loss sees one part of the step at a time,
      and the memory, so that each anchor meets fewer other utterances.
    - with gradient accumulation and `gradient_cache`: all terms.

    The loss of an evaluation is a mean over batches that are contrasted one by one, so it depends on their size; the
    metrics do not.

    Training stops with [`TrainingDiverged`] before a step whose loss or gradient is not finite. With several GPUs
    visible, one process uses one of them: `nn.DataParallel` would cut dialogues and packed rows at different places.

    A checkpoint counts only once it is complete (see `checkpoints`), and older ones are deleted after that.

    Args:
        model: the classifier.
        args: [`ErcTrainingArguments`].
        processing_class: the processor, saved with every checkpoint.
        train_collator: collator of the training split; default: `data_collator`.
        **kwargs: as for `transformers.Trainer`.

    Example:
        >>> trainer = ErcTrainer(
        ...     model=model,
        ...     args=ErcTrainingArguments(output_dir="run"),
        ...     data_collator=ErcCollator(processor, label_names, model.config.label2id),
        ...     train_dataset=splits["train"],
        ...     eval_dataset=splits["dev"],
        ...     processing_class=processor,
        ... )  # doctest: +SKIP
        >>> trainer.train()  # doctest: +SKIP
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
        # Kept from the Trainer, which would look for a tokenizer in it; without text there is none.
        self.processor = processing_class
        self.metric = TaskMetric(model.config)
        self.media_problems: Counter[str] = Counter()
        kwargs.setdefault("compute_metrics", self.metric.for_trainer)
        kwargs.setdefault("compute_loss_func", self.erc_loss)
        patience = args.early_stopping_patience if isinstance(args, ErcTrainingArguments) else None
        if patience:
            kwargs["callbacks"] = [*(kwargs.get("callbacks") or []), EarlyStoppingCallback(patience)]
        if args is not None and args.n_gpu > 1:
            logger.warning(f"{args.n_gpu} GPUs are visible, one is used: start one process for each, accelerate launch")
            args._n_gpu = 1
        if args is not None and args.run_name is None:
            # In the loggers the run has the name of its folder.
            args.run_name = Path(str(args.output_dir)).name
        if (count := getattr(args, "unfreeze_layers", None)) is not None:
            freeze_lower_layers(model, count)
        super().__init__(model=model, args=args, **kwargs)
        self.gather = GatherBatch() if self.args.world_size > 1 else None
        self.step_dialogues: list[str] = []  # of the current optimizer step in this process
        self.parts: list[dict[str, Any]] = []  # inputs of the next optimizer step
        self.contrasts: list[CachedContrast] = []  # of the parts of this step that are still to be processed
        self.evaluation_log = EvaluationLog(model.config, self.callback_handler.callbacks)
        self.add_callback(self.evaluation_log)
        self.add_callback(OwnDraws())

    def erc_loss(
        self, outputs: ErcClassifierOutput, labels: Tensor, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Computes the objective, divided by the number of labelled utterances in the optimizer step."""
        cached = self.contrasts.pop(0) if self.contrasts else None
        return self.loss()(outputs, labels, num_items=num_items_in_batch, cached=cached)

    def loss(self) -> ErcLoss:
        """Returns the objective: over all processes in training, over the local batch in evaluation."""
        model = self.accelerator.unwrap_model(self.model)
        return ErcLoss(model.config, model.contrastive_memory, self.gather if model.training else None)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Trains on one part of a step; with `gradient_cache`, first computes the contrastive loss of all parts."""
        if self.parts:
            model.train()
            parts = [self._prepare_inputs(part) for part in self.parts]
            self.contrasts, self.parts = cache_contrast(model, parts, self.loss()), []
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not loss.isfinite():
            raise self._diverged("loss", loss.item())
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> float:
        norm: float = super()._get_grad_norm(model, grad_norm)
        # In fp16 the scaler skips such a step and lowers its factor.
        if self.accelerator.scaler is None and not math.isfinite(norm):
            raise self._diverged("gradient", norm)
        return norm

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Logs as the Trainer does, with null for a number that is not finite in `trainer_state.json`."""
        super().log(logs, *args, **kwargs)
        self.state.log_history[-1] = finite(self.state.log_history[-1])

    def _diverged(self, what: str, value: float) -> TrainingDiverged:
        complete = complete_checkpoints(Path(str(self.args.output_dir)))
        return TrainingDiverged(
            f"step {self.state.global_step + 1}: the {what} is {value}, with the dialogues "
            f"{', '.join(self.step_dialogues)}. Check their features and clips, or lower --learning_rate. "
            + (f"{complete[0].name} is complete: continue with --resume" if complete else "There is no checkpoint yet")
        )

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list, Any]:
        """Returns the parts of an optimizer step and the number of labelled utterances in them, over all processes."""
        parts, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.step_dialogues = [str(name) for part in parts for name in part.get("dialogue_ids", ())]
        last = self.accelerator.gradient_state.end_of_dataloader
        padded = last and self.args.world_size > 1 and not self.args.dataloader_drop_last
        if parts and padded and has_length(self.train_dataset):
            # With several processes, dialogues from the start of the epoch pad its last batch: ignore their labels.
            total, offset = (self._train_batch_size * n for n in (self.args.world_size, self.args.process_index))
            rest = len(self.train_dataset) % total or total
            parts[-1]["labels"][max(0, rest - offset) :] = IGNORE_INDEX
            items = self._get_num_items_in_batch(parts, device)
        several = len(parts) > 1 and getattr(self.args, "gradient_cache", False)
        self.parts = parts if several and self.model.config.contrastive != "none" else []
        return parts, items

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Any:
        # Utterances with labels in several columns count once.
        counted = [
            {"labels": torch.where(is_labelled(batch["labels"]), 0, IGNORE_INDEX)} if "labels" in batch else batch
            for batch in batch_samples
        ]
        return super()._get_num_items_in_batch(counted, device)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Creates the Trainer's optimizer, with `backbone_learning_rate` and `layer_decay` where they are set."""
        optimizer = super().create_optimizer(model)
        rate, decay = getattr(self.args, "backbone_learning_rate", None), getattr(self.args, "layer_decay", 1.0)
        if (rate is not None or decay < 1) and not any("backbone" in group for group in optimizer.param_groups):
            split_groups(optimizer, self.accelerator.unwrap_model(self.model), rate, decay)
        return optimizer

    def _get_dataloader(self, *args: Any, is_training: bool = False, **kwargs: Any) -> Any:
        collator: Any = self.data_collator  # type: ignore[has-type]
        drop_last = self.args.dataloader_drop_last
        self.data_collator = (self.train_collator if is_training else None) or collator
        # It applies to training only: every dialogue is scored.
        self.args.dataloader_drop_last = drop_last and is_training
        try:
            return super()._get_dataloader(*args, is_training=is_training, **kwargs)
        finally:
            self.data_collator, self.args.dataloader_drop_last = collator, drop_last

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(self._get_output_dir(trial))
        folder = run / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save and folder.exists():
            shutil.rmtree(folder)  # an incomplete checkpoint of an interrupted run
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
        """Evaluates as the Trainer does, and passes the predictions to the evaluation log."""
        output = super().evaluation_loop(dataloader, *args, **kwargs)
        if output.predictions is not None and output.label_ids is not None:
            self.evaluation_log.keep(dataloader.dataset, logits_of(output), output.label_ids)
        return output

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if not self.args.should_save:  # every process calls this
            return
        folder = Path(output_dir or str(self.args.output_dir))
        # A pickle that nothing reads.
        (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)
        if self.processor is not None:
            self.processor.save_pretrained(folder)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # The running sum of the loss since the last log is part of the state of a process as well.
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
        inputs.pop("dialogue_ids", None)
        return super()._prepare_inputs(inputs)

    def warn_of_media_problems(self) -> None:
        """Warns once of all clips that could not be used so far and were masked out."""
        if self.media_problems:
            # Audio and video of one clip may fail for different reasons: it still counts as one clip.
            clips = len({line.partition(": ")[0] for line in self.media_problems})
            lines = "\n  ".join(sorted(self.media_problems)[:20])
            more = len(self.media_problems) - 20
            logger.warning(
                f"{clips} clip(s) could not be used and were masked out:\n  {lines}"
                + (f"\n  and {more} more" if more > 0 else "")
            )
