"""Tells the speakers of a recording apart."""

import numpy as np
import torch
from scipy.fft import dct
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import silhouette_score
from transformers import AutoFeatureExtractor, AutoModelForAudioXVector
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from .speech import RATE, Span

CEPSTRA = slice(1, 20)  # of the 40 mel bands; the first is the loudness
QUIET = 30  # percent of the frames of a piece that are left out
RIDGE = 0.02  # added to the variances, which are 1 over the whole recording
MOST_SPEAKERS = 8  # looked for where the number is not given
# Silhouette below which all pieces are taken to be one speaker's.
CLEAR = 0.25


def group_speakers(samples: np.ndarray, spans: list[Span], count: int | None, model: str | None) -> list[int]:
    """Returns the number of the speaker of each piece of speech, from 1 in the order of appearance.

    Args:
        samples: sound at 16 kHz, `(samples,)`.
        spans: start and end of each piece in seconds.
        count: number of speakers; with a model it may be None, and the best separated number is chosen.
        model: folder or Hub id of an `AutoModelForAudioXVector`. Without one the speakers are grouped by their spectra.

    Raises:
        OSError: there is no such model.
        ValueError: the model is of another kind.
    """
    pieces = [samples[int(start * RATE) : max(int(end * RATE), int(start * RATE) + 1)] for start, end in spans]
    if len(pieces) <= (count or 1):
        return list(range(1, len(pieces) + 1))
    if model is not None:
        groups = _cluster(x_vectors(pieces, model), count)
    elif count is not None:
        groups = cluster_spectra([_cepstra(piece) for piece in pieces], count)
    else:
        raise ValueError("give the number of speakers or a model of speakers")
    order = list(dict.fromkeys(groups))
    return [order.index(group) + 1 for group in groups]


def x_vectors(pieces: list[np.ndarray], model: str) -> np.ndarray:
    """Returns the speaker embeddings of pieces of speech, `(pieces, width)`, of unit length."""
    extractor = AutoFeatureExtractor.from_pretrained(model)
    network = AutoModelForAudioXVector.from_pretrained(model, use_safetensors=True).eval()
    vectors = []
    for piece in pieces:
        sound = np.resize(piece, max(len(piece), RATE))  # the convolutions need about a second
        inputs = extractor(sound, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            vectors.append(network(**inputs).embeddings[0].float().numpy())
    found = np.stack(vectors)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _cluster(vectors: np.ndarray, count: int | None) -> list[int]:
    def grouped(number: int) -> np.ndarray:
        labels: np.ndarray = AgglomerativeClustering(number, metric="cosine", linkage="average").fit_predict(vectors)
        return labels

    if count is not None:
        return grouped(count).tolist() if count > 1 else [0] * len(vectors)
    tried = [grouped(number) for number in range(2, min(MOST_SPEAKERS, len(vectors) - 1) + 1)]
    scores = [silhouette_score(vectors, labels, metric="cosine") for labels in tried]
    return tried[int(np.argmax(scores))].tolist() if scores and max(scores) > CLEAR else [0] * len(vectors)


def _cepstra(piece: np.ndarray) -> np.ndarray:
    """Returns mel-frequency cepstra of the louder frames, `(frames, 19)`."""
    filters = mel_filter_bank(257, 40, 60, 7600, RATE, norm="slaney", mel_scale="htk")
    sound = np.pad(piece, (0, max(0, 560 - len(piece))))
    mel = spectrogram(
        sound,
        window_function(400, "hann"),
        400,
        160,
        fft_length=512,
        mel_filters=filters,
        log_mel="log10",
        center=False,
    )
    loudness = mel.mean(axis=0)
    return dct(mel, axis=0, norm="ortho")[CEPSTRA, loudness >= np.percentile(loudness, QUIET)].T


def cluster_spectra(frames: list[np.ndarray], count: int) -> list[int]:
    """Merges the two most similar groups until `count` remain.

    A group is a Gaussian with full covariance, and the distance of two is what their likelihood loses where one
    Gaussian replaces both (Gish et al. 1991; Chen and Gopalakrishnan 1998).

    Args:
        frames: features of each piece, `(frames, width)`.
        count: number of groups.
    """
    whole = np.concatenate(frames)
    scaled = [(piece - whole.mean(axis=0)) / (whole.std(axis=0) + 1e-6) for piece in frames]
    sizes = np.array([float(len(piece)) for piece in scaled])
    sums = np.stack([piece.sum(axis=0) for piece in scaled])
    squares = np.stack([piece.T @ piece for piece in scaled])

    def cost(size: np.ndarray, total: np.ndarray, square: np.ndarray) -> np.ndarray:
        mean = total / size[:, None]
        covariance = square / size[:, None, None] - mean[:, :, None] * mean[:, None]
        result: np.ndarray = size / 2 * np.linalg.slogdet(covariance + RIDGE * np.eye(len(mean[0])))[1]
        return result

    own = cost(sizes, sums, squares)

    def losses(row: int) -> np.ndarray:
        return cost(sizes + sizes[row], sums + sums[row], squares + squares[row]) - own - own[row]

    distances = np.stack([losses(row) for row in range(len(frames))])
    np.fill_diagonal(distances, np.inf)
    groups = np.arange(len(frames))
    for _ in range(len(frames) - count):
        kept, gone = sorted(np.unravel_index(distances.argmin(), distances.shape))
        groups[groups == gone] = kept
        for parts in (sizes, sums, squares):
            parts[kept] += parts[gone]
        own[kept] = cost(sizes[[kept]], sums[[kept]], squares[[kept]])[0]
        gone_already = np.isinf(distances[kept])
        row = np.where(gone_already, np.inf, losses(int(kept)))
        distances[kept], distances[:, kept] = row, row
        distances[gone], distances[:, gone] = np.inf, np.inf
    return groups.tolist()
