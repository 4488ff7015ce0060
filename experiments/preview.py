"""Looking at a dataset: a contact sheet, and a page with its labels, its distributions and MuJoCo's own pictures."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import mujoco
import numpy as np
import numpy.typing as npt

import envs
from envs.domains import domain_model
from experiments.dataset import PARTS, read_dataset, read_records
from experiments.files import write_text, write_with
from experiments.pages import TEMPLATES, data_uri
from experiments.plots import save
from experiments.preview_charts import flag_chart, look_chart, pose_chart
from synth_data.coco import Record
from vision.keypoints import Keypoints, keypoints_of

Image = npt.NDArray[np.uint8]

SHEET, PAIRS = 64, 16
"""Images on the contact sheet; pairs on the page."""
_FLAG_COLORS = {1: (213, 94, 0), 2: (0, 158, 115)}  # hidden, visible


def write_preview(directory: Path) -> Path:
    """Write ``preview.jpg``, the contact sheet, and ``preview.html``, the page; returns the page.

    Raises:
        ValueError: no dataset, a damaged one, or one without a single image.
    """
    config = read_dataset(directory)
    records = [record for _, record in sorted(read_records(directory).items())]
    if not records:
        raise ValueError(f"{directory}: no image yet; render some with simgap synth {directory}")
    keypoints = keypoints_of(config.figure)
    shown = [draw_labels(_read(directory, record), record, keypoints) for record in records[:SHEET]]
    write_with(directory / "preview.jpg", lambda path: path.write_bytes(_jpeg(tile(shown))))
    twins = Twins(config.figure, config.size)
    pairs = [
        {
            "id": record["id"],
            "blender": data_uri(_jpeg(image), "image/jpeg"),
            "mujoco": data_uri(_jpeg(draw_labels(twins.render(record), record, keypoints)), "image/jpeg"),
            "words": f"{record['camera']['name']}, {record['state']['source']}, {record['split']}",
        }
        for record, image in zip(records[:PAIRS], shown, strict=False)
    ]
    figures = {
        "pose": (
            pose_chart(config.figure, records),
            "Poses",
            "Joint angles in radians, and the root's height and angle.",
        ),
        "flags": (flag_chart(records, keypoints), "Visibility", "COCO's flags of each keypoint."),
        "look": (look_chart(records), "Looks", "What surfaces, lights and camera were drawn."),
    }
    charts = []
    for name, (figure, title, caption) in figures.items():
        file = save(figure, directory / f".preview-{name}.png", dpi=110)
        charts.append({"title": title, "caption": caption, "uri": data_uri(file.read_bytes(), "image/png")})
        file.unlink()
    done = not (directory / PARTS).exists()
    context = {"config": config, "count": len(records), "pairs": pairs, "charts": charts, "done": done}
    write_text(
        directory / "preview.html", TEMPLATES.get_template("preview.html.j2").render(context, keypoints=keypoints)
    )
    return directory / "preview.html"


class Twins:
    """MuJoCo's pictures of the same poses, through the camera as it was held."""

    def __init__(self, figure: str, size: int) -> None:
        self._model = domain_model(envs.task_of(figure), "nominal")
        self._data = mujoco.MjData(self._model)
        self._renderer = mujoco.Renderer(self._model, height=size, width=size)

    def render(self, record: Record) -> Image:
        """The picture of one sample."""
        model, data, camera = self._model, self._data, record["camera"]
        data.qpos[:] = record["state"]["qpos"]
        mujoco.mj_forward(model, data)
        model.cam_fovy[0] = camera["fovy"]
        data.cam_xpos[0], data.cam_xmat[0] = camera["position"], np.ravel(camera["rotation"])
        self._renderer.update_scene(data, camera=0)
        return np.asarray(self._renderer.render(), np.uint8)


def draw_labels(image: Image, record: Record, keypoints: Keypoints, scale: int = 2) -> Image:
    """The image ``scale`` times as large, with its keypoints: green visible, orange hidden, joined by the skeleton."""
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    places = [tuple(round((value + 0.5) * scale - 0.5) for value in point[:2]) for point in record["keypoints"]]
    flags = [point[2] for point in record["keypoints"]]
    for a, b in keypoints.skeleton:
        if flags[a] and flags[b]:
            cv2.line(large, places[a], places[b], (255, 255, 255), 1, cv2.LINE_AA)
    for place, flag in zip(places, flags, strict=True):
        if flag:
            cv2.circle(large, place, 4, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(large, place, 3, _FLAG_COLORS[flag], -1, cv2.LINE_AA)
    return np.asarray(large, np.uint8)


def tile(images: Sequence[Image]) -> Image:
    """Images of one size side by side, in rows that make about a square."""
    columns = int(np.ceil(np.sqrt(len(images))))
    blank = np.full_like(images[0], 255)
    rows = [list(images[i : i + columns]) for i in range(0, len(images), columns)]
    rows[-1] += [blank] * (columns - len(rows[-1]))
    return np.vstack([np.hstack(row) for row in rows])


def _read(directory: Path, record: Record) -> Image:
    image = cv2.imread(str(directory / record["file_name"]), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{directory / record['file_name']}: not a readable image")
    return np.asarray(image[..., ::-1], np.uint8)


def _jpeg(image: Image) -> bytes:
    return bytes(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1])
