"""What stands between simulation and agent: nothing, the estimator's errors, or the estimator on rendered frames."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from experiments.checkpoints import pack, unpack
from pipelines.pose import SHIPPED, SIGHTS, PosePipeline

ENTRIES = 11


def simulations(num_envs: int = 3, **options: Any) -> envs.BatchedEnv:
    return envs.make_vec("hopper", num_envs, "source", num_threads=1, **options)


def episode(env: Any, steps: int, seed: int = 0) -> list[Any]:
    """Observations, the first one included, under random actions."""
    seen = [env.reset()]
    for actions in np.random.default_rng(seed).uniform(-0.5, 0.5, (steps, 1, 3)).astype(np.float32):
        seen.append(env.step(np.repeat(actions, env.num_envs, axis=0))[0])
    env.close()
    return seen


def test_through_the_state_nothing_changes() -> None:
    wanted = np.array(episode(simulations(), 60))
    np.testing.assert_array_equal(episode(PosePipeline().wrap(simulations(), "state", 0), 60), wanted)
    both = episode(PosePipeline(critic="state").wrap(simulations(), "state", 0), 60)
    for key in ("pose", "state"):
        np.testing.assert_array_equal([seen[key] for seen in both], wanted)


@pytest.mark.parametrize(("camera", "height"), [("rail", 0.02), ("track", 0.1)])
@pytest.mark.parametrize("sight", ["error-model", "estimator"])
def test_what_is_seen_is_near_the_state(sight: str, camera: str, height: float) -> None:
    """Over the first steps, in which it falls: angles within 5 degrees, velocities within what they are used for."""
    env = PosePipeline(camera=camera, critic="state").wrap(simulations(2), sight, 0)
    seen = episode(env, 12)
    errors = np.abs([one["pose"] - one["state"] for one in seen])
    assert errors[..., 0].max() < height
    assert 0 < errors[..., 1:5].max() < np.radians(5)
    assert errors[..., 5:].mean(axis=(0, 1)).max() < 1.0


def test_two_frames_differenced_are_worse() -> None:
    errors = []
    for sight in ("estimator", "two-frame"):
        seen = episode(PosePipeline(critic="state").wrap(simulations(2), sight, 0), 12)
        errors.append(np.mean([np.abs(one["pose"] - one["state"])[:, 5:] for one in seen[2:]]))
    assert errors[1] > 1.5 * errors[0]


def test_errors_depend_on_seed_and_environment_alone() -> None:
    few, many, other = (
        np.array(episode(PosePipeline().wrap(simulations(count), "error-model", seed), 30))
        for count, seed in ((2, 5), (4, 5), (2, 6))
    )
    np.testing.assert_allclose(many[:, :2], few, atol=1e-4)
    assert np.abs(few - other).max() > 0.01


def test_an_episode_begins_with_nothing_remembered() -> None:
    """The first observation after a reset is a fresh estimator's, and actions of the last episode are forgotten."""
    env: Any = PosePipeline(critic="state").wrap(simulations(2, horizon=7), "estimator", 0)
    env.reset()
    for _ in range(7):
        observations, _, dones, infos = env.step(np.full((2, 3), 0.9, np.float32))
    assert dones.all()
    fresh: Any = PosePipeline(critic="state").wrap(simulations(2), "estimator", 0)
    fresh.reset()
    fresh.venv.load_state_dict(env.venv.state_dict())
    fresh._see(observations["state"], np.arange(2))
    np.testing.assert_array_equal(observations["pose"], fresh.pose)
    for i in range(2):
        last = infos[i]["terminal_observation"]
        assert np.abs(last["state"] - observations["state"][i]).max() > 0.05
        assert np.abs(last["pose"] - last["state"])[1:5].max() < 0.1
    env.close()
    fresh.close()


@pytest.mark.parametrize("sight", ["error-model", "estimator"])
def test_it_continues_from_a_checkpoint(sight: str) -> None:
    def act(env: Any, steps: int, rng: np.random.Generator) -> list[Any]:
        return [env.step(rng.uniform(-1, 1, (2, 3)).astype(np.float32))[0] for _ in range(steps)]

    env: Any
    again: Any
    env, again = (PosePipeline().wrap(simulations(2, horizon=9), sight, 3) for _ in range(2))
    env.reset()
    act(env, 13, np.random.default_rng(0))
    tensors: dict[str, Any] = {}
    saved = unpack(json.loads(json.dumps(pack([env.venv.state_dict(), env.state_dict()], tensors))), tensors)
    wanted = act(env, 13, np.random.default_rng(1))
    again.reset()
    again.venv.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    np.testing.assert_array_equal(act(again, 13, np.random.default_rng(1)), wanted)
    env.close()
    again.close()


def test_sights_begin_with_the_one_that_judges() -> None:
    assert PosePipeline().sights[0] == "estimator"
    assert sorted(PosePipeline().sights) == sorted(SIGHTS)
    assert [PosePipeline(training=sight).training_sight for sight in ("estimator", "error-model")] == [
        "estimator",
        "error-model",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": "drone"}, "unknown camera 'drone'; accepted: track, rail"),
        ({"reconstruction": "magic"}, "unknown reconstruction 'magic'; accepted: two_frame, filter, learned"),
        ({"training": "state"}, "unknown training 'state'; accepted: error-model, estimator"),
        ({"critic": "x"}, "unknown critic 'x'; accepted: pose, state"),
        ({"precision": "int8"}, "unknown precision 'int8'; accepted: float32, bfloat16"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}$"):
        PosePipeline(**changes)


def test_an_estimator_that_does_not_serve_is_refused(tmp_path: Path) -> None:
    def wrap(sight: str = "error-model") -> None:
        PosePipeline(estimator=str(tmp_path / "e")).wrap(simulations(1), sight, 0)

    with pytest.raises(ValueError, match=r"e: no estimator is there; accepted: a directory that simgap fit-pose made$"):
        wrap()
    shutil.copytree(SHIPPED / "hopper", tmp_path / "e")
    wrap()
    file = tmp_path / "e" / "provenance.json"
    file.write_text(json.dumps({"figure": "walker2d"}))
    with pytest.raises(ValueError, match=r"e: an estimator of walker2d; accepted: of hopper$"):
        wrap()
    file.write_text(json.dumps({"figure": "hopper"}))
    (tmp_path / "e" / "error-rail.npz").unlink()
    with pytest.raises(ValueError, match=r"error-rail\.npz: not an error model"):
        wrap()
    wrap("estimator")
    (tmp_path / "e" / "learned-rail.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"learned-rail\.safetensors: not a readable safetensors file"):
        wrap("estimator")
    (tmp_path / "e" / "estimator.onnx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"estimator\.onnx: not a readable ONNX file"):
        wrap("estimator")
