import numpy as np
import pytest

from experiments.overlays import SEEN, mark_keypoints
from experiments.pose_charts import pictures
from vision.keypoints import keypoints_of

KEYPOINTS = keypoints_of("hopper")
PLACES = np.array([[30.0, 10.0], [30.0, 40.0], [30.0, 70.0], [30.0, 100.0], [60.0, 100.0]])


@pytest.mark.parametrize("unseen", [None, 0, 2])
def test_keypoints_and_links_that_were_not_seen_are_not_drawn(unseen: int | None) -> None:
    certain = np.full(5, 0.9)
    if unseen is not None:
        certain[unseen] = 0.0
    image = np.zeros((120, 120, 3), np.uint8)
    mark_keypoints(image, PLACES, certain, KEYPOINTS)
    for point, (x, y) in enumerate(PLACES.astype(int)):
        assert image[y, x].tolist() == ([0, 0, 0] if point == unseen else list(SEEN))
    for a, b in KEYPOINTS.skeleton:
        x, y = ((PLACES[a] + PLACES[b]) / 2).astype(int)
        assert bool(image[y, x].any()) == (unseen not in (a, b))


def test_a_sheet_leaves_them_out_too() -> None:
    images = list(np.zeros((2, 120, 120, 3), np.uint8))
    certain = np.array([[0.9] * 5, [0.0] * 5])
    sheet = pictures(images, np.array([PLACES, PLACES]), certain, KEYPOINTS, columns=2)
    assert sheet.shape == (240, 480, 3)
    assert sheet[:, :240].any()
    assert not sheet[:, 240:].any()
