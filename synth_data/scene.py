"""The figure as its compiled MuJoCo model has it: shapes, and where they are in a pose."""

from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from envs.render import Camera as NamedCamera
from synth_data import meshes
from synth_data.meshes import Mesh
from vision.camera import Camera
from vision.keypoints import Keypoints

Array = npt.NDArray[np.float64]
FLOOR = -1
"""Link of what belongs to the world."""
GROUND, DISTRACTOR = 1000, 1001
"""What a pixel shows: the world, or from here on a distractor; links count from 1, and 0 is the backdrop."""
_HORIZON = 200.0  # m: half-size of a plane that MuJoCo draws without end


@dataclass(frozen=True)
class Geom:
    """One visible shape."""

    name: str
    link: int
    """Which moving body carries it, counted from 0 in the model's order; ``FLOOR`` for the world."""
    mesh: Mesh


@dataclass(frozen=True)
class Posed:
    """Where everything is at one moment."""

    positions: Array
    """Of each shape, m: ``(geoms, 3)``."""
    rotations: Array
    """Of each shape: ``(geoms, 3, 3)``."""
    keypoints: Array
    """In the world, m: ``(keypoints, 3)``."""
    camera: Camera
    """As MuJoCo holds it."""


class Scene:
    """A figure's shapes, and its forward kinematics."""

    def __init__(self, model: mujoco.MjModel, keypoints: Keypoints, size: int) -> None:
        """``size`` is the edge of the image in pixels.

        Raises:
            ValueError: the model has a shape that is not supported, or lacks a body with a keypoint or the camera
                ``track``.
        """
        self.model, self.keypoints, self.size = model, keypoints, size
        self.data = mujoco.MjData(model)
        self.bodies = [model.body(i).name for i in range(model.nbody)]
        self._visible = [i for i in range(model.ngeom) if model.geom_rgba[i, 3] > 0 and model.geom_group[i] < 3]
        self._cameras: dict[str, NamedCamera] = {}
        self.pose(model.qpos0, "track")  # bodies with keypoints that are missing are named here
        moving = sorted({int(model.geom_bodyid[i]) for i in self._visible} - {0})
        self.links = tuple(self.bodies[body] for body in moving)
        """Names of the moving bodies."""
        self.geoms = tuple(
            Geom(
                model.geom(i).name or f"geom{i}",
                moving.index(body) if (body := int(model.geom_bodyid[i])) else FLOOR,
                _mesh(model, i),
            )
            for i in self._visible
        )
        self.carriers = tuple(frozenset(_near(model, self.bodies.index(body), moving)) for body in keypoints.bodies)

    def pose(self, qpos: Array, camera: str) -> Posed:
        """Forward kinematics of ``qpos`` ``(nq,)``."""
        if camera not in self._cameras:
            self._cameras[camera] = NamedCamera(self.model, camera)
        named, data = self._cameras[camera], self.data
        data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_comPos(self.model, data)
        mujoco.mj_camlight(self.model, data)
        named.place(data)
        return Posed(
            data.geom_xpos[self._visible].copy(),
            data.geom_xmat[self._visible].reshape(-1, 3, 3).copy(),
            self.keypoints.locate(self.bodies, data.xpos, data.xmat),
            Camera(
                data.cam_xpos[named.id].copy(),
                data.cam_xmat[named.id].reshape(3, 3).copy(),
                np.asarray(self.model.cam_fovy[named.id]),
                self.size,
                self.size,
            ),
        )


def _near(model: mujoco.MjModel, body: int, moving: list[int]) -> list[int]:
    """Links inside which a keypoint of ``body`` may lie: its own, its parent's and its children's."""
    near = {body, int(model.body_parentid[body])} | {b for b in moving if model.body_parentid[b] == body}
    return [moving.index(b) for b in near if b in moving]


def _mesh(model: mujoco.MjModel, geom: int) -> Mesh:
    x, y, z = (float(value) for value in model.geom_size[geom])
    shape = mujoco.mjtGeom(model.geom_type[geom])
    match shape:
        case mujoco.mjtGeom.mjGEOM_PLANE:
            return meshes.plane(x or _HORIZON, y or _HORIZON)  # physics has no edge, but MuJoCo's picture does
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            return meshes.ellipsoid((x, x, x))
        case mujoco.mjtGeom.mjGEOM_CAPSULE:
            return meshes.capsule(x, y)
        case mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            return meshes.ellipsoid((x, y, z))
        case mujoco.mjtGeom.mjGEOM_CYLINDER:
            return meshes.cylinder(x, y)
        case mujoco.mjtGeom.mjGEOM_BOX:
            return meshes.box((x, y, z))
        case mujoco.mjtGeom.mjGEOM_MESH:
            mesh = model.mesh(model.geom_dataid[geom])
            vertices = model.mesh_vert[mesh.vertadr[0] : mesh.vertadr[0] + mesh.vertnum[0]]
            faces = model.mesh_face[mesh.faceadr[0] : mesh.faceadr[0] + mesh.facenum[0]]
            return vertices.astype(float), [tuple(int(i) for i in face) for face in faces]
    raise ValueError(f"geom {model.geom(geom).name!r}: shape {shape.name} cannot be drawn by Blender yet")
