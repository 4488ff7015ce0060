"""Offscreen frames of a simulation."""

import copy
import os
from pathlib import Path
from typing import Protocol

import mujoco
import numpy as np
import numpy.typing as npt

MAX_SIZE = 4096
"""Edge of a frame at most, px."""
PIECE = 2.0
"""Edge of a floor's piece in fast frames, m. Lighting is computed at the corners and interpolated between."""
REACH = 0.6
"""How far from a floor's middle a camera sees it where it is, as a share of half its edge."""


class Camera:
    """A named camera of a model.

    ``track`` follows the figure's centre of mass; ``rail`` is the same on a rail along the floor: it keeps the height
    that ``track`` has in the reference pose, so that a jump shows as a jump.

    Raises:
        ValueError: the model has no such camera.
    """

    def __init__(self, model: mujoco.MjModel, name: str) -> None:
        cameras = [model.camera(i).name for i in range(model.ncam)]
        accepted = [*cameras, "rail"] if "track" in cameras else cameras
        if name not in accepted:
            raise ValueError(f"unknown camera {name!r}; accepted: {', '.join(accepted)}")
        self._height: float | None = None
        self.id = cameras.index("track" if name == "rail" else name)
        if name == "rail":
            reference = mujoco.MjData(model)
            mujoco.mj_forward(model, reference)
            self._height = float(reference.cam_xpos[self.id, 2])

    def place(self, data: mujoco.MjData) -> None:
        """Put it where it belongs, after ``mj_forward``: then ``data.cam_xpos`` and ``cam_xmat`` hold its pose."""
        if self._height is not None:
            data.cam_xpos[self.id, 2] = self._height


class Looks(Protocol):
    """How everything around the figure looks, by environment and episode.

    It is sent to the processes that render, so it must pickle.
    """

    def furnish(self, model: mujoco.MjModel, num_envs: int, xml: Path) -> mujoco.MjModel:
        """The model, compiled from ``xml``, with room for what is painted; its bodies, geoms and cameras as before."""
        ...

    def dress(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        context: mujoco.MjrContext,
        camera: int,
        env: int,
        episode: int,
    ) -> None:
        """Make everything look as in this episode, after the camera was placed and before the scene is made."""
        ...

    def decorate(self, scene: mujoco.MjvScene, data: mujoco.MjData, camera: int, env: int) -> None:
        """Add to the scene what is there only to look at."""
        ...


class Renderer:
    """Draws RGB frames ``(size, size, 3)`` of one model's simulations through one camera.

    The floor has no end in them, as it has none in the physics: see :meth:`_lay_floor`.

    ``fast`` leaves out multisampling, shadows and reflections, and draws planes in larger pieces: the hopper's floor
    alone took three quarters of the time. Nothing else of the picture changes by more than one of 256 levels.

    Raises:
        ValueError: the model has no such camera, or the size is impossible.
        RuntimeError: no OpenGL context can be made on this machine.
    """

    def __init__(self, model: mujoco.MjModel, camera: str = "track", size: int = 480, fast: bool = False) -> None:
        self.camera = Camera(model, camera)
        check_size(size)
        self.model = model = copy.copy(model)
        """A copy that frames are made of: its geoms and materials are what is seen."""
        planes = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
        self._floors = np.flatnonzero(planes & (model.geom_size[:, :2] > 0).all(axis=1))
        # A buffer of the frame's own size: a larger one is cleared for each frame too.
        model.vis.global_.offwidth = model.vis.global_.offheight = size
        if fast:
            model.vis.quality.offsamples = 0
            model.geom_size[planes, 2] = np.maximum(model.geom_size[planes, 2], PIECE)
        try:
            self._renderer = mujoco.Renderer(model, height=size, width=size)
        except Exception as error:  # MuJoCo raises whatever its OpenGL back end raises
            raise RuntimeError(
                f"cannot render: no OpenGL context through MUJOCO_GL={os.environ.get('MUJOCO_GL', '')} "
                f"({error}); on Debian install libegl1 and libgl1-mesa-dri, or set MUJOCO_GL=osmesa"
            ) from None
        if fast:
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                self._renderer.scene.flags[flag] = 0

    def frame(self, model: mujoco.MjModel, data: mujoco.MjData) -> npt.NDArray[np.uint8]:
        """One frame of ``data``, a simulation of ``model``."""
        mujoco.mj_forward(model, data)
        return self.draw(data)

    def draw(self, data: mujoco.MjData, look: tuple[Looks, int, int] | None = None) -> npt.NDArray[np.uint8]:
        """One frame of ``data``, whose places are computed, as it looks in ``look``'s environment and episode."""
        self.camera.place(data)
        if look is not None:
            looks, env, episode = look
            # Painting needs the context, which mujoco.Renderer keeps to itself.
            self._renderer._gl_context.make_current()
            looks.dress(self.model, data, self._renderer._mjr_context, self.camera.id, env, episode)
        self._lay_floor(data)
        self._renderer.update_scene(data, camera=self.camera.id)
        if look is not None:
            looks.decorate(self._renderer.scene, data, self.camera.id, env)
        return np.asarray(self._renderer.render(), np.uint8)

    def _lay_floor(self, data: mujoco.MjData) -> None:
        """Move a plane that the camera is about to leave, by whole periods of its texture: the picture stays the same.

        MuJoCo draws a plane up to its size, while it is endless in the physics: a half cheetah leaves the 40 m of
        Gymnasium's in 200 steps. The place in ``data`` is computed anew by the next ``mj_forward`` or ``mj_step``.
        """
        model = self.model
        for plane in self._floors:
            axes = data.geom_xmat[plane].reshape(3, 3)[:, :2]
            half = model.geom_size[plane, :2]
            texture = model.geom_matid[plane]
            period = half
            if texture >= 0:  # texrepeat counts periods on the plane, or in two metres
                period = 2 * (1 if model.mat_texuniform[texture] else half) / model.mat_texrepeat[texture]
            stride = period * np.maximum(REACH * half // period, 1)
            away = (data.cam_xpos[self.camera.id] - model.geom_pos[plane]) @ axes
            data.geom_xpos[plane] = model.geom_pos[plane] + axes @ (stride * np.trunc(away / stride))

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()


def check_size(size: int) -> None:
    """Raise ValueError unless a frame can have this edge, px."""
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"size is {size}; it must be from 1 to {MAX_SIZE} px")
