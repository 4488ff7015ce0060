"""Looks on MuJoCo's pictures: functions of (seed, env, episode), and what the drawn numbers say."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

import envs
from envs.domains import domain_model
from envs.hopper import Hopper
from envs.rotations import from_euler
from pipelines.looks import Looks
from randomization.appearance import (
    Appearance,
    AppearanceConfig,
    Backdrop,
    Color,
    Distractor,
    Hold,
    Light,
    Material,
    Texture,
    sample_appearance,
)
from randomization.sensing import to_srgb
from synth_data.scene import Scene
from vision.camera import Camera
from vision.keypoints import keypoints_of

Frame = npt.NDArray[np.uint8]

SIZE = 96
HOPPER = Hopper()
MODEL = domain_model(HOPPER, "source")
MODEL.vis.global_.offwidth = MODEL.vis.global_.offheight = SIZE
MODEL.vis.quality.offsamples, MODEL.vis.quality.shadowsize = 0, 512  # for speed
BENT = MODEL.qpos0 + np.array([0.4, 0.1, 0.05, -0.3, -0.3, 0.3])
DEFAULT = AppearanceConfig()
EFFECTS = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)

RED, BLUE, GREEN, GRAY, WHITE = (
    (1.0, 0.0, 0.2),
    (0.0, 0.4, 1.0),
    (0.2, 0.8, 0.0),
    (0.4, 0.4, 0.4),
    (1.0, 1.0, 1.0),
)
LINKS: tuple[Color, ...] = ((0.8, 0.0, 0.0), (0.0, 0.8, 0.0), (0.0, 0.0, 0.8), (0.8, 0.8, 0.0))


def surface(color: Color, kind: str = "plain", period: float = 0.4, angle: float = 0.0) -> Material:
    return Material(Texture(kind, (color, BLUE), 0), period, angle, gloss=0.0, roughness=0.5)


EVEN = Appearance(
    links=tuple(surface(color) for color in LINKS),
    floor=surface(GRAY),
    backdrop=Backdrop(Texture("plain", (GREEN, GREEN), 0), 1),
    ambient=WHITE,
    lights=(),
    distractors=(),
    hold=Hold((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0),
    shutter=0.0,
)
"""Everything in its own colour."""
BALL = Distractor("sphere", 0.0, 0.0, 0.8, 0.2, (0.0, 0.0, 0.0), surface(RED))


class Stage:
    """One renderer whose frames are dressed."""

    def __init__(self, looks: Looks, num_envs: int = 3) -> None:
        self.looks = looks
        self.episodes = 0  # so far
        self.model = looks.furnish(MODEL, num_envs, HOPPER.xml)
        self.data = mujoco.MjData(self.model)
        self.renderer = mujoco.Renderer(self.model, SIZE, SIZE)
        self.scene = self.renderer.scene
        for flag in EFFECTS:
            self.scene.flags[flag] = 0

    def frame(self, env: int, episode: int = 0, qpos: npt.NDArray[np.float64] = BENT) -> Frame:
        self.data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self.renderer._gl_context.make_current()
        self.looks.dress(self.model, self.data, self.renderer._mjr_context, 0, env, episode)
        self.renderer.update_scene(self.data, camera=0)
        self.looks.decorate(self.scene, self.data, 0, env)
        return np.array(self.renderer.render(), np.uint8)


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Callable[..., Stage]:
    def build(looks: Looks, **settings: Any) -> Stage:
        built = Stage(looks, **settings)
        request.addfinalizer(built.renderer.close)
        return built

    return build


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    built = Stage(Looks(DEFAULT, 0), num_envs=1)
    yield built
    built.renderer.close()


@pytest.fixture
def show(shared: Stage, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Frame]:
    """A frame of a given look."""

    def draw(look: Appearance, effects: bool = False) -> Frame:
        monkeypatch.setattr("pipelines.looks.sample_appearance", lambda *_: look)
        for flag in EFFECTS:
            shared.scene.flags[flag] = effects
        shared.episodes += 1
        return shared.frame(0, shared.episodes)

    return draw


def at(frame: Frame, across: float, up: float) -> list[int]:
    """The pixel at a place in half image heights from the centre."""
    row, column = ((1 - up) * SIZE / 2, (1 + across) * SIZE / 2)
    return [int(value) for value in frame[int(row), int(column)]]


def shade(color: Color, light: float = 1.0) -> list[int]:
    return [round(255 * value * light) for value in color]


def test_an_undressed_model_is_the_same_and_draws_the_same_frame() -> None:
    furnished = Looks(DEFAULT, 0).furnish(MODEL, 2, HOPPER.xml)
    frames = []
    for model in (MODEL, furnished):
        data, renderer = mujoco.MjData(model), mujoco.Renderer(model, SIZE, SIZE)
        data.qpos[:] = BENT
        mujoco.mj_forward(model, data)
        renderer.update_scene(data, camera=0)
        frames.append(np.array(renderer.render()))
        renderer.close()
    np.testing.assert_array_equal(frames[0], frames[1])
    for prefix in ("qpos", "body_", "jnt_", "dof_", "geom_", "cam_", "actuator_"):
        for name in (name for name in dir(MODEL) if name.startswith(prefix)):
            np.testing.assert_array_equal(getattr(furnished, name), getattr(MODEL, name), err_msg=name)
    assert furnished.opt.disableflags == MODEL.opt.disableflags
    assert [furnished.geom(i).name for i in range(5)] == [MODEL.geom(i).name for i in range(5)]


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_every_figure_can_be_dressed(figure: str) -> None:
    task = envs.task_of(figure)
    model = domain_model(task, "target")
    furnished = Looks(DEFAULT, 0).furnish(model, 1, task.xml)
    assert furnished.camera("track").id == model.camera("track").id
    np.testing.assert_array_equal(furnished.body_mass, model.body_mass)
    np.testing.assert_array_equal(furnished.actuator_gear, model.actuator_gear)
    assert furnished.ngeom == model.ngeom
    assert furnished.ntex > model.ntex


def test_furnishing_takes_edited_values_and_leaves_the_model_alone() -> None:
    model = domain_model(HOPPER, "gravity=3, torso_mass=7")
    model.light_diffuse[0], model.vis.headlight.ambient[:] = 0.3, 0.9
    furnished = Looks(DEFAULT, 0).furnish(model, 1, HOPPER.xml)
    furnished.opt.gravity[2] = furnished.vis.headlight.ambient[0] = furnished.body_mass[1] = 1
    assert (model.opt.gravity[2], model.vis.headlight.ambient[0], model.body_mass[1]) == (-3, np.float32(0.9), 7)
    taken = Looks(DEFAULT, 0).furnish(model, 1, HOPPER.xml)
    assert (taken.opt.gravity[2], taken.vis.headlight.ambient[0], taken.body_mass[1]) == (-3, np.float32(0.9), 7)
    np.testing.assert_array_equal(taken.light_diffuse[0], model.light_diffuse[0])
    assert taken.light_active.tolist() == [True, False, False, False]


def test_a_frame_depends_on_seed_env_and_episode_alone(stage: Callable[..., Stage]) -> None:
    first, other = stage(Looks(DEFAULT, 4)), stage(Looks(DEFAULT, 4), num_envs=5)
    places = [(env, episode) for episode in (0, 1) for env in range(3)]
    frames = {place: first.frame(*place) for place in places}
    for place in [(2, 1), (4, 7), (1, 0), (2, 0), (0, 1), (0, 0), (1, 1)]:
        drawn = other.frame(*place)
        if place in frames:
            np.testing.assert_array_equal(drawn, frames[place], err_msg=str(place))
    assert len({frame.tobytes() for frame in frames.values()}) == len(places)
    assert (stage(Looks(DEFAULT, 5)).frame(0, 0) != frames[0, 0]).any()


def test_environments_in_turn_keep_their_looks(stage: Callable[..., Stage]) -> None:
    drawing = stage(Looks(DEFAULT, 1))
    expected = [drawing.frame(env) for env in range(3)]
    for env in (2, 0, 1, 1, 2):
        np.testing.assert_array_equal(drawing.frame(env), expected[env])
    drawing.frame(1, episode=1)
    for env in (0, 2):
        np.testing.assert_array_equal(drawing.frame(env), expected[env])


def test_a_pickled_copy_draws_the_same(stage: Callable[..., Stage]) -> None:
    used = stage(Looks(DEFAULT, 2))
    expected = used.frame(1, 3)
    copy = pickle.loads(pickle.dumps(used.looks))
    assert (copy.config, copy.seed) == (DEFAULT.without_photos(), 2)
    np.testing.assert_array_equal(stage(copy).frame(1, 3), expected)


def test_textures_are_uploaded_once_in_an_episode(stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = stage(Looks(replace(DEFAULT, links={"noise": 1}, floor={"checker": 1}, distractors=(0, 0)), 0))
    uploaded: list[int] = []
    upload = mujoco.mjr_uploadTexture

    def count(model: Any, context: Any, texture: int) -> None:
        uploaded.append(texture)
        upload(model, context, texture)

    monkeypatch.setattr(mujoco, "mjr_uploadTexture", count)
    seen = []
    for env, episode in ((0, 0), (1, 0), (0, 0), (1, 0), (1, 1), (0, 0), (1, 1)):
        drawing.frame(env, episode)
        seen.append(set(uploaded))
        assert len(uploaded) == len(seen[-1])
        uploaded.clear()
    assert [len(textures) for textures in seen] == [6, 6, 0, 0, 6, 0, 0]  # floor, backdrop and four links
    assert not seen[0] & seen[1]
    assert seen[4] == seen[1]


def test_plain_surfaces_take_no_upload(show: Callable[..., Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded: list[int] = []
    monkeypatch.setattr(mujoco, "mjr_uploadTexture", lambda model, context, texture: uploaded.append(texture))
    show(replace(EVEN, distractors=(BALL,)))
    assert len(uploaded) == 1  # the backdrop


@pytest.mark.parametrize("effects", [False, True])
def test_even_light_shows_every_surface_in_its_own_colour(show: Callable[..., Frame], effects: bool) -> None:
    frame = show(EVEN, effects=effects)
    expected = {tuple(shade(color)) for color in (*LINKS, GRAY, GREEN)}
    colors, counts = np.unique(frame.reshape(-1, 3), axis=0, return_counts=True)
    found = {tuple(color.tolist()): int(count) for color, count in zip(colors, counts, strict=True)}
    assert expected <= set(found)
    assert sum(found[color] for color in expected) > 0.9 * SIZE**2  # the rest is on edges
    assert all(at(frame, across, 0.98) == shade(GREEN) for across in (-0.99, 0.0, 0.98))


def test_both_colors_of_a_checkered_floor_show(show: Callable[..., Frame]) -> None:
    frame = show(replace(EVEN, floor=surface(RED, "checker", period=2.0)))
    lower = frame[SIZE * 3 // 4 :].reshape(-1, 3)
    shares = [float((lower == shade(color)).all(axis=1).mean()) for color in (RED, BLUE)]
    assert min(shares) > 0.2
    assert sum(shares) > 0.6


@pytest.mark.parametrize("angle", [0.0, 0.6, np.pi / 2])
def test_the_floors_texture_has_its_period_and_its_direction(show: Callable[..., Frame], angle: float) -> None:
    period = 1.5
    frame = show(replace(EVEN, floor=surface(RED, "stripes", period, angle)))
    camera = Scene(MODEL, keypoints_of("hopper"), SIZE).pose(BENT, "track").camera
    rows, columns = np.nonzero((show(EVEN) == shade(GRAY)).all(axis=-1))
    near = rows > SIZE * 3 // 4
    rows, columns = rows[near], columns[near]
    right, down = ((pixels + 0.5 - SIZE / 2) / camera.focal for pixels in (columns, rows))
    rays = np.stack((right, -down, -np.ones(len(rows))), axis=-1) @ camera.rotation.T
    floor = camera.position + rays * (-camera.position[2] / rays[:, 2])[:, None]
    edge = MODEL.geom_size[0, 0]  # where MuJoCo begins
    periods = (floor[:, 0] * np.cos(angle) + floor[:, 1] * np.sin(angle) + edge) / period % 1
    red = frame[rows, columns, 0] > frame[rows, columns, 2]
    clear = np.abs(periods % 0.5 - 0.25) < 0.2  # between the stripes' edges
    assert (red == (periods < 0.5))[clear].mean() > 0.99
    assert 0.2 < red.mean() < 0.8


def test_a_gradient_behind_everything_runs_down_the_image(show: Callable[..., Frame]) -> None:
    frame = show(replace(EVEN, backdrop=Backdrop(Texture("gradient", (RED, BLUE), 0), 1)))
    column = frame[:, 0].astype(int)
    for row in range(1, SIZE // 2 - 4):
        mix = (row + 0.5) / SIZE
        np.testing.assert_allclose(column[row], (1 - mix) * np.array(shade(RED)) + mix * np.array(shade(BLUE)), atol=3)


@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize("strength", [np.pi, np.pi / 2])
def test_a_lamp_from_above_lights_the_floor_as_blender_does(
    show: Callable[..., Frame], strength: float, effects: bool
) -> None:
    lamp = Light(azimuth=0.0, elevation=np.pi / 2, strength=strength, softness=0.0, color=WHITE)
    frame = show(replace(EVEN, ambient=(0.0, 0.0, 0.0), lights=(lamp,), floor=surface(WHITE)), effects)
    expected = float(to_srgb(np.array(strength / np.pi)))
    np.testing.assert_allclose(at(frame, 0.9, -0.9), shade(WHITE, expected), atol=1)
    assert at(frame, 0.9, 0.9) == shade(GREEN)  # the backdrop shines by itself


def test_a_lamp_lights_the_side_that_it_comes_from(show: Callable[..., Frame]) -> None:
    ball = replace(BALL, up=0.7, material=surface(WHITE))
    for azimuth, brighter in ((0.0, 1), (np.pi, -1)):
        lamp = Light(azimuth, elevation=0.0, strength=np.pi, softness=0.0, color=WHITE)
        frame = show(replace(EVEN, ambient=(0.0, 0.0, 0.0), lights=(lamp,), distractors=(ball,)))
        left, right = (at(frame, across, 0.7)[0] for across in (-0.12, 0.12))
        assert brighter * (right - left) > 100


def test_the_camera_is_held_as_in_the_synthetic_images(stage: Callable[..., Stage]) -> None:
    drawing = stage(Looks(replace(DEFAULT, offset=0.3, tilt=0.15, zoom=(0.7, 1.2)), 0))
    scene = Scene(MODEL, keypoints_of("hopper"), SIZE)
    for env in range(3):
        drawing.frame(env, 2)
        hold = sample_appearance(drawing.looks.config, np.random.default_rng((0, env, 2)), 4).hold
        posed = scene.pose(BENT, "track")
        held = posed.camera.held(hold.offset, from_euler(hold.angles, "xyz"), hold.zoom)
        data, model = drawing.data, drawing.model
        drawn = Camera(data.cam_xpos[0], data.cam_xmat[0].reshape(3, 3), model.cam_fovy[0], SIZE, SIZE)
        np.testing.assert_allclose(drawn.project(posed.keypoints)[0], held.project(posed.keypoints)[0], atol=1e-9)


def test_the_figure_is_drawn_where_the_held_camera_projects_it(show: Callable[..., Frame]) -> None:
    hold = Hold((0.2, -0.1, 0.3), (0.05, -0.1, 0.3), 0.8)
    frame = show(replace(EVEN, hold=hold))
    scene = Scene(MODEL, keypoints_of("hopper"), SIZE)
    posed = scene.pose(BENT, "track")
    held = posed.camera.held(hold.offset, from_euler(hold.angles, "xyz"), hold.zoom)
    middles, _ = held.project(posed.positions[1:])  # of the links, after the floor
    for (column, row), color in zip(middles, LINKS, strict=True):
        assert frame[round(row), round(column)].tolist() == shade(color)


@pytest.mark.parametrize("shape", ["sphere", "box", "cylinder", "cone"])
def test_a_distractor_hides_the_figure_only_in_front_of_it(show: Callable[..., Frame], shape: str) -> None:
    posed = Scene(MODEL, keypoints_of("hopper"), SIZE).pose(BENT, "track")
    column, row = posed.camera.project(posed.positions[2:3])[0][0]  # the thigh
    ball = replace(BALL, shape=shape, size=0.3, across=float(column) * 2 / SIZE - 1, up=1 - float(row) * 2 / SIZE)
    bare = show(EVEN)
    near, far = (show(replace(EVEN, distractors=(replace(ball, depth=depth),))) for depth in (0.8, 1.3))
    links = (bare[..., None, :] == np.array([shade(color) for color in LINKS])).all(axis=-1).any(axis=-1)
    red_near, red_far = ((frame == shade(RED)).all(axis=-1) for frame in (near, far))
    assert (red_near & links).sum() > 20
    assert not (red_far & links).any()
    assert (red_far & ~links).sum() > 50


def test_a_distractor_has_its_place_and_its_size(show: Callable[..., Frame]) -> None:
    frame = show(replace(EVEN, distractors=(replace(BALL, across=-0.5, up=0.4),)))
    rows, columns = np.nonzero((frame == shade(RED)).all(axis=-1))
    scene = Scene(MODEL, keypoints_of("hopper"), SIZE)
    posed = scene.pose(BENT, "track")
    distance = 0.8 * np.linalg.norm(posed.positions[1:].mean(axis=0) - posed.camera.position)
    np.testing.assert_allclose(np.mean(columns) + 0.5, SIZE / 2 * (1 - 0.5), atol=1)
    np.testing.assert_allclose(np.mean(rows) + 0.5, SIZE / 2 * (1 - 0.4), atol=1)
    np.testing.assert_allclose(np.ptp(rows) + 1, 2 * BALL.size / distance * posed.camera.focal, atol=2)


def test_a_distractor_stands_on_the_floor_and_not_in_it(show: Callable[..., Frame], shared: Stage) -> None:
    show(replace(EVEN, distractors=(replace(BALL, up=-1.0, depth=1.8),)))
    np.testing.assert_allclose(shared.scene.geoms[shared.scene.ngeom - 1].pos[2], BALL.size, rtol=1e-6)


@pytest.mark.parametrize(
    ("angle", "first", "second"), [(0.0, (0.1, 0.0), (-0.1, 0.0)), (np.pi / 2, (0.0, 0.1), (0.0, -0.1))]
)
def test_textures_of_small_things_have_their_period_and_direction(
    show: Callable[..., Frame], angle: float, first: tuple[float, float], second: tuple[float, float]
) -> None:
    box = replace(BALL, shape="box", depth=0.5, material=surface(RED, "stripes", period=0.4, angle=angle))
    frame = show(replace(EVEN, distractors=(box,)))
    assert at(frame, *first) == shade(RED)
    assert at(frame, *second) == shade(BLUE)


def test_what_cannot_be_drawn_is_refused(stage: Callable[..., Stage]) -> None:
    with pytest.raises(ValueError, match=r"^lights are up to 8; MuJoCo draws at most 7$"):
        Looks(replace(DEFAULT, lights=(1, 8)), 0)
    with pytest.raises(ValueError, match=r"^floor: shares are {'photo': 0.0}"):
        Looks(replace(DEFAULT, floor={"photo": 1}), 0)
    looks = Looks(DEFAULT, 0)
    with pytest.raises(ValueError, match=r"^3 \+ 1008 textures; MuJoCo draws at most 1000$"):
        looks.furnish(MODEL, 112, HOPPER.xml)
    other = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
    with pytest.raises(ValueError, match=r"hopper\.xml: the model was not compiled from this file: its "):
        looks.furnish(other, 1, HOPPER.xml)
    drawing = stage(looks)
    drawing.frame(0)
    small = mujoco.MjvScene(drawing.model, maxgeom=0)
    with pytest.raises(ValueError, match=r"^the scene has room for 0 geoms; give it 4 more for the looks$"):
        looks.decorate(small, drawing.data, 0, 0)


def test_a_shape_without_a_texture_map_is_refused() -> None:
    model = mujoco.MjModel.from_xml_path(str(HOPPER.xml))
    model.geom_type[1] = mujoco.mjtGeom.mjGEOM_MESH
    with pytest.raises(ValueError, match=r"^geom 'torso_geom': shape mjGEOM_MESH cannot be dressed yet$"):
        Looks(DEFAULT, 0).furnish(model, 1, HOPPER.xml)
