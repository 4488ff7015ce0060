"""What a policy sees, drawn into a picture of what it does."""

import cv2
import numpy as np
import numpy.typing as npt

from agents import Normalizer
from envs.render import Renderer
from experiments.evaluate import Policy
from pipelines import PixelsEnv, PoseEnv
from vision.keypoints import Keypoints, keypoints_of
from vision.state_metrics import ENTRIES, UNITS

Image = npt.NDArray[np.uint8]

SIZE = 480
"""Edge of a picture, px."""
PANEL = 256
"""Width of the column beside it that shows what is seen, px."""
SEEN, TRUE = (86, 180, 233), (235, 235, 235)


class Painter:
    """Draws one simulation with what its policy sees: keypoints and reconstructed values, or the last frame."""

    def __init__(self, policy: Policy) -> None:
        view = policy.env.venv if isinstance(policy.env, Normalizer) else policy.env
        self._simulation = policy.simulation
        self._pose = view if isinstance(view, PoseEnv) and view.eye else None
        self._pixels = view if isinstance(view, PixelsEnv) else None
        camera = "track"
        if self._pose and self._pose.eye:
            camera = self._pose.eye.camera
        elif self._pixels:
            camera = self._pixels.frames.film.camera
        self._renderer = Renderer(policy.simulation.model, camera, SIZE)

    def frame(self) -> Image:
        """The simulation as it is now."""
        batch = self._simulation.batch
        image = self._renderer.frame(batch.get_model(0), batch.get_data(0)).copy()
        if self._pixels:
            last = self._pixels.pixels[0, -self._pixels.frames.film.shape[2] :].transpose(1, 2, 0)
            image = np.concatenate((image, _picture(last)), axis=1)
        eye = self._pose.eye if self._pose else None
        if self._pose and eye and eye.keypoints is not None and eye.confidences is not None:
            places = (eye.keypoints[0] + 0.5) * SIZE / eye.size - 0.5
            mark_keypoints(image, places, eye.confidences[0], keypoints_of(self._simulation.task.name))
            image = np.concatenate((image, _values(self._simulation.true[0], self._pose.pose[0])), axis=1)
        return image

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()


def mark_keypoints(
    image: Image, places: npt.NDArray[np.float64], confidences: npt.NDArray[np.float64], keypoints: Keypoints
) -> None:
    """Draw keypoints at ``(k, 2)``, px, joined along the skeleton; not those of confidence 0, of ``(k,)``.

    Where it is 0, nothing was seen, and the place means nothing.
    """
    points = [tuple(int(v) for v in np.round(place * 16)) for place in places]  # sixteenths are what cv2 takes
    for a, b in keypoints.skeleton:
        if confidences[a] and confidences[b]:
            cv2.line(image, points[a], points[b], (255, 255, 255), 1, cv2.LINE_AA, shift=4)
    for point, confidence in zip(points, confidences, strict=True):
        if confidence:
            cv2.circle(image, point, 4 * 16, SEEN, -1, cv2.LINE_AA, shift=4)


def _picture(last: Image) -> Image:
    """A column with the last frame ``(size, size, channels)``, enlarged without smoothing."""
    panel, edge = _panel(), PANEL - 20
    shown = cv2.resize(last, (edge, edge), interpolation=cv2.INTER_NEAREST)
    panel[38 : 38 + edge, 10:-10] = shown.reshape(edge, edge, -1)
    _write(panel, f"seen, {len(last)} x {len(last)} pixels", 10, 0, SEEN)
    return panel


def _values(true: npt.NDArray[np.float64], seen: npt.NDArray[np.float64]) -> Image:
    """A column of the observation's entries: their names and units, what is true, and what is seen."""
    panel = _panel()
    _write(panel, "true", 150, 0, TRUE)
    _write(panel, "seen", 211, 0, SEEN)
    for row, (name, unit, a, b) in enumerate(zip(ENTRIES, UNITS, true, seen, strict=True), start=1):
        _write(panel, f"{name.replace('_', ' ')}, {unit}", 10, row, TRUE)
        _write(panel, f"{a:6.2f}", 140, row, TRUE)
        _write(panel, f"{b:6.2f}", 202, row, SEEN)
    return panel


def _panel() -> Image:
    return np.full((SIZE, PANEL, 3), 24, np.uint8)


def _write(panel: Image, text: str, x: int, row: int, color: tuple[int, int, int]) -> None:
    cv2.putText(panel, text, (x, 28 + 34 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)
