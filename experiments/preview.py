"""Looking at a dataset: a contact sheet, and a page with its labels, its distributions and MuJoCo's own pictures."""

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import mujoco
import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

import envs
from envs.domains import domain_model
from experiments.dataset import PARTS, read_dataset, read_records
from experiments.files import write_text, write_with
from experiments.plots import GRID, INK, PALETTE, SMALL, TEXT, save
from synth_data.coco import Record
from vision.keypoints import Keypoints, keypoints_of

Image = npt.NDArray[np.uint8]

SHEET, PAIRS = 64, 16
"""Images on the contact sheet; pairs on the page."""
_FLAG_COLORS = {1: (213, 94, 0), 2: (0, 158, 115)}  # hidden, visible


def write_preview(directory: Path) -> Path:
    """Write ``preview.png``, the contact sheet, and ``preview.html``, the page; returns the page.

    Raises:
        ValueError: no dataset, a damaged one, or one without a single image.
    """
    config = read_dataset(directory)
    records = [record for _, record in sorted(read_records(directory).items())]
    if not records:
        raise ValueError(f"{directory}: no image yet; render some with simgap synth {directory}")
    keypoints = keypoints_of(config.figure)
    shown = [draw_labels(_read(directory, record), record, keypoints) for record in records[:SHEET]]
    write_with(directory / "preview.png", lambda path: path.write_bytes(_png(tile(shown))))
    twins = Twins(config.figure, config.size)
    pairs = [
        {
            "id": record["id"],
            "blender": _uri(_png(image)),
            "mujoco": _uri(_png(draw_labels(twins.render(record), record, keypoints))),
            "words": f"{record['camera']['name']}, {record['state']['source']}, {record['split']}",
        }
        for record, image in zip(records[:PAIRS], shown, strict=False)
    ]
    figures = {
        "pose": (
            _pose_chart(config.figure, records),
            "Poses",
            "Joint angles in radians, and the root's height and angle.",
        ),
        "flags": (_flag_chart(records, keypoints), "Visibility", "COCO's flags of each keypoint."),
        "look": (_look_chart(records), "Looks", "What surfaces, lights and camera were drawn."),
    }
    charts = []
    for name, (figure, title, caption) in figures.items():
        file = save(figure, directory / f".preview-{name}.png", dpi=110)
        charts.append({"title": title, "caption": caption, "uri": _uri(file.read_bytes())})
        file.unlink()
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("preview.html.j2")
    done = not (directory / PARTS).exists()
    context = {"config": config, "count": len(records), "pairs": pairs, "charts": charts, "done": done}
    write_text(directory / "preview.html", template.render(context, keypoints=keypoints))
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


def _png(image: Image) -> bytes:
    return bytes(cv2.imencode(".png", image[..., ::-1])[1])


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"


def _panels(count: int) -> tuple[Figure, Any]:
    columns = 4
    rows = -(-count // columns)
    figure = Figure(figsize=(11, 2.5 * rows), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns))
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL - 2, colors=INK)
        axes.grid(axis="y", color=GRID)
        axes.set_axisbelow(True)
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels


def _histogram(axes: Any, values: Iterable[float], title: str) -> None:
    axes.hist(list(values), bins=40, color=PALETTE[0])
    axes.set_title(title, fontsize=TEXT, loc="left")


def _bars(axes: Any, values: Sequence[Any], title: str) -> None:
    counts = sorted(Counter(map(str, values)).items())
    axes.bar([name for name, _ in counts], [number for _, number in counts], color=PALETTE[0])
    axes.set_title(title, fontsize=TEXT, loc="left")


def _pose_chart(figure: str, records: Sequence[Record]) -> Figure:
    model = domain_model(envs.task_of(figure), "nominal")
    qpos = np.array([record["state"]["qpos"] for record in records])
    joints = [model.joint(i) for i in range(model.njnt)]
    columns = [
        (joint.name, int(joint.qposadr[0])) for joint in joints if joint.type[0] >= int(mujoco.mjtJoint.mjJNT_SLIDE)
    ]
    chart, panels = _panels(len(columns) + 1)
    for axes, (name, column) in zip(panels, columns, strict=False):
        _histogram(axes, qpos[:, column], name)
    _bars(panels[len(columns)], [record["state"]["source"] for record in records], "source")
    return chart


def _flag_chart(records: Sequence[Record], keypoints: Keypoints) -> Figure:
    flags = np.array([[point[2] for point in record["keypoints"]] for record in records])
    figure = Figure(figsize=(6.5, 2.6), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(keypoints.names))
    for flag, name, color in ((2, "visible", PALETTE[2]), (1, "hidden", PALETTE[1]), (0, "outside", "#9aa4ad")):
        share = (flags == flag).mean(axis=0) * 100
        axes.barh(keypoints.names, share, left=left, color=color, label=name)
        left += share
    axes.invert_yaxis()
    axes.set_xlabel("% of images", fontsize=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=SMALL)
    return figure


def _look_chart(records: Sequence[Record]) -> Figure:
    looks = [record["appearance"] for record in records]
    figure, panels = _panels(12)
    _bars(panels[0], [link["texture"]["kind"] for look in looks for link in look["links"]], "links")
    _bars(panels[1], [look["floor"]["texture"]["kind"] for look in looks], "floor")
    _bars(panels[2], [look["backdrop"]["texture"]["kind"] for look in looks], "backdrop")
    _bars(panels[3], [len(look["lights"]) for look in looks], "lights")
    _bars(panels[4], [len(look["distractors"]) for look in looks], "distractors")
    _histogram(panels[5], [look["floor"]["period"] for look in looks], "floor's period, m")
    _histogram(panels[6], [sum(light["strength"] for light in look["lights"]) for look in looks], "light, W/m²")
    _histogram(panels[7], [float(np.mean(look["ambient"])) for look in looks], "ambient light")
    _histogram(panels[8], [look["hold"]["zoom"] for look in looks], "zoom")
    _histogram(panels[9], [look["hold"]["offset"][0] for look in looks], "camera's offset, m")
    _histogram(panels[10], [1000 * look["shutter"] for look in looks], "shutter, ms")
    _histogram(panels[11], [record["sensor"]["quality"] for record in records], "JPEG quality")
    return figure
