"""The confusion matrix and sample predictions of each evaluation, for the loggers in `report_to`."""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback, TrackioCallback

from datasets_scripts.publishing.markdown import markdown_table

from ..losses_erc import IGNORE_INDEX
from .metrics import prediction_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES = 20
COLUMNS = ["dialogue", "utterance", "speaker", "text", "label", "prediction"]


class EvaluationLog(TrainerCallback):
    """Writes to the loggers of a Trainer, as `eval/confusion_matrix` and `eval/samples`.

    The model is not run again: the Trainer passes the results of its evaluation to [`keep`].

    Args:
        label_names: classes of the model, in the order of its logits.
        loggers: callbacks of the Trainer; those in `LOGGERS` are written to.
    """

    def __init__(self, label_names: list[str], loggers: Sequence[TrainerCallback]) -> None:
        self.label_names = label_names
        self.loggers = loggers
        self._last: tuple[Any, np.ndarray, np.ndarray] | None = None

    def keep(self, dialogues: Any, logits: np.ndarray, labels: np.ndarray) -> None:
        """Keeps an evaluation until the Trainer has logged its metrics."""
        self._last = (dialogues, logits, labels)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Writes the kept evaluation; the Trainer calls it after each evaluation."""
        last, self._last = self._last, None
        writers = [(LOGGERS[type(logger)], logger) for logger in self.loggers if type(logger) in LOGGERS]
        if last is None or not writers or not state.is_world_process_zero:
            return
        # Imported here, since matplotlib takes a second to import.
        from sklearn.metrics import confusion_matrix

        from ..figures import confusion_figure

        dialogues, logits, labels = last
        scored = labels != IGNORE_INDEX
        matrix = confusion_matrix(labels[scored], logits.argmax(axis=-1)[scored], labels=range(len(self.label_names)))
        # The first utterances: the same ones every time.
        rows = itertools.islice(prediction_rows(dialogues, logits, labels, self.label_names), SAMPLES)
        samples = [row[: len(COLUMNS)] for row in rows]
        figure = confusion_figure(matrix, self.label_names, title=f"step {state.global_step}")
        for write, logger in writers:
            write(logger, figure, samples, state.global_step)


def to_tensorboard(logger: TensorBoardCallback, figure: "Figure", samples: list[list[str]], step: int) -> None:
    """Logs a figure, and a Markdown table as text."""
    if logger.tb_writer is None:  # there is none outside of training
        return
    logger.tb_writer.add_figure("eval/confusion_matrix", figure, step, close=False)
    # A line break would end the row of a Markdown table.
    rows = [[cell.replace("\n", " ") for cell in row] for row in samples]
    logger.tb_writer.add_text("eval/samples", markdown_table(COLUMNS, rows), step)


def to_trackio(logger: TrackioCallback, figure: "Figure", samples: list[list[str]], step: int) -> None:
    """Logs an image and a table."""
    import trackio  # installed, since its logger is in use

    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]  # Agg's
    trackio.log(
        {
            "eval/confusion_matrix": trackio.Image(pixels),
            "eval/samples": trackio.Table(columns=COLUMNS, data=samples),
            "train/global_step": step,
        }
    )


# To log elsewhere, add the callback of that `report_to` and a function that writes to it.
LOGGERS: dict[type, Callable[[Any, "Figure", list[list[str]], int], None]] = {
    TensorBoardCallback: to_tensorboard,
    TrackioCallback: to_trackio,
}
