import numpy as np
import pytest

from modeling_erc.analysis.sections import draw_rows, map_to_plane, neighbour_agreement


def clusters(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Three far groups of `size` vectors of width 8."""
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), size)
    return (10 * np.eye(3, 8)[labels] + draw.normal(size=(3 * size, 8))).astype(np.float32), labels


@pytest.mark.parametrize(("size", "method"), [(30, "t-SNE"), (4, "PCA")])
def test_what_is_near_stays_near(size: int, method: str) -> None:
    vectors, labels = clusters(size)
    points, named = map_to_plane(vectors)
    assert named == method
    assert points.shape == (3 * size, 2)
    assert neighbour_agreement(points, labels, neighbours=1)[0] == 1.0


def test_the_map_is_repeated_by_seed() -> None:
    vectors, _ = clusters(20)
    np.testing.assert_array_equal(map_to_plane(vectors)[0], map_to_plane(vectors)[0])


@pytest.mark.parametrize("shape", [(2, 5), (3, 1), (40, 1), (40, 5)])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_too_little_to_map_is_still_a_plane_of_finite_points(shape: tuple[int, int]) -> None:
    points, method = map_to_plane(np.ones(shape, dtype=np.float32))
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()
    assert method == "PCA"


def test_rows_are_drawn_only_where_there_are_too_many() -> None:
    assert draw_rows(5, limit=5).tolist() == [0, 1, 2, 3, 4]
    drawn = draw_rows(1000, limit=100)
    assert len(set(drawn.tolist())) == 100
    assert (np.diff(drawn) > 0).all()
    assert drawn.max() > 900
    np.testing.assert_array_equal(drawn, draw_rows(1000, limit=100))


def test_agreement_counts_neighbours_other_than_oneself() -> None:
    # On a line: 0, 1 of class 0; 3 of class 1; 10, 11 of class 1.
    vectors = np.array([[0.0], [1.0], [3.0], [10.0], [11.0]])
    agreement, chance = neighbour_agreement(vectors, np.array([0, 0, 1, 1, 1]), neighbours=1)
    assert agreement == pytest.approx(4 / 5)
    assert chance == pytest.approx((2 * 1 + 3 * 2) / (5 * 4))
