"""A Trainer that pushes its checkpoints to the Hub in the background."""

from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.trainer_utils import HubStrategy
from transformers.utils import logging
from transformers.utils.hub import PushInProgress

from ..hub.repository import HubRepository, PushError, staged

logger = logging.get_logger(__name__)


class PushingTrainer(Trainer):
    """A `Trainer` that pushes the files in `PUSHED` and no others.

    Write access to the Hub is checked before training. A push that fails during training only causes a warning, and the
    next checkpoint is pushed again; the last push, by [`push_to_hub`], raises.
    """

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Creates the repository before training; arguments as in `transformers.Trainer`.

        Raises:
            PushError: the Hub was not reached, or refused.
        """
        if not self.is_world_process_zero():
            return
        self.repository = HubRepository.of_run(self.args, token=token, private=private)
        self.repository.prepare()
        self.hub_model_id = self.repository.repo_id
        self.push_in_progress = None

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Saves the model and pushes the run's folder with the card in it; arguments as in `transformers.Trainer`.

        The push always blocks. Arguments for a card are refused: the card is already written.

        Returns:
            The address of the commit; `None` on all processes but the first.

        Raises:
            PushError: the Hub was not reached, or refused; the message holds the command that pushes again.
            ValueError: `kwargs` are given.
        """
        if kwargs:
            raise ValueError(f"push_to_hub takes no {', '.join(kwargs)}: the card is written by write_report")
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self._finish_current_push()
        # These arguments take precedence over those of the run.
        if self.hub_model_id is None or token is not None or private is not None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        if revision is not None:
            self.repository.revision = revision
        return self.repository.push(Path(str(self.args.output_dir)), commit_message or "End of training")

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Starts a push in the background; the Trainer calls it after each save."""
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        busy = self.push_in_progress is not None and not self.push_in_progress.is_done()
        if busy and not self.args.hub_always_push:
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        message = f"Training in progress, epoch {self.state.epoch:.2f}, step {self.state.global_step}"
        # The files are set aside now, since the checkpoint may be deleted before they are uploaded.
        stage = ExitStack()
        try:
            folder = stage.enter_context(staged(Path(checkpoint_folder)))
        except OSError as error:
            logger.warning(f"{checkpoint_folder} was not pushed, training continues: {error}")
            return
        job: Future[None] = self.repository.api.run_as_future(self._upload, stage, folder, message, checkpoint_folder)
        jobs = [job] if self.push_in_progress is None or not busy else [*self.push_in_progress.jobs, job]
        self.push_in_progress = PushInProgress(jobs)

    def _upload(self, stage: ExitStack, folder: Path, message: str, checkpoint: str) -> None:
        with stage:
            try:
                self.repository.upload(folder, message)
            except PushError as error:
                logger.warning(f"{checkpoint}: {error} Training continues; the next checkpoint is pushed again.")
            except Exception as error:  # the error of a thread would be lost, and must not end the training
                logger.warning(f"{checkpoint} was not pushed, training continues: {type(error).__name__}: {error}")
