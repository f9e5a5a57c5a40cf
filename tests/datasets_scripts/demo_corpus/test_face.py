from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from datasets_scripts.demo_corpus.face import FACES, SIZE, film


@pytest.mark.parametrize("expression", FACES)
def test_a_film_has_its_frames_and_moves(expression: str) -> None:
    frames = film(expression, 4, 9, np.random.default_rng(0))
    assert frames.shape == (9, SIZE, SIZE, 3) and frames.dtype == np.uint8
    assert all(not np.array_equal(one, other) for one, other in pairwise(frames))


def test_the_same_seed_draws_the_same() -> None:
    one, again, other = (film("open", 2, 7, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_a_speaker_keeps_their_looks() -> None:
    def wall_and_shirt(speaker: int, expression: str, seed: int) -> np.ndarray:
        frame = film(expression, speaker, 1, np.random.default_rng(seed))[0]
        return np.concatenate([frame[2, 2], frame[62, 45]])

    for speaker in range(6):
        looks = [wall_and_shirt(speaker, expression, seed) for seed, expression in enumerate(FACES)]
        assert all(np.array_equal(look, looks[0]) for look in looks)
    assert len({tuple(wall_and_shirt(speaker, "still", 0)) for speaker in range(24)}) > 10


def test_an_expression_grows() -> None:
    def far_from_still(seed: int) -> np.ndarray:
        one, other = (film(name, 3, 10, np.random.default_rng(seed)).astype(float) for name in ("still", "open"))
        return np.abs(one - other).mean((1, 2, 3))

    moves = np.mean([far_from_still(seed) for seed in range(8)], axis=0)
    assert moves[-1] > 1.1 * moves[0] > 2


def test_a_linear_model_tells_the_expressions_apart_in_the_first_frame() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.choice(list(FACES), 900)
    faces = np.stack([film(kind, int(rng.integers(24)), 1, rng)[0] for kind in kinds]) / 255
    grey = faces.mean(3).reshape(-1, 32, 2, 32, 2).mean((2, 4)).reshape(len(kinds), -1)
    model = LogisticRegression(C=0.1, max_iter=1000).fit(grey[:700], kinds[:700])
    assert model.score(grey[700:], kinds[700:]) > 0.93
