"""Drawn looks keep to their configuration, and are plain data."""

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from randomization.appearance import BACKDROPS, SURFACES, Appearance, AppearanceConfig, Material, sample_appearance

DEFAULT = AppearanceConfig()


def looks(config: AppearanceConfig, count: int = 100, seed: int = 0) -> list[Appearance]:
    rng = np.random.default_rng(seed)
    return [sample_appearance(config, rng, links=4) for _ in range(count)]


def test_the_same_generator_draws_the_same_look() -> None:
    assert looks(DEFAULT, 5, seed=1) == looks(DEFAULT, 5, seed=1)
    assert looks(DEFAULT, 1, seed=1) != looks(DEFAULT, 1, seed=2)


def test_a_look_comes_back_from_json_equal() -> None:
    for look in looks(DEFAULT, 10):
        assert TypeAdapter(Appearance).validate_python(json.loads(json.dumps(asdict(look)))) == look


def test_kinds_are_drawn_by_their_shares() -> None:
    shares = {"plain": 3.0, "noise": 1.0, "photo": 0.0}
    backdrop = {"gradient": 1.0, "checker": 0.0}
    drawn = looks(replace(DEFAULT, links=shares, floor={"stripes": 2}, backdrop=backdrop, same_link_color=0))
    kinds = [link.texture.kind for look in drawn for link in look.links]
    assert set(kinds) == {"plain", "noise"}
    assert abs(kinds.count("plain") / 400 - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 400)
    assert {look.floor.texture.kind for look in drawn} == {"stripes"}
    assert {look.backdrop.texture.kind for look in drawn} == {"gradient"}


def test_without_photos_none_is_drawn_and_the_rest_stays() -> None:
    config = replace(DEFAULT, links={"photo": 5, "plain": 1}, tilt=0.2)
    bare = config.without_photos()
    drawn = looks(bare)
    kinds = {link.texture.kind for look in drawn for link in look.links}
    kinds |= {part.texture.kind for look in drawn for part in (look.floor, look.backdrop)}
    assert kinds == {*SURFACES, *BACKDROPS} - {"photo"}
    parts: dict[str, Any] = {name: {**getattr(config, name), "photo": 0} for name in ("links", "floor", "backdrop")}
    assert bare == replace(config, **parts)


def test_numbers_stay_in_their_ranges() -> None:
    config = replace(
        DEFAULT,
        lights=(2, 4),
        strength=(1, 2),
        distractors=(1, 3),
        ambient=(0.3, 0.4),
        zoom=(1.2, 1.3),
        floor_period=(2, 3),
    )
    drawn = looks(config)
    assert {len(look.lights) for look in drawn} == {2, 3, 4}
    assert {len(look.distractors) for look in drawn} == {1, 2, 3}
    for look in drawn:
        assert 1 - 1e-12 <= sum(light.strength for light in look.lights) <= 2 + 1e-12
        assert 0.8 * 0.3 <= min(look.ambient) <= max(look.ambient) <= 0.4
        assert 1.2 <= look.hold.zoom <= 1.3
        assert 2 <= look.floor.period <= 3
        assert max(map(abs, look.hold.offset)) <= config.offset
        assert max(map(abs, look.hold.angles)) <= config.tilt
        assert 0 <= look.shutter <= config.shutter
    for part, most in (("offset", config.offset), ("angles", config.tilt)):
        widest = np.abs([getattr(look.hold, part) for look in drawn]).max(axis=0)
        assert (widest > 0.9 * most).all()


def test_without_lights_and_distractors_there_are_none() -> None:
    for look in looks(replace(DEFAULT, lights=(0, 0), distractors=(0, 0)), 20):
        assert not look.lights
        assert not look.distractors


def test_each_part_of_the_sky_is_as_bright() -> None:
    sines = np.sin([light.elevation for look in looks(replace(DEFAULT, lights=(9, 9))) for light in look.lights])
    low = np.sin(0.35)
    np.testing.assert_allclose([sines.min(), sines.mean(), sines.max()], [low, (1 + low) / 2, 1], atol=0.02)


def colors(material: Material) -> set[int]:
    """How many different channels each colour has."""
    return {len(set(color)) for color in material.texture.colors}


@pytest.mark.parametrize(("probability", "channels"), [(1.0, {1}), (0.0, {3})])
def test_a_gray_floor_has_no_hue(probability: float, channels: set[int]) -> None:
    for look in looks(replace(DEFAULT, gray_floor=probability), 20):
        assert colors(look.floor) == channels
        assert colors(look.links[0]) == {3}


@pytest.mark.parametrize(("probability", "materials"), [(1.0, 1), (0.0, 4)])
def test_links_share_a_material_or_have_their_own(probability: float, materials: int) -> None:
    for look in looks(replace(DEFAULT, same_link_color=probability), 20):
        assert len(set(look.links)) == materials


def test_blur_and_gloss_are_as_probable_as_configured() -> None:
    assert {look.shutter for look in looks(replace(DEFAULT, blur=0))} == {0}
    assert {look.floor.gloss for look in looks(replace(DEFAULT, floor_gloss=0))} == {0}
    assert min(look.shutter for look in looks(replace(DEFAULT, blur=1))) > 0
    assert min(look.floor.gloss for look in looks(replace(DEFAULT, floor_gloss=1))) >= 0.05
    blurred = np.mean([look.shutter > 0 for look in looks(replace(DEFAULT, blur=0.3), 400)])
    assert abs(blurred - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 400)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"links": {"fur": 1}}, r"^links: unknown kind 'fur'; accepted: plain, checker, stripes, noise, photo$"),
        ({"floor": {"gradient": 1}}, r"^floor: unknown kind 'gradient'; accepted: plain, checker, stripes, noise"),
        ({"backdrop": {"stripes": 1}}, r"^backdrop: unknown kind 'stripes'; accepted: plain, gradient, noise, checker"),
        ({"links": {"plain": 2, "noise": -1}}, r"^links: shares are {'plain': 2, 'noise': -1}; accepted: 0 or more"),
        ({"floor": {"plain": 0}}, r"^floor: shares are {'plain': 0}; accepted: 0 or more each, and not all 0$"),
        ({"backdrop": {}}, r"^backdrop: shares are {}; accepted"),
        ({"links": {"plain": NAN}}, r"^links: shares are {'plain': nan}; accepted"),
        ({"links": {"plain": INF}}, r"^links: shares are {'plain': inf}; accepted"),
        ({"same_link_color": 1.1}, r"^same_link_color is 1.1; it must be a probability$"),
        ({"gray_floor": -0.1}, r"^gray_floor is -0.1; it must be a probability$"),
        ({"floor_gloss": 2}, r"^floor_gloss is 2; it must be a probability$"),
        ({"blur": NAN}, r"^blur is nan; it must be a probability$"),
        ({"floor_period": (0, 1)}, r"^floor_period is from 0 to 1; it must be ordered and at least 0.01$"),
        ({"lights": (3, 2)}, r"^lights is from 3 to 2; it must be ordered and at least 0$"),
        ({"strength": (0, NAN)}, r"^strength is from 0 to nan; it must be ordered and at least 0$"),
        ({"ambient": (0, INF)}, r"^ambient is from 0 to inf; it must be"),
        ({"distractors": (-1, 2)}, r"^distractors is from -1 to 2; it must be ordered and at least 0$"),
        ({"zoom": (0.05, 1)}, r"^zoom is from 0.05 to 1; it must be ordered and at least 0.1$"),
        ({"offset": 1.5}, r"^offset is 1.5; it must be from 0 to 1.0$"),
        ({"tilt": -0.1}, r"^tilt is -0.1; it must be from 0 to 0.5$"),
        ({"shutter": NAN}, r"^shutter is nan; it must be from 0 to 0.1$"),
    ],
)
def test_bad_configurations_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AppearanceConfig(**given)
