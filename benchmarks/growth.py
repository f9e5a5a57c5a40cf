"""`growth`: time of a training step and of a prediction against the length of a dialogue, on one thread."""

import numpy as np
import torch

from modeling_erc import EmotionRecognitionPipeline, ErcConfig, ErcForSequenceClassification
from modeling_erc.losses_erc import ErcLoss
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.training import ErcCollator

from .corpus import EMOTIONS, feature_corpus
from .measure import fastest, model_inputs, peak_mb
from .table import BENCHMARKS, Setting, Table

WIDTHS = {"text": 100, "audio": 73, "vision": 100}


@BENCHMARKS.register("growth")
def growth(setting: Setting) -> list[Table]:
    """Measures a training step on one dialogue of several lengths, with each kind of context."""
    # The slope is that of the lengths from 60 to 500: below it, the constant cost of a call dominates.
    lengths, fitted = ([4, 8], slice(None)) if setting.quick else ([15, 30, 60, 125, 250, 500, 1000], slice(2, 6))
    steps = {name: setting.run(_steps, name, lengths, 1 if setting.quick else 5) for name in ("transformer", "gru")}
    first, *_, last = lengths[fitted]
    # The least-squares slope of log time against log length: 1 means proportional growth.
    slopes = {name: np.polyfit(np.log(lengths[fitted]), np.log(took[fitted]), 1)[0] for name, took in steps.items()}
    title = "A training step on one dialogue, one thread (CPU s)"
    rows = [list(row) for row in zip(lengths, *steps.values(), strict=True)]
    listed = ", ".join(f"{name} {slope:.2f}" for name, slope in slopes.items())
    note = f"Slope of log time from {first} to {last} utterances: {listed}"
    return [Table(title, ["utterances", *steps], rows, [note]), _predictions(setting)]


def _predictions(setting: Setting) -> Table:
    lengths = [4, 8] if setting.quick else [200, 2000, 20000]
    rows = [[length, *setting.run(_prediction, length)] for length in lengths]
    title = "A prediction for one dialogue, context transformer, one thread"
    return Table(
        title, ["utterances", "CPU s", "peak memory (MB)"], rows, ["Peak memory includes Python and libraries."]
    )


@torch.inference_mode()
def _prediction(length: int) -> tuple[float, float]:
    torch.set_num_threads(1)
    config = ErcConfig(feature_sizes=WIDTHS, num_labels=len(EMOTIONS))
    pipe = EmotionRecognitionPipeline(
        model=ErcForSequenceClassification(config).eval(), processor=ErcProcessor(modalities=config.modalities)
    )
    (row,) = feature_corpus([length], WIDTHS)
    return fastest(lambda: pipe(row["utterances"]), 1), peak_mb()


def _steps(context: str, lengths: list[int], repeats: int) -> list[float]:
    torch.set_num_threads(1)
    label2id = {name: index for index, name in enumerate(EMOTIONS)}
    config = ErcConfig(feature_sizes=WIDTHS, context=context, num_labels=len(EMOTIONS))
    model, loss = ErcForSequenceClassification(config).train(), ErcLoss(config)
    collate = ErcCollator(ErcProcessor(modalities=config.modalities), EMOTIONS, label2id)
    took = []
    for length in lengths:
        batch = collate(list(feature_corpus([length], WIDTHS)))
        inputs = model_inputs(batch)

        def step(inputs: dict[str, torch.Tensor] = inputs, labels: torch.Tensor = batch["labels"]) -> None:
            model.zero_grad()
            loss(model(**inputs), labels).backward()

        took.append(fastest(step, repeats))
    return took
