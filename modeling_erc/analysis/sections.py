"""The sections of an analysis: what a model's answers on one split show, in tables and pictures."""

from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from ..figures import plot_confusion
from .figures import plot_f1_against_frequency, plot_joint_attention, plot_map, plot_reliability
from .groups import length_section, position_section, shift_section, speaker_section
from .html_report import Example, Section, Table, number, with_interval
from .joint_attention import JointAttentionMeter
from .scores import (
    RESAMPLES,
    ConfusedPair,
    Evaluated,
    Scores,
    interval,
    most_confused,
    reliability,
    resampled_scores,
    scores_of,
)

LIMIT = 2000
NEIGHBOURS = 10
# Below this t-SNE has no neighbourhoods to keep.
FEWEST_FOR_TSNE = 30


def map_to_plane(vectors: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, str]:
    """Points on a plane of which near ones were near: t-SNE (van der Maaten and Hinton 2008), started at the PCA.

    Args:
        vectors: `(n, width)`, n is 2 or more.
        seed: of the method.

    Returns:
        `(n, 2)` and the name of the method, which for few vectors is the PCA alone.
    """
    alike = bool(np.ptp(vectors, axis=0).max() < 1e-6)
    if len(vectors) < FEWEST_FOR_TSNE or vectors.shape[1] < 3 or alike:
        points = PCA(n_components=min(2, *vectors.shape), random_state=seed).fit_transform(vectors)
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1]))), "PCA"
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    plane: np.ndarray = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(vectors)
    return plane, "t-SNE"


def draw_rows(count: int, *, limit: int = LIMIT, seed: int = 0) -> np.ndarray:
    """Indices of `limit` of `count` rows, drawn by seed, in order; of all rows where there are no more."""
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))


def neighbour_agreement(vectors: np.ndarray, labels: np.ndarray, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """How often the nearest vectors have the same label, in the full space.

    Args:
        vectors: `(n, width)`.
        labels: `(n,)`.
        neighbours: of each vector, itself not counted.

    Returns:
        the share of neighbours with the label of their vector, and what a random neighbour would give.
    """
    nearest = NearestNeighbors(n_neighbors=neighbours).fit(vectors).kneighbors()[1]
    counts = np.unique(labels, return_counts=True)[1]
    chance = (counts * (counts - 1)).sum() / (len(labels) * (len(labels) - 1))
    return float((labels[nearest] == labels[:, None]).mean()), float(chance)


def all_sections(found: Evaluated, folder: Path, attention: JointAttentionMeter | None) -> list[Section]:
    """Every section, in the order of the report; pictures go into the folder.

    Args:
        found: the answers.
        folder: where the PNGs go.
        attention: what was measured of the joint vectors while the answers were made, if the fusion has any.
    """
    by_dialogue = found.by_dialogue()
    scores, resampled = scores_of(by_dialogue.sum(axis=0)), resampled_scores(by_dialogue)
    return [
        scores_section(found, scores, resampled),
        confusion_section(found, folder),
        pairs_section(found),
        frequency_section(found, scores, resampled, folder),
        shift_section(found),
        speaker_section(found),
        position_section(found),
        length_section(found),
        calibration_section(found, folder),
        map_section(found, folder),
        attention_section(attention, folder),
    ]


def scores_section(found: Evaluated, scores: Scores, resampled: Scores) -> Section:
    """Overall and per-class scores with their intervals."""
    rows = []
    for name, value, values in (
        ("accuracy", scores.accuracy, resampled.accuracy),
        ("weighted F1", scores.weighted_f1, resampled.weighted_f1),
        ("macro F1", scores.macro_f1, resampled.macro_f1),
    ):
        rows.append([name, *["-"] * 2, with_interval(value, interval(values)), str(found.scored.sum())])
    for index, name in enumerate(found.class_names):
        cells = [
            with_interval(value[index], interval(values[:, index])) if scores.support[index] else "-"
            for value, values in (
                (scores.precision, resampled.precision),
                (scores.recall, resampled.recall),
                (scores.f1, resampled.f1),
            )
        ]
        rows.append([name, *cells, str(scores.support[index])])
    return Section(
        "Scores",
        "The whole split first, then each class. Brackets hold 95 % intervals: the middle of what "
        f"{RESAMPLES:,} draws of as many dialogues, with replacement, give. They tell how much another choice of test "
        "dialogues would change a number, not how much another training run would."
        + (" With a single dialogue they say nothing." if len(np.unique(found.dialogue[found.scored])) == 1 else ""),
        Table(["", "precision", "recall", "score or F1", "utterances"], rows),
    )


def confusion_section(found: Evaluated, folder: Path) -> Section:
    """The confusion matrix as a picture."""
    matrix = found.by_dialogue().sum(axis=0)
    plot_confusion(matrix, found.class_names, folder / "confusion_matrix.png", title=found.name)
    text = "Rows are true classes, columns predictions; shades are shares of the row, numbers are utterances."
    return Section("Confusion matrix", text, picture="confusion_matrix.png")


def pairs_section(found: Evaluated) -> Section:
    """Which classes are taken for which others, with utterances."""
    pairs = most_confused(found.labels, found.probabilities)
    if not pairs:
        return Section("Most confused pairs", "Left out: every labelled utterance is predicted right.")
    names = found.class_names
    return Section(
        "Most confused pairs",
        "Which class is taken for which other most often, as a count and as a share of the true class' utterances. "
        "Below, those of which the model was surest, between their neighbours; brackets hold the true classes.",
        Table(
            ["true", "predicted", "utterances", "share of the true class"],
            [[names[p.true], names[p.predicted], str(p.count), f"{p.share:.3f}"] for p in pairs],
        ),
        examples=[_example(found, pair, index) for pair in pairs for index in pair.examples],
    )


def frequency_section(found: Evaluated, scores: Scores, resampled: Scores, folder: Path) -> Section:
    """F1 of each class against how often it was seen in training."""
    here = scores.support > 0
    low, high = interval(resampled.f1)
    plot_f1_against_frequency(
        found.train_counts[here],
        scores.f1[here],
        low[here],
        high[here],
        [name for name, present in zip(found.class_names, here, strict=True) if present],
        folder / "f1_against_frequency.png",
        title=f"F1 on {found.name} against frequency in training",
    )
    text = "A point for each class of this split, at the utterances it has in training; lines are 95 % intervals of F1."
    return Section("F1 against class frequency", text, picture="f1_against_frequency.png")


def calibration_section(found: Evaluated, folder: Path) -> Section:
    """Whether probabilities are to be believed."""
    confidence = found.probabilities.max(axis=1)[found.scored]
    right = (found.predicted == found.labels)[found.scored]
    bins = reliability(confidence, right)
    plot_reliability(bins, folder / "calibration.png", title=f"Calibration on {found.name}")
    lean = "surer than it is right" if confidence.mean() > right.mean() else "right more often than it is sure"
    text = (
        f"Expected calibration error {bins.error:.3f} ({len(bins.counts)} bins of equal width): the mean gap between "
        "the probability that the model gives its answer and the share of such answers that is right. On the whole it "
        f"is {lean}: mean probability {confidence.mean():.3f}, accuracy {right.mean():.3f}. Where bars end below "
        "the diagonal, it is overconfident."
    )
    return Section("Calibration", text, picture="calibration.png")


def map_section(found: Evaluated, folder: Path) -> Section:
    """The embeddings on a plane."""
    labelled = np.flatnonzero(found.scored)
    if len(labelled) < 3:
        return Section("Map of the embeddings", f"Left out: {len(labelled)} labelled utterances are too few to map.")
    rows = labelled[draw_rows(len(labelled))]
    points, method = map_to_plane(found.vectors[rows])
    plot_map(
        points,
        found.labels[rows],
        found.class_names,
        folder / "embeddings.png",
        title=f"Embeddings of {found.name} ({method})",
    )
    neighbours = min(NEIGHBOURS, len(rows) - 1)
    agreement, chance = neighbour_agreement(found.vectors[rows], found.labels[rows], neighbours)
    drawn = f"{LIMIT:,} of {len(labelled):,} labelled utterances, drawn at random" if len(rows) < len(labelled) else ""
    text = (
        f"{drawn or 'The labelled utterances'}, by {method}, coloured by their true class. Such a map keeps near "
        "neighbours and little else: distances between clusters mean nothing. In the full space, "
        f"{agreement:.3f} of an utterance's {neighbours} nearest neighbours have its class (by chance {chance:.3f})."
    )
    return Section("Map of the embeddings", text, picture="embeddings.png")


def attention_section(attention: JointAttentionMeter | None, folder: Path) -> Section:
    """How much each joint vector attends to each modality."""
    title = "Attention of the joint vectors"
    if attention is None:
        return Section(title, "Left out: only the fusion joint_vector has joint vectors.")
    shares, even, modalities = attention.shares(), attention.even_shares(), list(attention.fusion.modalities)
    plot_joint_attention(shares, even, modalities, folder / "joint_attention.png", title=title)
    rows = [
        [str(layer + 1), str(vector + 1), *(number(share) for share in shares[layer, vector])]
        for layer, vector in np.ndindex(*shares.shape[:2])
    ]
    text = (
        "In each layer and for each modality, the share of a joint vector's attention that is on that modality's "
        "tokens (mean over heads and over the utterances that have the modality); the rest, up to 1, is on the joint "
        "vectors themselves. Looking at everything alike would give "
        + ", ".join(f"{m} {number(share)}" for m, share in zip(modalities, even, strict=True))
        + "."
    )
    return Section(title, text, Table(["layer", "joint vector", *modalities], rows), picture="joint_attention.png")


def _example(found: Evaluated, pair: ConfusedPair, index: int) -> Example:
    near = [i for i in (index - 1, index, index + 1) if 0 <= i < len(found.utterances)]
    near = [i for i in near if found.dialogue[i] == found.dialogue[index]]
    utterance = found.utterances[index]
    heading = (
        f"{found.class_names[pair.true]} taken for {found.class_names[pair.predicted]} with probability "
        f"{found.probabilities[index, pair.predicted]:.2f}: dialogue {utterance['dialogue_id']}, "
        f"utterance {utterance['utterance_id']}"
    )
    return Example(heading, [_line(found, i) for i in near], marked=near.index(index))


def _line(found: Evaluated, index: int) -> str:
    utterance, label = found.utterances[index], int(found.labels[index])
    name = found.class_names[label] if label >= 0 else "no label"
    return f"{utterance['speaker']} [{name}]" + (f": {utterance['text']}" if utterance.get("text") else "")
