"""How an image looks: surfaces, backdrop, lights, distractors, and how the camera is held.

Everything is plain numbers in sRGB, metres and radians, so that Blender and MuJoCo can draw the same thing and a
dataset can say what was drawn. Textures are painted by :mod:`randomization.textures`.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Color = tuple[float, float, float]
"""sRGB, each from 0 to 1."""
Range = tuple[float, float]

SURFACES = ("plain", "checker", "stripes", "noise", "photo")
BACKDROPS = ("plain", "gradient", "noise", "checker", "photo")
SHAPES = ("sphere", "box", "cylinder", "cone")


@dataclass(frozen=True)
class Texture:
    """What is painted on a surface or a backdrop."""

    kind: str
    """One of ``SURFACES`` or ``BACKDROPS``."""
    colors: tuple[Color, Color]
    seed: int
    """Of the noise; for a photo, which one, and which part of it."""


@dataclass(frozen=True)
class Material:
    """A surface."""

    texture: Texture
    period: float
    """Length after which the texture repeats, m."""
    angle: float
    """Direction of the texture, rad."""
    gloss: float
    """Share of the light that is mirrored, 0 to 1."""
    roughness: float
    """Of the mirrored light: 0 a mirror, 1 dull."""


@dataclass(frozen=True)
class Backdrop:
    """What is behind everything."""

    texture: Texture
    repeats: int
    """Periods of the texture across the image; 1 for what is no pattern."""


@dataclass(frozen=True)
class Light:
    """Parallel light."""

    azimuth: float
    """Where it comes from, rad from the x axis."""
    elevation: float
    """Above the floor, rad."""
    strength: float
    """Irradiance, W/m²."""
    softness: float
    """Angle that the lamp fills, rad: 0 casts hard shadows."""
    color: Color


@dataclass(frozen=True)
class Distractor:
    """An object that has no business in the picture."""

    shape: str
    across: float
    """Place in the image, in half image heights right of its centre."""
    up: float
    """The same above its centre."""
    depth: float
    """Distance from the camera as a share of the figure's: below 1 it may occlude."""
    size: float
    """Radius, m."""
    angles: tuple[float, float, float]
    """Euler angles, rad."""
    material: Material


@dataclass(frozen=True)
class Hold:
    """How the camera deviates from where it should be."""

    offset: tuple[float, float, float]
    """In its own axes (right, up, back), m."""
    angles: tuple[float, float, float]
    """Pitch, yaw and roll, rad."""
    zoom: float
    """Focal length over the nominal one."""


@dataclass(frozen=True)
class Appearance:
    """One drawn look."""

    links: tuple[Material, ...]
    floor: Material
    backdrop: Backdrop
    ambient: Color
    """Light from everywhere."""
    lights: tuple[Light, ...]
    distractors: tuple[Distractor, ...]
    hold: Hold
    shutter: float
    """Time that the shutter is open, s: 0 for no motion blur."""


@dataclass(frozen=True)
class AppearanceConfig:
    """What looks are drawn from: shares of kinds, and ranges of uniform draws."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    links: dict[str, float] = field(default_factory=lambda: {"plain": 4, "noise": 1, "checker": 0.5, "stripes": 0.5})
    """Shares of the links' texture kinds."""
    same_link_color: float = 0.4
    """Probability that all links share one material, as in MuJoCo's own figures."""
    floor: dict[str, float] = field(
        default_factory=lambda: {"plain": 1, "checker": 4, "stripes": 1, "noise": 2, "photo": 1}
    )
    """Shares of the floor's texture kinds; photo needs a folder of photos."""
    gray_floor: float = 0.4
    """Probability that the floor has no hue."""
    backdrop: dict[str, float] = field(
        default_factory=lambda: {"plain": 2, "gradient": 3, "noise": 2, "checker": 1, "photo": 2}
    )
    """Shares of the backdrop's kinds; photo needs a folder of photos."""
    floor_period: Range = (0.3, 3.0)
    """Length after which the floor's texture repeats, m."""
    floor_gloss: float = 0.4
    """Probability that the floor mirrors."""
    lights: tuple[int, int] = (1, 3)
    """Fewest and most lights."""
    strength: Range = (0.5, 4.0)
    """Irradiance of all lights together, W/m²."""
    ambient: Range = (0.1, 1.0)
    """Light from everywhere, as radiance."""
    distractors: tuple[int, int] = (0, 3)
    """Fewest and most distractors."""
    occluding: float = 0.5
    """Probability that a distractor is between the camera and the figure."""
    offset: float = 0.15
    """Half-width of the camera's offset along each of its axes, m."""
    tilt: float = 0.03
    """Half-width of the camera's pitch, yaw and roll, rad."""
    zoom: Range = (0.95, 1.05)
    """Focal length over the nominal one."""
    blur: float = 0.3
    """Probability of motion blur."""
    shutter: float = 0.008
    """Longest time that the shutter is open, s."""

    def __post_init__(self) -> None:
        for name, kinds in (("links", SURFACES), ("floor", SURFACES), ("backdrop", BACKDROPS)):
            shares = getattr(self, name)
            unknown = sorted(set(shares) - set(kinds))
            if unknown:
                raise ValueError(f"{name}: unknown kind {unknown[0]!r}; accepted: {', '.join(kinds)}")
            if not all(share >= 0 for share in shares.values()) or not 0 < sum(shares.values()) < np.inf:
                raise ValueError(f"{name}: shares are {shares}; accepted: 0 or more each, and not all 0")
        for name in ("same_link_color", "gray_floor", "floor_gloss", "occluding", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a probability")
        for name, least in (
            ("floor_period", 0.01),
            ("lights", 0),
            ("strength", 0),
            ("ambient", 0),
            ("distractors", 0),
            ("zoom", 0.1),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high < 1e6:
                raise ValueError(f"{name} is from {low} to {high}; it must be ordered and at least {least}")
        for name, most in (("offset", 1.0), ("tilt", 0.5), ("shutter", 0.1)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to {most}")

    def without_photos(self) -> "AppearanceConfig":
        """The same with no share for photos, for who has none."""
        kinds = {name: {**getattr(self, name), "photo": 0.0} for name in ("links", "floor", "backdrop")}
        return AppearanceConfig(**{**self.__dict__, **kinds})


def sample_appearance(config: AppearanceConfig, rng: np.random.Generator, links: int) -> Appearance:
    """Draw one look for a figure of ``links`` links."""
    shared = _material(rng, _kind(rng, config.links), (0.1, 0.6)) if rng.random() < config.same_link_color else None
    materials = [shared or _material(rng, _kind(rng, config.links), (0.1, 0.6)) for _ in range(links)]
    floor = _material(
        rng,
        _kind(rng, config.floor),
        config.floor_period,
        gray=bool(rng.random() < config.gray_floor),
        gloss=config.floor_gloss,
    )
    count = int(rng.integers(config.lights[0], config.lights[1] + 1))
    shares = rng.dirichlet(np.ones(count)) * rng.uniform(*config.strength) if count else ()
    ambient = rng.uniform(*config.ambient)
    tint = rng.uniform(0.8, 1.0, 3)
    offset, tilt = config.offset, config.tilt
    return Appearance(
        links=tuple(materials),
        floor=floor,
        backdrop=_backdrop(rng, _kind(rng, config.backdrop)),
        ambient=_triple(ambient * tint),
        lights=tuple(_light(rng, float(share)) for share in shares),
        distractors=tuple(
            _distractor(rng, bool(rng.random() < config.occluding))
            for _ in range(rng.integers(config.distractors[0], config.distractors[1] + 1))
        ),
        hold=Hold(
            _triple(rng.uniform(-offset, offset, 3)),
            _triple(rng.uniform(-tilt, tilt, 3)),
            float(rng.uniform(*config.zoom)),
        ),
        shutter=float(rng.uniform(0, config.shutter)) if rng.random() < config.blur else 0.0,
    )


def _kind(rng: np.random.Generator, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()), float)
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = values
    return float(x), float(y), float(z)


def _color(rng: np.random.Generator, gray: bool = False) -> Color:
    return _triple([rng.random()] * 3) if gray else _triple(rng.random(3))


def _material(rng: np.random.Generator, kind: str, period: Range, gray: bool = False, gloss: float = 0.3) -> Material:
    shines = rng.random() < gloss
    return Material(
        texture=Texture(kind, (_color(rng, gray), _color(rng, gray)), _seed(rng)),
        period=float(np.exp(rng.uniform(*np.log(period)))),
        angle=float(rng.choice([0.0, rng.uniform(0, np.pi)])),
        gloss=float(rng.uniform(0.05, 0.5)) if shines else 0.0,
        roughness=float(rng.uniform(0.0, 0.6)),
    )


def _backdrop(rng: np.random.Generator, kind: str) -> Backdrop:
    repeats = int(rng.integers(1, 9))
    return Backdrop(Texture(kind, (_color(rng), _color(rng)), _seed(rng)), repeats if kind == "checker" else 1)


def _light(rng: np.random.Generator, strength: float) -> Light:
    return Light(
        azimuth=float(rng.uniform(-np.pi, np.pi)),
        # As much light from each part of the sky: the sine of the elevation is uniform.
        elevation=float(np.arcsin(rng.uniform(np.sin(0.35), 1.0))),
        strength=strength,
        softness=float(rng.choice([0.0, rng.uniform(0.0, 0.5)])),
        color=_triple(rng.uniform(0.8, 1.0, 3)),
    )


def _distractor(rng: np.random.Generator, occluding: bool) -> Distractor:
    reach = 0.5 if occluding else 1.0  # the camera keeps the figure near the middle
    depth = float(rng.uniform(0.6, 0.9) if occluding else rng.uniform(0.5, 2.0))
    return Distractor(
        shape=str(rng.choice(SHAPES)),
        across=float(rng.uniform(-reach, reach)),
        up=float(rng.uniform(-reach, reach)),
        depth=depth,
        size=float(rng.uniform(0.05, 0.15)) * (1.0 if depth < 1 else 2.0),
        angles=_triple(rng.uniform(-np.pi, np.pi, 3)),
        material=_material(rng, _kind(rng, {"plain": 2, "noise": 1, "checker": 1}), (0.1, 0.6)),
    )
