"""Painting: a drawn texture as an image that repeats without a seam."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from randomization.appearance import Backdrop, Material, Texture

Image = npt.NDArray[np.uint8]

_BACKDROP = 256  # edge of the backdrop as it is painted, pixels
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def find_photos(folder: Path) -> list[Path]:
    """Photos of a folder, in order of their names, after checking that each can be read.

    Raises:
        ValueError: no folder, no photo in it, or one that cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; accepted: a folder with {', '.join(PHOTO_SUFFIXES)} files")
    photos = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise ValueError(f"{folder}: holds no photo; accepted: {', '.join(PHOTO_SUFFIXES)} files")
    for photo in photos:
        read_photo(photo)
    return photos


def read_photo(path: Path) -> Image:
    """A photo as RGB ``(height, width, 3)``.

    Raises:
        ValueError: not an image.
    """
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise ValueError(f"{path}: not a readable image")
    return np.asarray(image[..., ::-1], np.uint8)


def paint(texture: Texture, size: int, photos: Sequence[Image] = ()) -> Image:
    """One period of the texture as sRGB ``(size, size, 3)``.

    Raises:
        ValueError: a photo is asked for and none is given.
    """
    match texture.kind:
        case "plain":
            mix = np.zeros((size, size), np.float32)
        case "checker":
            half = np.arange(size) * 2 // size
            mix = (half[:, None] ^ half[None, :]).astype(np.float32)
        case "stripes":
            mix = np.broadcast_to((np.arange(size) * 2 // size).astype(np.float32), (size, size))
        case "gradient":
            mix = np.broadcast_to(np.linspace(0.0, 1.0, size, dtype=np.float32)[:, None], (size, size))
        case "noise":
            mix = _noise(texture.seed, size)
        case "photo":
            if not photos:
                raise ValueError("a photo is to be painted, but there is none; give a folder of photos")
            return _photo(texture.seed, size, photos)
        case kind:
            raise ValueError(f"unknown texture {kind!r}")
    first, second = (np.array(color) for color in texture.colors)
    between = first + np.linspace(0.0, 1.0, 256)[:, None] * (second - first)
    return np.asarray((between * 255 + 0.5).astype(np.uint8)[(mix * 255 + 0.5).astype(np.uint8)])


def paint_backdrop(backdrop: Backdrop, size: int, photos: Sequence[Image] = ()) -> Image:
    """What is behind everything, as sRGB ``(size, size, 3)``.

    Raises:
        ValueError: a photo is asked for and none is given.
    """
    period = paint(backdrop.texture, _BACKDROP // backdrop.repeats, photos)
    picture = np.tile(period, (backdrop.repeats, backdrop.repeats, 1))
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


# The axis, with its sign, along each face's rows and down its columns, in OpenGL's order: +x, -x, +y, -y, +z, -z.
_FACES = (
    ((2, -1), (1, -1)),
    ((2, 1), (1, -1)),
    ((0, 1), (2, 1)),
    ((0, 1), (2, -1)),
    ((0, 1), (1, -1)),
    ((0, -1), (1, -1)),
)


def paint_box(material: Material, halves: tuple[float, float, float], size: int, photos: Sequence[Image] = ()) -> Image:
    """The material's texture on the six sides of a box, as faces ``(6, size, size, 3)`` of a cube map of OpenGL's.

    A side shows as many periods as fit on it, turned by the material's angle. ``halves`` are the box's half-sizes, m.

    Raises:
        ValueError: a photo is asked for and none is given.
    """
    tile = paint(material.texture, size, photos)
    places = (np.arange(size) + 0.5) * 2 / size - 1
    along, down = (
        np.array([sign * halves[axis] * places for axis, sign in axes]) for axes in zip(*_FACES, strict=True)
    )
    cosine, sine, scale = np.cos(material.angle), np.sin(material.angle), size / material.period
    columns = cosine * along[:, None, :] + sine * down[:, :, None]
    rows = cosine * down[:, :, None] - sine * along[:, None, :]
    return np.asarray(tile[np.floor(rows * scale).astype(int) % size, np.floor(columns * scale).astype(int) % size])


def _noise(seed: int, size: int) -> npt.NDArray[np.float32]:
    """A sum of octaves of random numbers on a torus, steep or soft, from 0 to 1."""
    rng = np.random.default_rng(seed)
    decay = rng.uniform(0.4, 0.9)
    total, cells, weight = np.zeros((size, size), np.float32), 4, 1.0
    while cells <= size:
        padded = np.pad(rng.random((cells, cells), np.float32), 2, mode="wrap")
        scaled = cv2.resize(padded, (size + 4 * size // cells,) * 2, interpolation=cv2.INTER_CUBIC)
        border = 2 * size // cells
        total += weight * scaled[border : border + size, border : border + size]
        cells, weight = cells * 2, weight * decay
    steepness = rng.uniform(2.0, 12.0)
    return np.asarray(1 / (1 + np.exp(-steepness * (total - total.mean()) / total.std() / 2)), np.float32)


def _photo(seed: int, size: int, photos: Sequence[Image]) -> Image:
    """A random square of a random photo, mirrored at its edges so that it repeats without a seam."""
    rng = np.random.default_rng(seed)
    photo = photos[int(rng.integers(len(photos)))]
    side = max(1, int(min(photo.shape[:2]) * rng.uniform(0.5, 1.0)))
    top, left = (int(rng.integers(length - side + 1)) for length in photo.shape[:2])
    square = cv2.resize(photo[top : top + side, left : left + side], (size // 2,) * 2, interpolation=cv2.INTER_AREA)
    upper = np.concatenate((square, square[:, ::-1]), axis=1)
    return np.asarray(np.concatenate((upper, upper[::-1])), np.uint8)
