"""A drawn look as the numbers and the textures that a furnished MuJoCo model takes."""

from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from envs.rotations import from_euler
from pipelines.furnishing import Furniture, Ids
from randomization.appearance import Appearance, Distractor, Hold, Light, Material
from randomization.sensing import to_srgb
from randomization.textures import Image, paint, paint_backdrop, paint_box

Array = npt.NDArray[np.float64]
Halves = tuple[float, float, float]

FLOOR, BACKDROP, SMALL = 256, 128, 32
"""Edges of textures, pixels; the last of what is small in the image."""
NONE = -1
"""MuJoCo's id of no texture: plain surfaces have none, since an upload takes as long as a small frame."""

_SHAPES: dict[str, tuple[int, Halves]] = {
    "sphere": (mujoco.mjtGeom.mjGEOM_SPHERE, (1.0, 1.0, 1.0)),
    "box": (mujoco.mjtGeom.mjGEOM_BOX, (1.0, 1.0, 1.0)),
    "cylinder": (mujoco.mjtGeom.mjGEOM_CYLINDER, (0.7, 0.7, 1.0)),
    "cone": (mujoco.mjtGeom.mjGEOM_MESH, (0.8, 0.8, 1.0)),
}


@dataclass(frozen=True)
class Room:
    """What belongs to what in a furnished model."""

    furniture: Furniture
    geoms: Ids
    """Visible geoms of moving bodies."""
    links: tuple[int, ...]
    """Which moving body carries each of them, counted from 0 in the model's order."""
    halves: tuple[Halves, ...]
    """Half-sizes of each of them, m."""
    floor: Ids
    """Visible geoms of the world."""
    planes: Ids
    """Those of them that are planes."""
    planes_axes: Array
    """Rotations of the planes, ``(planes, 3, 3)``."""
    fovy: Array
    """Of the cameras as they should be, degrees."""
    cone_origin: Array
    """Of the mesh's own frame, in which MuJoCo draws, in the frame that the cone is described in: ``(3,)``."""

    def textures(self, env: int) -> tuple[int, int, Ids, Ids]:
        """Those of the floor, the backdrop, the geoms and the distractors of an environment's looks."""
        floor, backdrop = self.furniture.flat.reshape(-1, 2)[env]
        small = self.furniture.cubes.reshape(len(self.furniture.flat) // 2, -1)[env]
        return int(floor), int(backdrop), small[: len(self.geoms)], small[len(self.geoms) :]


@dataclass(frozen=True)
class Thing:
    """A distractor."""

    drawn: Distractor
    shape: int
    """MuJoCo's."""
    size: Array
    """Half-sizes as MuJoCo has them for its shape, m."""
    axes: Array
    """Rotation ``(3, 3)``; a mesh is scaled by it, too."""
    texture: int
    color: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Outfit:
    """A look. Surfaces are the floor's first, then those of the figure's geoms."""

    episode: int
    textures: tuple[int, ...]
    colors: Array
    """What a surface's texture is multiplied with, ``(surfaces, 3)``."""
    gloss: tuple[float, ...]
    smoothness: tuple[float, ...]
    floor_period: float
    """Length after which the floor's texture repeats, m."""
    floor_axes: Array
    """Rotation ``(3, 3)`` of the floor in its plane."""
    ambient: Array
    lit: npt.NDArray[np.bool_]
    """Which lamps shine."""
    lamps: Array
    """What each gives to a surface that faces it, ``(lamps, 3)``."""
    directions: Array
    """In which each shines, ``(lamps, 3)``."""
    backdrop: int
    things: tuple[Thing, ...]
    hold: Hold
    turn: Array
    """Rotation ``(3, 3)`` of the hold."""


def make_outfit(look: Appearance, room: Room, env: int, episode: int) -> tuple[Outfit, dict[int, Image]]:
    """The look for environment ``env``, and what is to be painted on which texture."""
    floor_texture, backdrop, cubes, spare = room.textures(env)
    pictures = {backdrop: paint_backdrop(look.backdrop, BACKDROP)}

    def wear(material: Material, texture: int, halves: Halves | None) -> tuple[int, Array]:
        if material.texture.kind == "plain":
            return NONE, np.array(material.texture.colors[0])
        pictures[texture] = paint_box(material, halves, SMALL) if halves else paint(material.texture, FLOOR)
        return texture, np.ones(3)

    materials = [look.floor, *(look.links[link] for link in room.links)]
    worn = [
        wear(material, int(texture), halves)
        for material, texture, halves in zip(materials, [floor_texture, *cubes], [None, *room.halves], strict=True)
    ]
    things = []
    for drawn, cube in zip(look.distractors, spare, strict=False):
        shape, (x, y, z) = _SHAPES[drawn.shape]
        halves = x * drawn.size, y * drawn.size, z * drawn.size
        texture, color = wear(drawn.material, int(cube), halves)
        cylinder, mesh = shape == mujoco.mjtGeom.mjGEOM_CYLINDER, shape == mujoco.mjtGeom.mjGEOM_MESH
        size = np.array([halves[0], halves[2], 0.0] if cylinder else halves)
        axes = from_euler(drawn.angles, "XYZ") * (drawn.size if mesh else 1.0)
        things.append(Thing(drawn, shape, size, axes, texture, np.array([*color, 1.0], np.float32)))
    ambient, lit, lamps, directions = _light(look, len(room.furniture.lights))
    outfit = Outfit(
        episode=episode,
        textures=tuple(texture for texture, _ in worn),
        colors=np.array([color for _, color in worn]),
        gloss=tuple(material.gloss for material in materials),
        smoothness=tuple(1 - material.roughness for material in materials),
        floor_period=look.floor.period,
        floor_axes=from_euler((0.0, 0.0, look.floor.angle), "xyz"),
        ambient=ambient,
        lit=lit,
        lamps=lamps,
        directions=directions,
        backdrop=backdrop,
        things=tuple(things),
        hold=look.hold,
        turn=from_euler(look.hold.angles, "xyz"),
    )
    return outfit, pictures


def _light(look: Appearance, count: int) -> tuple[Array, npt.NDArray[np.bool_], Array, Array]:
    """Even light, and which of ``count`` lamps shine, how brightly and in which direction."""

    def toward(light: Light) -> Array:
        flat = np.cos(light.elevation)
        return -np.array([flat * np.cos(light.azimuth), flat * np.sin(light.azimuth), np.sin(light.elevation)])

    # A white surface reflects the irradiance E as the radiance E/π. Blender adds radiances and then applies the sRGB
    # curve; MuJoCo multiplies a texture's sRGB values. They agree where every lamp shines straight on.
    total = float(np.mean(look.ambient)) + sum(light.strength for light in look.lights) / np.pi
    scale = float(to_srgb(np.array(total))) / max(total, 1e-6)
    lamps, directions = np.zeros((count, 3)), np.tile([0.0, 0.0, -1.0], (count, 1))
    for i, light in enumerate(look.lights):
        lamps[i], directions[i] = scale * light.strength / np.pi * np.array(light.color), toward(light)
    return scale * np.array(look.ambient), np.arange(count) < len(look.lights), lamps, directions
