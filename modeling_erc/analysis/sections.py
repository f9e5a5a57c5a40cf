"""The sections of an analysis: what a model's predictions on one split show, in tables and figures."""

from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from ..figures import plot_confusion, plot_estimates
from ..hub.run_facts import METRIC_TITLES
from ..training.calibration import reliability
from ..training.confusion import Scores, bootstrap_scores, scores_of
from ..training.intervals import DRAWS, percentile_interval
from .figures import plot_joint_attention, plot_map, plot_reliability
from .groups import dialogue_group_section, length_section, position_section, shift_section, speaker_section
from .html_report import Example, Section, Table, number, with_interval
from .joint_attention import JointAttentionMeter
from .scores import ConfusedPair, Evaluated, most_confused

# Maximum number of utterances in the map of the embeddings.
LIMIT = 2000
NEIGHBOURS = 10
# With fewer vectors t-SNE has no neighbourhoods to preserve.
FEWEST_FOR_TSNE = 30


def all_sections(result: Evaluated, folder: Path, attention: JointAttentionMeter | None) -> list[Section]:
    """Returns every section in the order of the report, and writes the figures."""
    by_dialogue = result.by_dialogue()
    scores, draws = scores_of(by_dialogue.sum(axis=0)), bootstrap_scores(by_dialogue)
    return [
        scores_section(result, scores, draws),
        confusion_section(result, folder),
        pairs_section(result),
        frequency_section(result, scores, draws, folder),
        shift_section(result),
        dialogue_group_section(result),
        speaker_section(result),
        position_section(result),
        length_section(result),
        calibration_section(result, folder),
        map_section(result, folder),
        attention_section(attention, folder),
    ]


def scores_section(result: Evaluated, scores: Scores, draws: Scores) -> Section:
    """Reports overall and per-class scores with their intervals."""

    dialogues = len(np.unique(result.dialogue[result.scored]))
    rows = []
    for name, title in METRIC_TITLES.items():
        bounds = percentile_interval(getattr(draws, name))
        rows.append([title, "-", "-", with_interval(getattr(scores, name), bounds), str(result.scored.sum())])
    kinds = ("precision", "recall", "f1")
    values = np.stack([getattr(scores, kind) for kind in kinds])
    low, high = percentile_interval(np.stack([getattr(draws, kind) for kind in kinds], axis=1))
    for index, name in enumerate(result.class_names):
        cells = ["-"] * 3
        if scores.support[index]:
            cells = [with_interval(values[k, index], (low[k, index], high[k, index])) for k in range(3)]
        rows.append([name, *cells, str(scores.support[index])])
    return Section(
        "Scores",
        f"The whole split first, then each class. Brackets hold 95 % intervals of a bootstrap over the {dialogues:,} "
        f"dialogues ({DRAWS:,} draws with replacement): how much a number would change with other test dialogues, not "
        "with another training run." + (" With a single dialogue they mean nothing." if dialogues == 1 else ""),
        Table(["", "precision", "recall", "score or F1", "utterances"], rows),
    )


def confusion_section(result: Evaluated, folder: Path) -> Section:
    """Draws the confusion matrix."""
    matrix = result.by_dialogue().sum(axis=0)
    plot_confusion(matrix, result.class_names, folder / "confusion_matrix.png", title=result.name)
    text = "Rows are true classes, columns predictions; shades are shares of the row, numbers are utterances."
    return Section("Confusion matrix", text, picture="confusion_matrix.png")


def pairs_section(result: Evaluated) -> Section:
    """Lists the most confused pairs of classes with example utterances."""
    pairs = most_confused(result.labels, result.probabilities)
    if not pairs:
        return Section("Most confused pairs", "Left out: every labelled utterance is predicted correctly.")
    names = result.class_names
    return Section(
        "Most confused pairs",
        "The classes that are most often predicted as another one, as a count and as a share of the true class. "
        "Below, the errors with the highest confidence, between their neighbours; brackets hold the true classes.",
        Table(
            ["true", "predicted", "utterances", "share of the true class"],
            [
                [names[p.true], names[p.predicted], str(p.count), f"{p.count / (result.labels == p.true).sum():.3f}"]
                for p in pairs
            ],
        ),
        examples=[_example(result, pair, index) for pair in pairs for index in pair.examples],
    )


def _example(result: Evaluated, pair: ConfusedPair, index: int) -> Example:
    near = [i for i in (index - 1, index, index + 1) if 0 <= i < len(result.utterances)]
    near = [i for i in near if result.dialogue[i] == result.dialogue[index]]
    utterance = result.utterances[index]
    heading = (
        f"{result.class_names[pair.true]} predicted as {result.class_names[pair.predicted]} with probability "
        f"{result.probabilities[index, pair.predicted]:.2f}: dialogue {utterance['dialogue_id']}, "
        f"utterance {utterance['utterance_id']}"
    )
    return Example(heading, [_line(result, i) for i in near], marked=near.index(index))


def _line(result: Evaluated, index: int) -> str:
    utterance, label = result.utterances[index], int(result.labels[index])
    name = result.class_names[label] if label >= 0 else "no label"
    return f"{utterance['speaker']} [{name}]" + (f": {utterance['text']}" if utterance.get("text") else "")


def frequency_section(result: Evaluated, scores: Scores, draws: Scores, folder: Path) -> Section:
    """Draws the F1 of each class against its frequency in training."""
    present = [i for i in np.argsort(-result.train_counts, kind="stable") if scores.support[i]]
    low, high = percentile_interval(draws.f1)
    plot_estimates(
        [f"{result.class_names[i]} ({result.train_counts[i]:,})" for i in present],
        scores.f1[present],
        np.stack([scores.f1 - low, high - scores.f1], axis=1)[present],
        folder / "f1_against_frequency.png",
        title=f"F1 of each class on {result.name}",
        axis="F1 with its 95 % interval; in brackets the training utterances of the class",
    )
    text = (
        "The classes of this split by falling number of training utterances; lines are 95 % intervals of F1 over "
        "dialogues."
    )
    return Section("F1 against class frequency", text, picture="f1_against_frequency.png")


def calibration_section(result: Evaluated, folder: Path) -> Section:
    """Draws the reliability diagram and reports the expected calibration error."""
    confidence = result.probabilities.max(axis=1)[result.scored]
    correct = (result.predicted == result.labels)[result.scored]
    bins = reliability(confidence, correct)
    plot_reliability(bins, folder / "calibration.png", title=f"Calibration on {result.name}")
    tendency = "overconfident" if confidence.mean() > correct.mean() else "underconfident"
    text = (
        f"Expected calibration error (ECE) {bins.error:.3f}, with {len(bins.counts)} bins of equal width: the mean gap "
        "between the probability of the predicted class and the accuracy. On the whole the model is "
        f"{tendency}: mean probability {confidence.mean():.3f}, accuracy {correct.mean():.3f}. It is overconfident "
        "where bars end below the diagonal."
    )
    return Section("Calibration", text, picture="calibration.png")


def map_section(result: Evaluated, folder: Path) -> Section:
    """Draws the embeddings on a plane."""
    labelled = np.flatnonzero(result.scored)
    if len(labelled) < 3:
        return Section("Map of the embeddings", f"Left out: {len(labelled)} labelled utterances are too few to map.")
    rows = labelled[sample_rows(len(labelled))]
    vectors, labels = result.vectors[rows], result.labels[rows]
    points, method = map_to_plane(vectors)
    title = f"Embeddings of {result.name} ({method})"
    plot_map(points, labels, result.class_names, folder / "embeddings.png", title=title)
    neighbours = min(NEIGHBOURS, len(rows) - 1)
    agreement, chance = neighbour_agreement(vectors, labels, neighbours)
    subject = "The labelled utterances"
    if len(rows) < len(labelled):
        subject = f"A random sample of {LIMIT:,} of {len(labelled):,} labelled utterances"
    text = (
        f"{subject}, by {method}, coloured by true class. Such a map preserves near neighbours and little else: "
        "distances between clusters mean nothing. In the full space, "
        f"{agreement:.3f} of an utterance's {neighbours} nearest neighbours have its class (by chance {chance:.3f})."
    )
    return Section("Map of the embeddings", text, picture="embeddings.png")


def sample_rows(count: int, *, limit: int = LIMIT) -> np.ndarray:
    """Returns the sorted indices of a random sample of `limit` of `count` rows, or of all rows if there are no more."""
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, limit, replace=False))


def map_to_plane(vectors: np.ndarray) -> tuple[np.ndarray, str]:
    """Projects vectors to a plane with t-SNE (van der Maaten and Hinton 2008), initialised with PCA.

    Args:
        vectors: `(n, width)` with at least two rows.

    Returns:
        `(n, 2)` and the name of the method, which is PCA where vectors are few, narrow or all equal.
    """
    equal = bool(np.ptp(vectors, axis=0).max() < 1e-6)
    if len(vectors) < FEWEST_FOR_TSNE or vectors.shape[1] < 3 or equal:
        points = PCA(n_components=min(2, *vectors.shape), random_state=0).fit_transform(vectors)
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1]))), "PCA"
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    plane: np.ndarray = TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(vectors)
    return plane, "t-SNE"


def neighbour_agreement(vectors: np.ndarray, labels: np.ndarray, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Returns how often the nearest vectors have the same label, in the full space.

    Args:
        vectors: `(n, width)`.
        labels: `(n,)`.
        neighbours: number of neighbours of each vector.

    Returns:
        the share of neighbours with the label of their vector, and that of random neighbours.
    """
    nearest = NearestNeighbors(n_neighbors=neighbours).fit(vectors).kneighbors()[1]
    counts = np.unique(labels, return_counts=True)[1]
    chance = (counts * (counts - 1)).sum() / (len(labels) * (len(labels) - 1))
    return float((labels[nearest] == labels[:, None]).mean()), float(chance)


def attention_section(attention: JointAttentionMeter | None, folder: Path) -> Section:
    """Reports how much each joint vector attends to each modality."""
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
        "In each layer and for each modality, the share of a joint vector's attention that is on the tokens of that "
        "modality (mean over heads and over the utterances that have the modality); the rest, up to 1, is on the joint "
        "vectors themselves. Uniform attention would give "
        + ", ".join(f"{m} {number(share)}" for m, share in zip(modalities, even, strict=True))
        + "."
    )
    return Section(title, text, Table(["layer", "joint vector", *modalities], rows), picture="joint_attention.png")
