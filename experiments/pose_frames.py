"""MuJoCo frames of rollouts with their true keypoints: pictures that an estimator of Blender images never saw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt

import envs
from envs.domains import domain_model
from envs.render import Renderer
from experiments.config import seed_streams
from experiments.harvest import find_policies, roll
from synth_data.coco import VISIBLE
from synth_data.scene import Scene
from vision.keypoints import keypoints_of

Array = npt.NDArray[np.float64]


def _flat(model: mujoco.MjModel) -> None:
    model.light_castshadow[:] = False
    model.mat_reflectance[:] = 0.0


def _grey_floor(model: mujoco.MjModel) -> None:
    _flat(model)
    model.geom_matid[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE] = -1
    model.geom_rgba[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE] = (0.5, 0.5, 0.5, 1.0)


LOOKS: dict[str, Callable[[mujoco.MjModel], None]] = {
    "gymnasium": lambda model: None,
    "no shadow or reflection": _flat,
    "grey floor, no shadow or reflection": _grey_floor,
}
"""How frames may look: what of MuJoCo's picture makes an estimator of Blender images err is left out in turn."""


@dataclass(frozen=True)
class PoseFrames:
    """``m`` pictures and what is true of each."""

    images: npt.NDArray[np.uint8]
    """RGB, ``(m, size, size, 3)``."""
    keypoints: Array
    """Pixels ``(m, k, 2)``, the centre of the first pixel at (0, 0); NaN behind the camera."""
    flags: npt.NDArray[np.int64]
    """``(m, k)``: 0 outside the image, 2 inside, seen or hidden alike."""
    states: Array
    """Positions and velocities ``(m, nq + nv)``: metres, radians, seconds."""
    policy: npt.NDArray[np.str_]
    """Name of the run that came to the state, ``(m,)``."""
    falling: npt.NDArray[np.bool_]
    """Whether the episode had failed and nobody acted any more, ``(m,)``."""


def render_frames(
    figure: str,
    policies: Sequence[Path],
    camera: str,
    size: int,
    frames: int,
    seed: int,
    domain: str = "source",
    look: str = "gymnasium",
) -> PoseFrames:
    """Frames of what trained policies do, drawn as Gymnasium draws them, or plainer.

    Every policy acts without noise; its failures are followed to the ground. An equal share of the frames is drawn
    from each policy's states; where they do not divide evenly, the first policies give one more. Starts are of
    evaluation's streams of seeds: neither training nor a dataset of a usual seed has met them.

    Args:
        figure: that the policies must be of.
        policies: run directories, or folders of them.
        camera: ``track``, ``rail`` or another camera of the model.
        size: edge of the frames, px.
        frames: how many, over all policies.
        seed: of the starts, and of the choice of states.
        domain: that the policies act in.
        look: one of :data:`LOOKS`.

    Raises:
        ValueError: an unknown figure, camera, domain or look, no run, one without a checkpoint or of another figure, or
            an impossible size, seed or number of frames.
        RuntimeError: no OpenGL context can be made on this machine.
    """
    if look not in LOOKS:
        raise ValueError(f"unknown look {look!r}; accepted: {', '.join(LOOKS)}")
    scene = open_scene(figure, domain, camera, size, seed)
    LOOKS[look](scene.model)
    runs = find_policies(figure, policies)
    if frames < len(runs):
        raise ValueError(f"frames is {frames}; it must be {len(runs)} or more: one of each policy")

    rng = np.random.default_rng(seed)
    states, names, falling = [], [], []
    for place, run in enumerate(runs):
        visited, falls = roll(run, domain, seed_streams(seed)[1])
        bank = np.concatenate((visited, falls))
        share = frames // len(runs) + (place < frames % len(runs))
        if share > len(bank):
            raise ValueError(
                f"frames is {frames}; {run.name} came to {len(bank)} states and cannot give its share of {share}"
            )
        chosen = np.sort(rng.choice(len(bank), share, replace=False))
        states.append(bank[chosen])
        names += [run.name] * share
        falling.append(chosen >= len(visited))
    kept = np.concatenate(states)
    images, keypoints, flags = draw(scene, kept, camera)
    return PoseFrames(images, keypoints, flags, kept, np.array(names), np.concatenate(falling))


def open_scene(figure: str, domain: str, camera: str, size: int, seed: int) -> Scene:
    """The figure as frames show it, after checking what is asked of them.

    Raises:
        ValueError: an unknown figure, camera or domain, or an impossible size or seed.
    """
    model = domain_model(envs.task_of(figure), domain)
    most = int(min(model.vis.global_.offwidth, model.vis.global_.offheight))
    if not 1 <= size <= most:
        raise ValueError(f"size is {size}; it must be from 1 to {most}")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must be 0 or more")
    scene = Scene(model, keypoints_of(figure), size)
    scene.pose(model.qpos0, camera)  # an unknown camera ends here
    return scene


def draw(scene: Scene, states: Array, camera: str) -> tuple[npt.NDArray[np.uint8], Array, npt.NDArray[np.int64]]:
    """Images, pixels of the keypoints, and their flags, of states ``(m, nq + nv)``: as in :class:`PoseFrames`."""
    images, keypoints, flags = [], [], []
    renderer = Renderer(scene.model, camera, scene.size)
    try:
        for state in states:
            posed = scene.pose(state[: scene.model.nq], camera)
            pixels, _ = posed.camera.project(posed.keypoints)
            images.append(renderer.frame(scene.model, scene.data))
            keypoints.append(pixels)
            flags.append(np.where(posed.camera.inside(pixels), VISIBLE, 0))
    finally:
        renderer.close()
    return np.array(images), np.array(keypoints), np.array(flags)
