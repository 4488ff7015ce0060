"""Offscreen frames of a simulation."""

import os

import mujoco
import numpy as np
import numpy.typing as npt


class Renderer:
    """Draws RGB frames ``(size, size, 3)`` of one model's simulations through one camera.

    Raises:
        ValueError: the model has no such camera.
        RuntimeError: no OpenGL context can be made on this machine.
    """

    def __init__(self, model: mujoco.MjModel, camera: str = "track", size: int = 480) -> None:
        cameras = [model.camera(i).name for i in range(model.ncam)]
        if camera not in cameras:
            raise ValueError(f"unknown camera {camera!r}; accepted: {', '.join(cameras)}")
        self.camera = camera
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
        self._renderer.update_scene(data, camera=self.camera)
        return np.asarray(self._renderer.render(), np.uint8)

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()
