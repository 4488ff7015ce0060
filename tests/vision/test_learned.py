import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from envs.hopper import Hopper
from envs.render import Camera as Mount
from envs.task import load_model
from vision.camera import Array, Camera
from vision.keypoints import keypoints_of
from vision.learned import FEATURES, Facts, Learned, Network, load_network, read, reference, save_network
from vision.reconstruct import View

DT = 0.008
VIEWS = {"track": View(224, 224, None), "rail": View(224, 224, 1.0)}
MODEL = load_model(Hopper())
cameras = pytest.mark.parametrize("camera", VIEWS)


def network(hidden: int = 8) -> Network:
    """With random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(hidden)


def facts(camera: str = "rail") -> Facts:
    return Facts("hopper", camera, VIEWS[camera], DT, 8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rail.safetensors"
    path.write_bytes(save_network(network(), facts()))
    return path


def pixels(qpos: Array, camera: str) -> Array:
    """Keypoints ``(n, 5, 2)`` in poses ``(n, 6)`` as MuJoCo's camera sees them."""
    mount, data, found = Mount(MODEL, camera), mujoco.MjData(MODEL), []
    bodies = [MODEL.body(i).name for i in range(MODEL.nbody)]
    for pose in qpos:
        data.qpos[:] = pose
        mujoco.mj_forward(MODEL, data)
        mount.place(data)
        rotation = data.cam_xmat[mount.id].reshape(3, 3)
        seen = Camera(data.cam_xpos[mount.id], rotation, np.array(MODEL.cam_fovy[mount.id]), 224, 224)
        found.append(seen.project(keypoints_of("hopper").locate(bodies, data.xpos, data.xmat))[0])
    return np.array(found)


def frames(steps: int, count: int) -> tuple[Array, ...]:
    """Keypoints, confidences and actions that mean nothing."""
    rng = np.random.default_rng(0)
    keypoints = 112 + 30 * rng.standard_normal((steps, count, 5, 2))
    return keypoints, rng.uniform(0.5, 1, (steps, count, 5)), rng.uniform(-1, 1, (steps, count, 3))


def follow(estimator: Learned, seen: tuple[Array, ...]) -> Array:
    return np.array([estimator.update(*frame) for frame in zip(*seen, strict=True)])


@cameras
def test_the_reference_pose_is_the_simulators(camera: str) -> None:
    seen = VIEWS[camera].metres(pixels(MODEL.qpos0[None], camera))[0]
    np.testing.assert_allclose(seen, reference(VIEWS[camera]), atol=1e-9)


@cameras
def test_a_frame_is_read_exactly(camera: str) -> None:
    rng = np.random.default_rng(0)
    qpos = np.concatenate((rng.uniform([-9, 1], [9, 1.4], (50, 2)), rng.uniform(-3.1, 3.1, (50, 4))), axis=1)
    points = VIEWS[camera].metres(pixels(qpos, camera))
    features, reading = read(VIEWS[camera], points, points, np.ones((50, 5)), np.zeros((50, 3)), DT)
    assert features.shape == (50, FEATURES)
    np.testing.assert_allclose((reading[:, 1:5] - qpos[:, 2:] + np.pi) % (2 * np.pi), np.pi, atol=1e-9)
    np.testing.assert_array_equal(reading[:, 5:], 0)
    if camera == "rail":
        np.testing.assert_allclose(reading[:, 0], qpos[:, 1], rtol=0, atol=1e-9)


def test_changes_are_rates() -> None:
    qpos = np.array([[0, 1.25, 0, 0, 0, 0], [0, 1.25, 0.004, -0.008, -0.012, 0.016]])
    points = VIEWS["rail"].metres(pixels(qpos, "rail"))
    features, _ = read(VIEWS["rail"], points[:1], points[1:], np.full((1, 5), 0.5), np.array([[0.1, 0.2, 0.3]]), DT)
    np.testing.assert_allclose(features[0, 22:32], ((points[1] - points[0]) / DT).ravel())
    # Of the links, about +y: each joint turns what hangs on it about −y.
    np.testing.assert_allclose(features[0, 32:36], [0.5, 1.5, 3, 1], atol=1e-9)
    np.testing.assert_array_equal(features[0, 36:], [*[0.5] * 5, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("way", ["confidence 0", "NaN", "infinite", "far outside"])
def test_keypoints_that_are_not_seen_stay_where_they_were(file: Path, way: str) -> None:
    estimator = Learned(file, VIEWS["rail"], 1)
    seen = frames(2, 1)
    first = estimator.update(*(part[0] for part in seen))
    seen[1][1, :, 2] = way != "confidence 0"
    seen[0][1, :, 2] = {"confidence 0": 50.0, "NaN": np.nan, "infinite": -np.inf, "far outside": 1e300}[way]
    state = estimator.state()
    assert np.isfinite(estimator.update(*(part[1] for part in seen))).all()
    after = estimator.state()
    np.testing.assert_array_equal(after["last"][0, 2], state["last"][0, 2])
    np.testing.assert_array_equal(
        np.delete(after["last"][0], 2, 0), np.delete(VIEWS["rail"].metres(seen[0][1, 0]), 2, 0)
    )
    assert np.isfinite(first).all()


def test_a_state_continues_bit_for_bit(file: Path) -> None:
    seen = frames(30, 2)
    estimator, other = Learned(file, VIEWS["rail"], 2), Learned(file, VIEWS["rail"], 2)
    follow(estimator, tuple(part[:10] for part in seen))
    state = estimator.state()
    whole = follow(estimator, tuple(part[10:] for part in seen))
    other.restore(state)
    np.testing.assert_array_equal(follow(other, tuple(part[10:] for part in seen)), whole)
    with pytest.raises(ValueError, match=r"^the estimator's state has .*float64.*; accepted: .*float32 \(2, 8\)"):
        other.restore({**state, "memory": state["memory"].astype(float)})


def test_a_network_that_corrects_nothing_gives_the_reading(tmp_path: Path) -> None:
    idle = network()
    idle.spread.zero_()
    (tmp_path / "idle").write_bytes(save_network(idle, facts()))
    qpos = np.array([[0.3, 1.3, 0.1, -0.5, -1.0, 0.4]])
    estimator = Learned(tmp_path / "idle", VIEWS["rail"], 1)
    found = estimator.update(pixels(qpos, "rail"), np.ones((1, 5)), np.zeros((1, 3)))
    np.testing.assert_allclose(found, [[*qpos[0, 1:], *[0] * 6]], rtol=0, atol=1e-9)


def test_one_frame_at_a_time_is_the_sequence(file: Path) -> None:
    """As trained: memory is cleared before the frames that are the first of an episode."""
    seen = frames(20, 3)
    estimator = Learned(file, VIEWS["rail"], 3)
    first = follow(estimator, tuple(part[:12] for part in seen))
    estimator.reset([1])
    found = np.concatenate((first, follow(estimator, tuple(part[12:] for part in seen))))
    points = VIEWS["rail"].metres(seen[0])
    last = np.concatenate((np.tile(reference(VIEWS["rail"]), (1, 3, 1, 1)), points[:-1]))
    last[12, 1] = reference(VIEWS["rail"])
    before, now, weights, actions = (part.reshape(60, *part.shape[2:]) for part in (last, points, *seen[1:]))
    features, reading = (part.reshape(20, 3, -1) for part in read(VIEWS["rail"], before, now, weights, actions, DT))
    keep = torch.ones(20, 3)
    keep[12, 1] = 0
    inputs = torch.as_tensor(features, dtype=torch.float32)
    corrections, _ = load_network(file)[0](inputs, torch.zeros(3, 8), keep)
    error = found - reading - corrections.detach().numpy()
    error[..., 1:5] = (error[..., 1:5] + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(error, 0, atol=1e-5)


def test_rows_do_not_depend_on_one_another(file: Path) -> None:
    seen = frames(30, 4)
    together = follow(Learned(file, VIEWS["rail"], 4), seen)
    for i in range(4):
        alone = follow(Learned(file, VIEWS["rail"], 1), tuple(part[:, i : i + 1] for part in seen))
        np.testing.assert_allclose(alone[:, 0], together[:, i], atol=1e-5)


def test_a_reset_is_a_fresh_start_of_that_environment_alone(file: Path) -> None:
    seen = frames(40, 4)
    late = tuple(part[20:] for part in seen)
    undisturbed = follow(Learned(file, VIEWS["rail"], 4), seen)
    estimator = Learned(file, VIEWS["rail"], 4)
    follow(estimator, tuple(part[:20] for part in seen))
    estimator.reset(np.array([1, 3]))
    estimator.reset([])
    after = follow(estimator, late)
    np.testing.assert_array_equal(after[:, [0, 2]], undisturbed[20:, [0, 2]])
    np.testing.assert_array_equal(after[:, [1, 3]], follow(Learned(file, VIEWS["rail"], 4), late)[:, [1, 3]])


def test_estimates_stay_within_the_observations_bounds(tmp_path: Path) -> None:
    loud = network()
    loud.spread.mul_(1e4)
    (tmp_path / "loud").write_bytes(save_network(loud, facts()))
    seen = frames(20, 2)
    seen[0][3, :, :2] = np.nan
    found = follow(Learned(tmp_path / "loud", VIEWS["rail"], 2), seen)
    assert np.abs(found[..., 1:5]).max() <= np.pi
    assert np.abs(found[..., 5:]).max() == 10


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 4, 2), (2, 5), (2, 3)), r"^keypoints have the shape \(2, 4, 2\); accepted: \(2, 5, 2\)$"),
        (((2, 5, 2), (2, 4), (2, 3)), r"^confidences have the shape \(2, 4\); accepted: \(2, 5\)$"),
        (((2, 5, 2), (2, 5), (1, 3)), r"^actions have the shape \(1, 3\); accepted: \(2, 3\)$"),
    ],
)
def test_frames_of_another_shape_are_refused(file: Path, shapes: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Learned(file, VIEWS["rail"], 2).update(*(np.zeros(shape) for shape in shapes))


@pytest.mark.parametrize(
    ("confidence", "action", "message"),
    [
        (np.nan, 0.0, r"^a confidence is nan; accepted"),
        (-0.5, 0.0, r"^a confidence is -0\.5; accepted"),
        (1.0, np.inf, r"^an action is inf; accepted"),
    ],
)
def test_numbers_that_are_none_are_refused(file: Path, confidence: float, action: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Learned(file, VIEWS["rail"], 1).update(
            np.zeros((1, 5, 2)), np.full((1, 5), confidence), np.full((1, 3), action)
        )


@pytest.mark.parametrize("ids", [[2], [-1], [0.0], [True, False]])
def test_a_reset_of_what_is_no_environment_is_refused(file: Path, ids: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^ids are \[.*\]; accepted: numbers of environments from 0 to 1$"):
        Learned(file, VIEWS["rail"], 2).reset(ids)


def test_files_come_back_as_they_were(file: Path) -> None:
    loaded, found = load_network(file)
    assert found == facts()
    for name, tensor in network().state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)


def test_an_estimator_for_something_else_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match=r"trained for view View\(.*elevation=1.0.*\); accepted: View\(.*n=None.*\)$"):
        Learned(file, VIEWS["track"], 1)
    with pytest.raises(ValueError, match=r"trained for view .*; accepted: View\(.*fovy=50"):
        Learned(file, replace(VIEWS["rail"], fovy=50.0), 1)
    with pytest.raises(ValueError, match=r"rail\.safetensors: trained for dt 0\.008; accepted: 0\.01$"):
        Learned(file, VIEWS["rail"], 1, 0.01)
    with pytest.raises(ValueError, match=r"^num_envs is 0 and dt 0\.008; accepted: 1 or more, and above 0 s$"):
        Learned(file, VIEWS["rail"], 0)
    file.write_bytes(save_network(network(), replace(facts(), figure="walker")))
    with pytest.raises(ValueError, match=r"rail\.safetensors: trained for figure walker; accepted: hopper$"):
        Learned(file, VIEWS["rail"], 1)


def rewritten(change: Callable[[dict[str, torch.Tensor], dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """A file whose tensors, or what it says about itself, were changed."""

    def damage(content: bytes) -> bytes:
        tensors = safetensors.torch.load(content)
        size = int.from_bytes(content[:8], "little")
        about = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["estimator"])
        change(tensors, about)
        return safetensors.torch.save(tensors, {"estimator": json.dumps(about)})

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-100], "not a readable safetensors file"),
        (lambda content: b"", "not a readable safetensors file"),
        (
            lambda content: content[:-1] + bytes([content[-1] ^ 1]),
            r"not a whole state estimator \(its checksum differs",
        ),
        (lambda content: safetensors.torch.save(safetensors.torch.load(content)), "format None; accepted: simgap-st"),
        (lambda content: safetensors.torch.save({}, {"estimator": "[]"}), "not a whole state estimator"),
        (rewritten(lambda _, about: about.clear()), "format None; accepted: simgap-state-estimator-1"),
        (rewritten(lambda _, about: about.pop("sha256")), "not a whole state estimator"),
        (rewritten(lambda _, about: about.update(facts={})), "not a whole state estimator"),
        (rewritten(lambda _, about: about.update(facts=[])), "not a whole state estimator"),
        (rewritten(lambda tensors, _: tensors.pop("mean")), "not a whole state estimator"),
    ],
)
def test_damaged_files_are_refused(file: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=rf"rail\.safetensors: .*{message}") as error:
        Learned(file, VIEWS["rail"], 1)
    assert "\n" not in str(error.value)


def test_a_network_of_another_size_is_refused(file: Path) -> None:
    file.write_bytes(save_network(network(4), facts()))
    with pytest.raises(ValueError, match=r"^.*rail\.safetensors: not a whole state estimator \(.*\)$"):
        Learned(file, VIEWS["rail"], 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.safetensors: not a readable safetensors file"):
        Learned(tmp_path / "none.safetensors", VIEWS["rail"], 1)
