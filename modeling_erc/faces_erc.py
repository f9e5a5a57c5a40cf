"""Frames cut to the face that speaks: an optional step before the image processor."""

import functools
from typing import Any

import numpy as np

try:
    import cv2
    from cv2.data import haarcascades
except ImportError:
    cv2 = None  # type: ignore[assignment]

# A box of the detector ends at chin and forehead; hair and jaw carry expression too.
MARGIN = 0.25
SMALLEST_FACE = 0.1


@functools.cache
def _detector() -> Any:
    """OpenCV's frontal-face cascade (Viola and Jones 2001), which comes inside the package."""
    if cv2 is None or not hasattr(cv2, "CascadeClassifier"):
        raise ImportError('face_crop needs OpenCV 4: pip install "modeling-erc[faces]"')
    return cv2.CascadeClassifier(haarcascades + "haarcascade_frontalface_default.xml")


def crop_face(frames: np.ndarray) -> np.ndarray:
    """Cuts all frames of a clip to one square around its largest face.

    The square is the median over the frames in which a face is found, so that a single false find moves little.

    Args:
        frames: uint8 RGB `(frames, height, width, 3)`.

    Returns:
        uint8 RGB `(frames, side, side, 3)`, or the frames unchanged where no face is found.

    Raises:
        ImportError: OpenCV 4 is missing.

    Example:
        >>> crop_face(np.zeros((2, 48, 64, 3), dtype=np.uint8)).shape  # no face in black frames
        (2, 48, 64, 3)
    """
    detector = _detector()
    height, width = frames.shape[1:3]
    smallest = max(1, round(SMALLEST_FACE * min(height, width)))
    found = []
    for frame in frames:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        boxes = detector.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(smallest, smallest))
        found += [max(boxes, key=lambda box: box[2])] if len(boxes) else []
    if not found:
        return frames
    left, top, side = np.median(np.array(found)[:, :3], axis=0)
    wide = round(min(side * (1 + 2 * MARGIN), height, width))
    # Shifted back inside rather than cut off, so that the result is square.
    x = int(np.clip(round(left + (side - wide) / 2), 0, width - wide))
    y = int(np.clip(round(top + (side - wide) / 2), 0, height - wide))
    return frames[:, y : y + wide, x : x + wide]


__all__ = ["crop_face"]
