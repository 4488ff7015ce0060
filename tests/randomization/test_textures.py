"""Painted textures: exact where they are regular, and without a seam where they are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from randomization.appearance import Color, Material, Texture
from randomization.textures import Image, find_photos, paint, paint_box, read_photo

RED: Color = (1.0, 0.0, 0.2)
BLUE: Color = (0.0, 0.4, 1.0)
BYTES = {RED: (255, 0, 51), BLUE: (0, 102, 255)}


def painted(kind: str, size: int = 64, seed: int = 0) -> Image:
    return paint(Texture(kind, (RED, BLUE), seed), size)


def test_plain_is_its_first_color() -> None:
    np.testing.assert_array_equal(painted("plain"), np.broadcast_to(BYTES[RED], (64, 64, 3)))


def test_checker_has_two_quarters_of_each_color() -> None:
    image = painted("checker")
    for rows, columns, color in ((0, 0, RED), (0, 1, BLUE), (1, 0, BLUE), (1, 1, RED)):
        quarter = image[32 * rows : 32 * rows + 32, 32 * columns : 32 * columns + 32]
        np.testing.assert_array_equal(quarter, np.broadcast_to(BYTES[color], (32, 32, 3)))


def test_stripes_run_from_top_to_bottom() -> None:
    image = painted("stripes")
    np.testing.assert_array_equal(image[:, :32], np.broadcast_to(BYTES[RED], (64, 32, 3)))
    np.testing.assert_array_equal(image[:, 32:], np.broadcast_to(BYTES[BLUE], (64, 32, 3)))


def test_a_gradient_runs_down_from_one_color_to_the_other() -> None:
    image = painted("gradient", size=65)
    for row, color in ((0, BYTES[RED]), (32, (128, 51, 153)), (64, BYTES[BLUE])):
        np.testing.assert_allclose(image[row], np.broadcast_to(color, (65, 3)), atol=1)
    assert (np.diff(image[:, :, 2].astype(int), axis=0) >= 0).all()


@pytest.mark.parametrize("size", [64, 100, 256])
def test_noise_repeats_without_a_seam(size: int) -> None:
    """The step across the edge is as large as those at the quarters, where the cells of all octaves meet too."""
    across, inside = [], []
    for seed in range(12):
        image = painted("noise", size, seed).astype(float)
        for axis in (0, 1):
            steps = np.abs(np.diff(image, axis=axis, append=np.take(image, [0], axis))).mean(axis=(1 - axis, 2))
            across.append(steps[-1])
            inside.append(steps[[size // 4 * quarter - 1 for quarter in (1, 2, 3)]].mean())
    assert np.mean(across) < 1.2 * np.mean(inside)


def test_noise_is_a_function_of_its_seed() -> None:
    np.testing.assert_array_equal(painted("noise", seed=7), painted("noise", seed=7))
    assert np.abs(painted("noise", seed=7).astype(int) - painted("noise", seed=8)).mean() > 10


def test_noise_mixes_both_colors_and_no_other() -> None:
    image = painted("noise", 256).astype(float)
    mix = image[..., 2] / 204 - 51 / 204
    assert 0 <= mix.min() < 0.2
    assert 0.8 < mix.max() <= 1
    expected = np.array(BYTES[RED]) + mix[..., None] * (np.array(BYTES[BLUE]) - BYTES[RED])
    np.testing.assert_allclose(image, expected, atol=1.5)


def ramp(height: int, width: int) -> Image:
    """A photo whose red grows to the right and whose green grows downwards."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[..., 0] = np.linspace(0, 255, width)
    photo[..., 1] = np.linspace(0, 255, height)[:, None]
    return photo


@pytest.mark.parametrize(("height", "width"), [(80, 120), (120, 80)])
def test_a_photo_is_cut_out_and_mirrored(height: int, width: int) -> None:
    for seed in range(10):
        image = paint(Texture("photo", (RED, BLUE), seed), 64, [ramp(height, width)])
        assert image.shape == (64, 64, 3)
        np.testing.assert_array_equal(image, image[::-1])
        np.testing.assert_array_equal(image, image[:, ::-1])
        quarter = image[:32, :32].astype(float)
        assert (np.diff(quarter[..., 0], axis=1) > 0).all()
        assert (np.diff(quarter[..., 1], axis=0) > 0).all()
        # A square of the photo: from half of its shorter edge to all of it.
        for color, axis, length in ((0, 1, width), (1, 0, height)):
            side = np.diff(quarter[..., color], axis=axis).mean() * 32 / 255 * length
            assert 0.45 * 80 < side < 1.05 * 80


def test_the_seed_chooses_among_the_photos() -> None:
    photos = [np.full((8, 8, 3), value, np.uint8) for value in (10, 20, 30)]
    seen = [int(paint(Texture("photo", (RED, BLUE), seed), 8, photos).mean()) for seed in range(300)]
    values, counts = np.unique(seen, return_counts=True)
    assert values.tolist() == [10, 20, 30]
    np.testing.assert_allclose(counts, 100, atol=4 * np.sqrt(300 * 2 / 9))


def test_what_cannot_be_painted_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a photo is to be painted, but there is none; give a folder of photos$"):
        painted("photo")
    with pytest.raises(ValueError, match=r"^unknown texture 'fur'$"):
        painted("fur")


def write(path: Path, rgb: tuple[int, int, int] = (250, 5, 100)) -> None:
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(path), np.full((4, 6, 3), rgb[::-1], np.uint8))


@pytest.mark.parametrize("name", ["a.png", "ä b.png"])
def test_a_photo_is_read_as_rgb(name: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    np.testing.assert_array_equal(read_photo(tmp_path / name), np.broadcast_to((250, 5, 100), (4, 6, 3)))


def test_photos_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("c.png", "a.JPG", "b/d.webp", "e.jpeg"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    assert find_photos(tmp_path) == [tmp_path / name for name in ("a.JPG", "b/d.webp", "c.png", "e.jpeg")]


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none: no such folder; accepted: a folder with \.jpg, \.jpeg, \.png, \.webp"):
        find_photos(tmp_path / "none")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r": holds no photo; accepted: \.jpg, \.jpeg, \.png, \.webp files$"):
        find_photos(tmp_path)


@pytest.mark.parametrize("content", [b"no image at all", b""], ids=["text", "empty"])
def test_a_broken_photo_is_named(content: bytes, tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.jpg: not a readable image$"):
        find_photos(tmp_path)


def box(kind: str, halves: tuple[float, float, float], period: float, angle: float = 0.0, size: int = 32) -> Image:
    return paint_box(Material(Texture(kind, (RED, BLUE), 0), period, angle, 0.0, 0.0), halves, size)


def test_a_plain_box_is_its_color_on_six_sides() -> None:
    np.testing.assert_array_equal(box("plain", (1, 2, 3), 0.5), np.broadcast_to(BYTES[RED], (6, 32, 32, 3)))


@pytest.mark.parametrize("turned", [False, True])
def test_the_sides_of_a_box_show_periods_where_opengl_looks_them_up(turned: bool) -> None:
    """Stripes along one of each side's axes; when turned by a right angle, along the other."""
    rng, size, period, halves = np.random.default_rng(0), 64, 0.7, np.array([0.5, 0.8, 1.1])
    faces = box("stripes", (0.5, 0.8, 1.1), period, np.pi / 2 if turned else 0.0, size)
    across, along = {0: 2, 1: 0, 2: 0}, {0: 1, 1: 2, 2: 1}
    for point in rng.uniform(-1, 1, (500, 3)):
        major = int(np.abs(point).argmax())
        point /= abs(point[major])
        x, y, z = point
        # Table 3.19 of the OpenGL 2.1 specification.
        s, t = {0: (-z * x, -y), 1: (x, z * y), 2: (x * z, -y)}[major]
        row, column = (int((place + 1) / 2 * size) for place in (t, s))
        axis = along[major] if turned else across[major]
        periods = point[axis] * halves[axis] / period % 1
        if abs(periods % 0.5 - 0.25) < 0.2:  # away from the stripes' edges
            face = 2 * major + int(point[major] < 0)
            expected = BYTES[RED] if periods < 0.5 else BYTES[BLUE]
            assert tuple(faces[face, row, column]) == expected
