"""Offscreen frames of a simulation."""

import os

import mujoco
import numpy as np
import numpy.typing as npt


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


class Renderer:
    """Draws RGB frames ``(size, size, 3)`` of one model's simulations through one camera.

    Raises:
        ValueError: the model has no such camera.
        RuntimeError: no OpenGL context can be made on this machine.
    """

    def __init__(self, model: mujoco.MjModel, camera: str = "track", size: int = 480) -> None:
        self.camera = Camera(model, camera)
        try:
            self._renderer = mujoco.Renderer(model, height=size, width=size)
        except Exception as error:  # MuJoCo raises whatever its OpenGL back end raises
            raise RuntimeError(
                f"cannot render: no OpenGL context through MUJOCO_GL={os.environ.get('MUJOCO_GL', '')} "
                f"({error}); on Debian install libegl1 and libgl1-mesa-dri, or set MUJOCO_GL=osmesa"
            ) from None

    def frame(self, model: mujoco.MjModel, data: mujoco.MjData) -> npt.NDArray[np.uint8]:
        """One frame of ``data``."""
        mujoco.mj_forward(model, data)
        self.camera.place(data)
        self._renderer.update_scene(data, camera=self.camera.id)
        return np.asarray(self._renderer.render(), np.uint8)

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()
