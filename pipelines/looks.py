"""Looks of :mod:`randomization.appearance` on MuJoCo's own pictures, for many environments that share one renderer.

Light is MuJoCo's, so some of a look is drawn plainly: shadows are hard, if the renderer draws any; a mirroring surface
has a highlight, and mirrors the scene only if the renderer draws reflections; the shutter is ignored. What lamps and
even light give is scaled together so that a white surface that all lamps shine on straight is as bright as Blender's
standard view makes it: π W/m² alone show a surface in its own colour.
"""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from pipelines.furnishing import MOST_TEXTURES, Ids, furnish
from pipelines.outfits import BACKDROP, FLOOR, NONE, SMALL, Halves, Outfit, Room, Thing, make_outfit
from randomization.appearance import AppearanceConfig, sample_appearance
from vision.camera import Camera

MOST_LIGHTS = 7
"""OpenGL's eight, less the one that gives even light."""
FLAT = (FLOOR, BACKDROP)
"""Edges of the two-dimensional textures of an environment, px."""
_GLOW = 1e-3  # a surface of this colour that emits the inverse shows its texture as it is, whatever shines on it
_FAR = 0.5  # of what the camera sees: behind the scene, and before MuJoCo's sky, whose wall is at 0.7
_MESH = mujoco.mjtGeom.mjGEOM_MESH


class Looks:
    """Dresses one renderer's frames.

    The look of environment ``env`` in its episode ``episode`` is a function of ``(seed, env, episode)`` alone. Pickling
    keeps the configuration and the seed: a copy in another process begins with :meth:`furnish`, too.
    """

    def __init__(self, config: AppearanceConfig, seed: int) -> None:
        """Photos are left out of ``config``.

        Raises:
            ValueError: more lights than OpenGL has, or a part that only photos are drawn for.
        """
        if config.lights[1] > MOST_LIGHTS:
            raise ValueError(f"lights are up to {config.lights[1]}; MuJoCo draws at most {MOST_LIGHTS}")
        self.config, self.seed = config.without_photos(), seed
        self._worn: dict[int, Outfit] = {}

    def __reduce__(self) -> tuple[type["Looks"], tuple[AppearanceConfig, int]]:
        return Looks, (self.config, self.seed)

    @property
    def decor(self) -> int:
        """Most geoms that :meth:`decorate` adds to a scene."""
        return 1 + self.config.distractors[1]

    def check_room(self, model: mujoco.MjModel, num_envs: int) -> None:
        """Raise ``ValueError`` where MuJoCo has too few textures for the looks of so many environments."""
        geoms, _ = _dressed(model)
        each = len(FLAT) + len(geoms) + self.config.distractors[1]
        most = (MOST_TEXTURES - model.ntex) // each
        if num_envs > most:
            raise ValueError(f"looks of {num_envs} environments; MuJoCo has textures for {most} of this figure at most")

    def furnish(self, model: mujoco.MjModel, num_envs: int, xml: Path) -> mujoco.MjModel:
        """A new model with room for the looks of environments 0 to ``num_envs − 1``.

        It has the bodies, joints, geoms and cameras of ``model``, in their order and with their values, and draws the
        same picture until it is dressed. MuJoCo cannot extend a compiled model, hence ``xml``, the file that it was
        compiled from. One renderer at a time: what was furnished before is forgotten.

        Raises:
            ValueError: too many environments for MuJoCo, a shape that cannot be dressed, or a model that was not
                compiled from ``xml``.
        """
        geoms, floor = _dressed(model)
        carriers = model.geom_bodyid[geoms]
        moving = sorted(set(carriers))
        planes = floor[model.geom_type[floor] == mujoco.mjtGeom.mjGEOM_PLANE]
        axes = np.zeros((len(planes), 9))
        for matrix, quaternion in zip(axes, model.geom_quat[planes], strict=True):
            mujoco.mju_quat2Mat(matrix, quaternion)
        halves = tuple(_halves(model, geom) for geom in geoms)
        small = len(geoms) + self.config.distractors[1]
        furnished, furniture = furnish(
            model,
            xml,
            flat=[*FLAT] * num_envs,
            cubes=[SMALL] * (small * num_envs),
            materials=1 + len(geoms),
            lights=self.config.lights[1],
        )
        self._room = Room(
            furniture=furniture,
            geoms=geoms,
            links=tuple(moving.index(body) for body in carriers),
            halves=halves,
            floor=floor,
            planes=planes,
            planes_axes=axes.reshape(-1, 3, 3),
            fovy=model.cam_fovy.copy(),
            cone_origin=furnished.mesh_pos[furniture.cone].copy(),
        )
        self._worn = {}
        return furnished

    def dress(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        context: mujoco.MjrContext,
        camera: int,
        env: int,
        episode: int,
    ) -> None:
        """Give ``model`` and ``data`` the look of environment ``env`` in its episode ``episode``.

        To be called after ``mj_kinematics`` and ``mj_camlight``, with the camera where it should be and the OpenGL
        context current. A new episode of ``env`` draws its look and uploads its textures.
        """
        worn, room = self._worn.get(env), self._room
        if worn is None or worn.episode != episode:
            rng = np.random.default_rng((self.seed, env, episode))
            look = sample_appearance(self.config, rng, max(room.links) + 1)
            worn, pictures = make_outfit(look, room, env, episode)
            for texture, pixels in pictures.items():
                start = model.tex_adr[texture]
                model.tex_data[start : start + pixels.size] = pixels.ravel()
                mujoco.mjr_uploadTexture(model, context, texture)
            self._worn[env] = worn
        self._cover(model, worn)
        # MuJoCo cannot turn a texture on a plane; the plane turns, and its edges with it.
        data.geom_xmat[room.planes] = (room.planes_axes @ worn.floor_axes).reshape(-1, 9)
        self._light(model, data, worn)
        axes = data.cam_xmat[camera].reshape(3, 3)
        held = Camera(data.cam_xpos[camera], axes, room.fovy[camera], 1, 1).held(
            worn.hold.offset, worn.turn, worn.hold.zoom
        )
        data.cam_xpos[camera], data.cam_xmat[camera] = held.position, held.rotation.ravel()
        model.cam_fovy[camera] = held.fovy

    def _cover(self, model: mujoco.MjModel, worn: Outfit) -> None:
        room, materials = self._room, self._room.furniture.materials
        model.geom_matid[room.floor], model.geom_matid[room.geoms] = materials[0], materials[1:]
        model.geom_rgba[room.floor, :3], model.geom_rgba[room.geoms, :3] = worn.colors[0], worn.colors[1:]
        model.mat_texid[materials, mujoco.mjtTextureRole.mjTEXROLE_RGB] = worn.textures
        model.mat_specular[materials] = model.mat_reflectance[materials] = worn.gloss
        model.mat_shininess[materials] = worn.smoothness
        model.mat_texuniform[materials[0]] = True
        model.mat_texrepeat[materials[0]] = 2 / worn.floor_period  # MuJoCo counts periods in two metres

    def _light(self, model: mujoco.MjModel, data: mujoco.MjData, worn: Outfit) -> None:
        lamps, headlight = self._room.furniture.lights, model.vis.headlight
        model.light_active[:] = False
        model.light_active[lamps] = worn.lit
        model.light_diffuse[lamps] = model.light_specular[lamps] = worn.lamps
        data.light_xdir[lamps] = worn.directions
        # Parallel light needs no place, but MuJoCo casts its shadows around it.
        data.light_xpos[lamps] = self._middle(data) - model.stat.extent * worn.directions
        headlight.active, headlight.ambient[:] = 1, worn.ambient
        headlight.diffuse[:] = headlight.specular[:] = 0

    def _middle(self, data: mujoco.MjData) -> npt.NDArray[np.float64]:
        """Of the figure, m: ``(3,)``."""
        return np.asarray(data.geom_xpos[self._room.geoms].mean(axis=0))

    def decorate(self, scene: mujoco.MjvScene, data: mujoco.MjData, camera: int, env: int) -> None:
        """Add what environment ``env`` was dressed in and is no part of a model: the backdrop and the distractors.

        To be called after ``mjv_updateScene``, with the camera that :meth:`dress` was called with. Distractors keep
        their place in the image, as far as the floor lets them.

        Raises:
            ValueError: the scene has no room; see :attr:`decor`.
        """
        worn = self._worn[env]
        if scene.ngeom + 1 + len(worn.things) > scene.maxgeom:
            raise ValueError(f"the scene has room for {scene.maxgeom} geoms; give it {self.decor} more for the looks")
        eye, axes = data.cam_xpos[camera], data.cam_xmat[camera].reshape(3, 3)
        view = scene.camera[0]
        reach, far = view.frustum_top / view.frustum_near, _FAR * view.frustum_far
        size, color = np.array([far * reach, far * reach, 1.0]), np.array([_GLOW] * 3 + [1.0], np.float32)
        backdrop = self._add(
            scene, mujoco.mjtGeom.mjGEOM_PLANE, size, eye - far * axes[:, 2], axes, color, worn.backdrop
        )
        backdrop.category = mujoco.mjtCatBit.mjCAT_DECOR  # which casts no shadow
        backdrop.emission, backdrop.specular = 1 / _GLOW, 0.0
        distance = float(np.linalg.norm(self._middle(data) - eye))
        for thing in worn.things:
            self._place(scene, thing, eye, axes, reach, distance)

    def _place(
        self,
        scene: mujoco.MjvScene,
        thing: Thing,
        eye: npt.NDArray[np.float64],
        axes: npt.NDArray[np.float64],
        reach: float,
        distance: float,
    ) -> None:
        """Put a distractor in front of a camera that sees ``reach`` m up at 1 m, and the figure at ``distance``."""
        drawn = thing.drawn
        local = np.array([drawn.across * reach, drawn.up * reach, -1.0])
        place = eye + axes @ (local * drawn.depth * distance)
        place[2] = max(place[2], drawn.size)  # on the floor, not in it
        if thing.shape == _MESH:
            place += thing.axes @ self._room.cone_origin
        geom = self._add(scene, thing.shape, thing.size, place, thing.axes, thing.color, thing.texture)
        geom.category, geom.castshadow = mujoco.mjtCatBit.mjCAT_DYNAMIC, 1
        geom.specular, geom.shininess = drawn.material.gloss, 1 - drawn.material.roughness
        if thing.shape == _MESH:
            geom.dataid = 2 * self._room.furniture.cone  # odd ones are convex hulls

    def _add(
        self,
        scene: mujoco.MjvScene,
        shape: int,
        size: npt.NDArray[np.float64],
        place: npt.NDArray[np.float64],
        axes: npt.NDArray[np.float64],
        color: npt.NDArray[np.float32],
        texture: int,
    ) -> Any:
        geom = scene.geoms[scene.ngeom]
        mujoco.mjv_initGeom(geom, shape, size, place, axes.ravel(), color)
        if texture != NONE:
            # MuJoCo prefers a geom's own texture to its material's, but draws none without a material.
            geom.matid, geom.texid = self._room.furniture.materials[0], texture
            geom.texuniform, geom.texrepeat[:] = 0, 1
        scene.ngeom += 1
        return geom


def _dressed(model: mujoco.MjModel) -> tuple[Ids, Ids]:
    """The visible geoms of the figure, and those of the floor."""
    visible = np.flatnonzero((model.geom_rgba[:, 3] > 0) & (model.geom_group < 3))
    bodies = model.geom_bodyid[visible]
    return visible[bodies > 0], visible[bodies == 0]


def _halves(model: mujoco.MjModel, geom: int) -> Halves:
    """Half-sizes of a geom's straight part, m.

    Raises:
        ValueError: textures on this shape are not supported.
    """
    x, y, z = (float(value) for value in model.geom_size[geom])
    shape = mujoco.mjtGeom(model.geom_type[geom])
    match shape:
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            return x, x, x
        case mujoco.mjtGeom.mjGEOM_CAPSULE | mujoco.mjtGeom.mjGEOM_CYLINDER:
            return x, x, y
        case mujoco.mjtGeom.mjGEOM_ELLIPSOID | mujoco.mjtGeom.mjGEOM_BOX:
            return x, y, z
    raise ValueError(f"geom {model.geom(geom).name!r}: shape {shape.name} cannot be dressed yet")
