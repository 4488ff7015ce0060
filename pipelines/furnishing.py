"""Room for more textures, materials and lights in a compiled model: MuJoCo fixes their numbers when it compiles."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from envs.task import compile_spec, load_spec

MOST_TEXTURES = 1000
"""That MuJoCo's renderer can hold (``mjMAXTEXTURE``)."""

_COMPILED = ("_", "bvh_", "mesh_", "name", "paths", "tex_")  # fields that the compiler fills, or that count and point
_GROWN = ("light_", "mat_")

Ids = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Furniture:
    """What was added to a model."""

    flat: Ids
    """Two-dimensional textures."""
    cubes: Ids
    """Cube textures."""
    materials: Ids
    """White ones without a texture."""
    lights: Ids
    """Parallel and switched off; they cast shadows if the model's first light does."""
    cone: int
    """A mesh: radius 0.8, from its tip at z = 1 to its base at z = −1."""


def furnish(
    model: mujoco.MjModel, xml: Path, flat: list[int], cubes: list[int], materials: int, lights: int
) -> tuple[mujoco.MjModel, Furniture]:
    """A new model that behaves and looks as ``model`` does and has room for more.

    Args:
        model: compiled from ``xml``; its values may have been changed since.
        xml: its MJCF file.
        flat: edges of two-dimensional textures, pixels.
        cubes: edges of the faces of cube textures, pixels.
        materials: how many.
        lights: how many.

    Raises:
        ValueError: more textures than MuJoCo can draw, or the model is not compiled from ``xml``.
    """
    count = len(flat) + len(cubes)
    if model.ntex + count > MOST_TEXTURES:
        raise ValueError(f"{model.ntex} + {count} textures; MuJoCo draws at most {MOST_TEXTURES}")
    spec = load_spec(xml)
    kinds = [(mujoco.mjtTexture.mjTEXTURE_2D, edge) for edge in flat]
    kinds += [(mujoco.mjtTexture.mjTEXTURE_CUBE, edge) for edge in cubes]
    textures = [
        spec.add_texture(
            name=f"furniture{i}", type=kind, builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT, width=edge, height=edge
        )
        for i, (kind, edge) in enumerate(kinds)
    ]
    surfaces = [spec.add_material(name=f"furniture{i}") for i in range(materials)]
    lamps = [
        spec.worldbody.add_light(
            name=f"furniture{i}",
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            castshadow=bool(model.nlight and model.light_castshadow[0]),
            active=False,
        )
        for i in range(lights)
    ]
    cone = spec.add_mesh(name="furniture", scale=[0.8, 0.8, 1.0])
    cone.make_cone(24, 0.0)
    furnished = compile_spec(spec)
    added = Furniture(
        flat=_ids(textures[: len(flat)]),
        cubes=_ids(textures[len(flat) :]),
        materials=_ids(surfaces),
        lights=_ids(lamps),
        cone=int(cone.id),
    )
    _take_values(model, furnished, added, xml)
    return furnished, added


def _ids(parts: list[Any]) -> Ids:
    return np.array([part.id for part in parts], np.intp)


def _take_values(model: mujoco.MjModel, furnished: mujoco.MjModel, added: Furniture, xml: Path) -> None:
    """Write the values of ``model`` into ``furnished``, which has more lights, materials, textures and meshes."""
    for name in dir(model):
        value = getattr(model, name) if not name.startswith(_COMPILED) else None
        if not isinstance(value, np.ndarray):
            continue
        target = getattr(furnished, name)
        if name.startswith(_GROWN):
            new = added.lights if name.startswith("light_") else added.materials
            rows = np.setdiff1d(np.arange(len(target)), new)
        else:
            rows = np.arange(len(target))
        if value.shape != (len(rows), *target.shape[1:]):
            raise ValueError(f"{xml}: the model was not compiled from this file: its {name} is {value.shape}")
        target[rows] = value
    furnished.tex_data[: len(model.tex_data)] = model.tex_data
    furnished.opt, furnished.vis, furnished.stat = model.opt, model.vis, model.stat
