"""High-dimensional vectors on a plane, and what of their neighbourhoods is true without the plane."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

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
