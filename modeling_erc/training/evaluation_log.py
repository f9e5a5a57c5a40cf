"""The confusion matrix and sample predictions of each evaluation, for the loggers in `report_to`."""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback, TrackioCallback

from datasets_scripts.publishing.markdown import markdown_table

from ..configuration_erc import ErcConfig
from ..losses_erc import IGNORE_INDEX
from .prediction_table import prediction_columns, prediction_rows
from .target_metrics import columns_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES = 20


class EvaluationLog(TrainerCallback):
    """Writes to the loggers of a Trainer, as `eval/confusion_matrix` and `eval/samples`.

    The model is not run again: the Trainer passes the results of its evaluation to [`keep`].

    Args:
        config: config of the model.
        loggers: callbacks of the Trainer; those in `LOGGERS` are written to.
    """

    def __init__(self, config: ErcConfig, loggers: Sequence[TrainerCallback]) -> None:
        self.config = config
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
        # The first utterances: the same ones every time.
        rows = itertools.islice(prediction_rows(self.config, dialogues, logits, labels), SAMPLES)
        columns = ["dialogue", "utterance", *prediction_columns(self.config)[2:]]
        table = [[str(cell) for cell in row[: len(columns) - self.config.num_classes]] for row in (columns, *rows)]
        figure = None
        if self.config.problem_type not in ("multi_label_classification", "regression"):
            classes = columns_of(self.config, labels)[0]
            scored, count = classes != IGNORE_INDEX, self.config.num_classes
            predicted = logits[..., :count].argmax(axis=-1)
            matrix = confusion_matrix(classes[scored], predicted[scored], labels=range(count))
            names = [self.config.id2label[index] for index in range(count)]
            figure = confusion_figure(matrix, names, title=f"step {state.global_step}")
        for write, logger in writers:
            write(logger, figure, table, state.global_step)


def to_tensorboard(logger: TensorBoardCallback, figure: "Figure | None", table: list[list[str]], step: int) -> None:
    """Logs a figure, and a Markdown table, whose header is the first row of `table`, as text."""
    if logger.tb_writer is None:  # there is none outside of training
        return
    if figure is not None:
        logger.tb_writer.add_figure("eval/confusion_matrix", figure, step, close=False)
    # A line break would end the row of a Markdown table.
    header, *rows = [[cell.replace("\n", " ") for cell in row] for row in table]
    logger.tb_writer.add_text("eval/samples", markdown_table(header, rows), step)


def to_trackio(logger: TrackioCallback, figure: "Figure | None", table: list[list[str]], step: int) -> None:
    """Logs an image and a table."""
    import trackio  # installed, since its logger is in use

    logged = {"eval/samples": trackio.Table(columns=table[0], data=table[1:]), "train/global_step": step}
    if figure is not None:
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]  # Agg's
        logged["eval/confusion_matrix"] = trackio.Image(pixels)
    trackio.log(logged)


# To log elsewhere, add the callback of that `report_to` and a function that writes to it.
LOGGERS: dict[type, Callable[[Any, "Figure | None", list[list[str]], int], None]] = {
    TensorBoardCallback: to_tensorboard,
    TrackioCallback: to_trackio,
}
