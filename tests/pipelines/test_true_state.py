"""What helps in training alone sees the true state, also where sensors are noisy."""

from typing import Any

import numpy as np
import pytest

from pipelines import HistoryPipeline, PixelsPipeline, PosePipeline
from tests.pipelines.test_privileged import NAMES, simulations

PIPELINES: dict[str, tuple[Any, str]] = {
    "pixels": (PixelsPipeline(size=40), "pixels"),
    "pose": (PosePipeline(critic="state"), "error-model"),
    "pose through the state": (PosePipeline(critic="state"), "state"),
    "history": (HistoryPipeline(length=1, critic="parameters", parameters=NAMES), "state"),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_the_state_beside_the_actors_observation_has_no_noise(name: str) -> None:
    pipeline, sight = PIPELINES[name]
    noisy, exact = (
        pipeline.wrap(simulations(2, domain, horizon=4), sight, 0) for domain in ("source, sensor_noise=0.1", "source")
    )
    seen, wanted = noisy.reset(), exact.reset()
    for step in range(9):
        np.testing.assert_array_equal(seen["state"], wanted["state"])
        np.testing.assert_array_equal(seen["state"][:, :11], noisy.venv.true)
        actions = np.full((2, 3), 0.1 * step, np.float32)
        (seen, _, dones, infos), (wanted, _, _, others) = noisy.step(actions), exact.step(actions)
        if dones.all():
            for info, other in zip(infos, others, strict=True):
                last, true = info["terminal_observation"], other["terminal_observation"]
                np.testing.assert_array_equal(last["state"], true["state"])
    noisy.close()
    exact.close()


@pytest.mark.parametrize("name", ["pose through the state", "history"])
def test_the_actors_own_observation_is_noisy(name: str) -> None:
    pipeline, sight = PIPELINES[name]
    env = pipeline.wrap(simulations(500, "source, sensor_noise=0.1", horizon=4), sight, 0)
    key = next(key for key in env.observation_space.spaces if key != "state")
    observations = env.reset()
    for _ in range(4):
        noise = observations[key][:, :11] - observations["state"][:, :11]
        assert noise.std() == pytest.approx(0.1, rel=0.05)
        observations, _, _, infos = env.step(np.zeros((500, 3), np.float32))
    ends = [info["terminal_observation"] for info in infos]
    assert np.std([end[key][:11] - end["state"][:11] for end in ends]) == pytest.approx(0.1, rel=0.05)
    env.close()
