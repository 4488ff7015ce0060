"""Charts of what a dataset holds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import mujoco
import numpy as np
from matplotlib.figure import Figure

import envs
from envs.domains import domain_model
from experiments.plots import GRID, INK, PALETTE, SMALL, TEXT
from synth_data.coco import Record
from vision.keypoints import Keypoints


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


def pose_chart(figure: str, records: Sequence[Record]) -> Figure:
    """Histograms of every position in the state, and the shares of the poses' sources."""
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


def flag_chart(records: Sequence[Record], keypoints: Keypoints) -> Figure:
    """Shares of each keypoint's visibility flags."""
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


def look_chart(records: Sequence[Record]) -> Figure:
    """What was drawn for surfaces, lights, camera and sensor."""
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
