import matplotlib.cbook
import numpy as np
import pytest
from PIL import Image

from modeling_erc.media_erc import crop_face

pytest.importorskip("cv2", reason="the extra 'faces' is not installed")


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A photograph of a woman in uniform that comes with matplotlib; her eyes are at about (x 265, y 150)."""
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as picture:
        return np.asarray(picture.convert("RGB"))


def test_frames_are_cut_to_a_square_around_the_face(portrait: np.ndarray) -> None:
    height, width = portrait.shape[:2]
    scene = np.full((height, width * 3, 3), 128, dtype=np.uint8)
    scene[:, width : 2 * width] = portrait
    cut = crop_face(np.stack([scene, scene]))
    frames, rows, columns, channels = cut.shape
    assert (frames, channels) == (2, 3)
    assert rows == columns < width
    # The cut is a part of the portrait, not of the empty sides.
    assert (cut[0] == 128).all(axis=-1).mean() < 0.05


def test_one_frame_without_a_face_is_cut_like_the_others(portrait: np.ndarray) -> None:
    black = np.zeros_like(portrait)
    alone = crop_face(portrait[None])
    cut = crop_face(np.stack([portrait, black, portrait]))
    assert cut.shape[1:] == alone.shape[1:]
    assert np.array_equal(cut[0], alone[0])
    assert not cut[1].any()


def test_a_face_at_the_edge_gives_a_square_inside_the_picture(portrait: np.ndarray) -> None:
    left = portrait[:, 130:]
    cut = crop_face(left[None])
    assert cut.shape[1] == cut.shape[2] <= min(left.shape[:2])


def test_frames_without_any_face_stay_whole() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 60, 80, 3), dtype=np.uint8)
    assert np.array_equal(crop_face(noise), noise)
