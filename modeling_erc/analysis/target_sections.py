"""The sections of an analysis about targets and several labels: their scores with intervals, and a figure."""

from pathlib import Path

import numpy as np
from scipy.special import expit

from ..configuration_erc import ErcConfig
from ..figures import new_figure
from ..hub.run_facts import TITLES
from ..lettering import DPI, lettering
from ..training.intervals import DRAWS, bootstrap_weights, percentile_interval
from ..training.target_metrics import label_scores, label_sums, target_scores, target_sums, thresholds_of
from .finished_run import Prediction
from .html_report import Section, Table, with_interval


def target_sections(config: ErcConfig, prediction: Prediction, folder: Path) -> list[Section]:
    """Returns the sections of what a model predicts besides a single label, and writes their figure.

    Raises:
        ValueError: no utterance has a target or a label.
    """
    sections = []
    if config.problem_type == "multi_label_classification":
        sections.append(_label_section(config, prediction))
    if config.target_names:
        sections.append(_target_section(config, prediction, folder))
    return sections


def _label_section(config: ErcConfig, prediction: Prediction) -> Section:
    known = np.isfinite(prediction.labels).any(axis=1)
    if not known.any():
        raise ValueError("no utterance of this split has a label, so there is nothing to analyse")
    chosen = expit(prediction.logits) >= thresholds_of(config)
    sums = label_sums(chosen[known], prediction.labels[known], prediction.dialogue[known])
    scores, draws = label_scores(sums.sum(axis=0)), label_scores(_drawn(sums))
    overall = [name for name in scores if name in TITLES]
    rows = [[TITLES[name], with_interval(scores[name], percentile_interval(draws[name])), "-"] for name in overall]
    low, high = percentile_interval(draws["f1"])
    counts = np.nansum(prediction.labels, axis=0)
    for place in range(config.num_classes):
        interval = with_interval(scores["f1"][place], (low[place], high[place]))
        rows.append([config.id2label[place], interval, f"{counts[place]:.0f}"])
    text = _intervals(len(sums)) + " A label is predicted from its threshold on, which was chosen on dev."
    return Section("Several labels", text, Table(["", "score or F1", "utterances with it"], rows))


def _target_section(config: ErcConfig, prediction: Prediction, folder: Path) -> Section:
    known = np.isfinite(prediction.targets).any(axis=1)
    if not known.any():
        raise ValueError("no utterance of this split has a target, so there is nothing to analyse")
    true, predicted = prediction.targets[known], prediction.predicted_targets[known]
    sums, ranges = target_sums(predicted, true, prediction.dialogue[known]), config.target_ranges or ()
    scores, draws = target_scores(sums.sum(axis=0), ranges), target_scores(_drawn(sums), ranges)
    shown = [name for name, values in scores.items() if np.isfinite(values).any()]
    rows = []
    for place, target in enumerate(config.target_names or ()):
        cells = []
        for name in shown:
            bounds = percentile_interval(draws[name][:, place])
            cells.append(with_interval(scores[name][place], bounds) if np.isfinite(scores[name][place]) else "-")
        rows.append([target, *cells, str(int(np.isfinite(true[:, place]).sum()))])
    plot_targets(config.target_names or [], true, predicted, folder / "targets.png")
    table = Table(["target", *(TITLES[name] for name in shown), "utterances"], rows)
    text = f"{_intervals(len(sums))} In the figure a dot is an utterance, and on the diagonal predictions are exact."
    return Section("Targets", text, table, picture="targets.png")


def _drawn(sums: np.ndarray) -> np.ndarray:
    drawn: np.ndarray = np.tensordot(bootstrap_weights(len(sums)), sums, axes=1)
    return drawn


def _intervals(dialogues: int) -> str:
    return f"Brackets hold 95 % intervals of a bootstrap over the {dialogues:,} dialogues ({DRAWS:,} draws)."


def plot_targets(names: list[str], true: np.ndarray, predicted: np.ndarray, path: Path) -> None:
    """Draws the predictions of each target against the true values.

    Args:
        names: names of the targets.
        true: `(n, targets)`, NaN where one is missing.
        predicted: `(n, targets)`.
        path: PNG to write.
    """
    with lettering(names) as spell:
        figure = new_figure(height=4.4)
        for place, axes in enumerate(np.atleast_1d(figure.subplots(1, len(names)))):
            known = np.isfinite(true[:, place])
            x, y = true[known, place], predicted[known, place]
            # Ratings are often equal: their dots would hide each other.
            spread = np.random.default_rng(0).normal(0, 0.01 * np.ptp(x), len(x))
            axes.plot(x + spread, y, ".", markersize=3, alpha=0.4)
            axes.axline((x.mean(), x.mean()), slope=1, color="#6b7683", linestyle="--", linewidth=1)
            axes.set_xlabel(f"{spell(names[place])}, true")
            axes.set_ylabel("predicted")
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, dpi=DPI)
