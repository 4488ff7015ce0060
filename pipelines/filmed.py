"""Where a camera sees a figure's keypoints: without rendering, for many simulations at once."""

import mujoco
import numpy as np
import numpy.typing as npt

from envs.render import Camera as Mount
from vision.camera import Camera
from vision.keypoints import Keypoints
from vision.reconstruct import View

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]


class Filmed:
    """Where a camera that follows the centre of mass sees the keypoints of a figure that moves in the plane y = 0.

    The figure's bodies are jointed by slides in that plane and hinges about ±y. Points are complex numbers
    x + z·i: turning by an angle about +y multiplies by exp(−i·angle).

    Raises:
        ValueError: the model has no such camera.
    """

    def __init__(self, model: mujoco.MjModel, keypoints: Keypoints, camera: str, size: int) -> None:
        self._model, self._keypoints, self._size = model, keypoints, size
        bodies = [model.body(i).name for i in range(model.nbody)]
        self._carriers = [bodies.index(body) for body in keypoints.bodies]
        reference, mount = mujoco.MjData(model), Mount(model, camera)
        mujoco.mj_forward(model, reference)
        mount.place(reference)
        self._position = reference.cam_xpos[mount.id].copy()
        self._rotation = reference.cam_xmat[mount.id].reshape(3, 3).copy()
        self._fovy = np.asarray(model.cam_fovy[mount.id])
        self._rail = camera == "rail"
        elevation = float(self._position[2]) if self._rail else None
        self.view = View(size, size, elevation, float(self._fovy), -float(self._position[1]))
        """The camera as the estimators know it."""

    def __call__(self, qpos: Array, masses: Array) -> Array:
        """Pixels ``(n, k, 2)`` in poses ``(n, nq)`` of figures whose bodies have ``masses`` ``(n, nbody)``, kg.

        MuJoCo keeps a camera that follows where it was relative to the centre of mass in the reference pose.
        """
        places, turns = self._bodies(qpos)
        moved = self._centre(places, turns, masses)
        moved = moved - self._centre(*self._bodies(np.tile(self._model.qpos0, (len(qpos), 1))), masses)
        shift = np.stack((moved.real, 0 * moved.real, 0 * moved.imag if self._rail else moved.imag), axis=1)
        points = places[:, self._carriers] + turns[:, self._carriers] * _plane(np.array(self._keypoints.offsets))
        world = np.stack((points.real, 0 * points.real, points.imag), axis=2)
        camera = Camera(self._position + shift, self._rotation, self._fovy, self._size, self._size)
        return camera.project(world)[0]

    def _bodies(self, qpos: Array) -> tuple[Complex, Complex]:
        """Origins of all bodies, m, and the turns of their axes, ``(n, nbody)`` each."""
        model = self._model
        places, turns = np.zeros((2, len(qpos), model.nbody), complex)
        turns[:, 0] = 1.0
        for body in range(1, model.nbody):
            parent = model.body_parentid[body]
            turn = turns[:, parent]
            place = places[:, parent] + turn * _plane(model.body_pos[body])
            for joint in model.body_jntadr[body] + np.arange(model.body_jntnum[body]):
                address, axis = model.jnt_qposadr[joint], model.jnt_axis[joint]
                value = qpos[:, address] - model.qpos0[address]
                if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE:
                    place = place + turn * _plane(axis) * value
                else:
                    anchor = place + turn * _plane(model.jnt_pos[joint])
                    turn = turn * np.exp(-1j * axis[1] * value)
                    place = anchor - turn * _plane(model.jnt_pos[joint])
            places[:, body], turns[:, body] = place, turn
        return places, turns

    def _centre(self, places: Complex, turns: Complex, masses: Array) -> Complex:
        weights = masses / masses.sum(axis=1, keepdims=True)
        return np.asarray((weights * (places + turns * _plane(self._model.body_ipos))).sum(axis=1))


def _plane(points: Array) -> Complex:
    return np.asarray(points[..., 0] + 1j * points[..., 2])
