import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest

import envs
from envs.domains import domain_model
from experiments.dataset import POLICIES
from experiments.harvest import EPISODES, EVERY, FALL_STEPS, STEPS, Array, harvest
from experiments.plain import to_yaml
from experiments.run import Run

POOR = POLICIES / "hopper" / "poor"


@pytest.fixture(scope="module")
def poor() -> tuple[Array, Array]:
    return harvest("hopper", [POOR], seed=0)


def test_a_poor_policy_visits_states_and_falls(poor: tuple[Array, Array]) -> None:
    visited, falls = poor
    model = domain_model(envs.task_of("hopper"), "source")
    assert visited.shape[1] == falls.shape[1] == model.nq + model.nv
    # Its 16 episodes begin upright and fail, and each failure is followed to the ground.
    assert np.all(visited[:, 1] > 0.7)
    assert EPISODES < len(visited) <= EPISODES * STEPS / EVERY
    assert falls.shape[0] == EPISODES * FALL_STEPS / EVERY
    assert np.all(falls.reshape(EPISODES, -1, falls.shape[1])[:, -1, 1] < 0.5)


def test_states_depend_on_the_seed_alone(poor: tuple[Array, Array]) -> None:
    for before, after in zip(poor, harvest("hopper", [POOR], seed=0), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(poor[0][0], harvest("hopper", [POOR], seed=1)[0][0])


def test_a_fall_obeys_the_simulator(poor: tuple[Array, Array]) -> None:
    """Nobody acts: each kept state follows from the one before."""
    falls = poor[1]
    model = domain_model(envs.task_of("hopper"), "source")
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = falls[0, : model.nq], falls[0, model.nq :]
    mujoco.mj_step(model, data, EVERY * 4)
    np.testing.assert_allclose(np.concatenate((data.qpos, data.qvel)), falls[1], atol=1e-3)


def test_the_policies_that_ship_are_of_different_skill() -> None:
    visited, falls = harvest("hopper", [POLICIES / "hopper"], seed=0)
    assert len(falls) > 100
    assert visited[:, 0].max() > 5  # m: a good one gets far


def test_a_policy_of_another_figure_is_refused(own_run: Run) -> None:
    text = to_yaml(own_run.config).replace("figure: hopper", "figure: unicorn")
    (own_run.directory / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match="unknown figure 'unicorn'"):
        harvest("hopper", [own_run.directory], seed=0)
    (own_run.directory / "config.yaml").write_text(text.replace("figure: unicorn", "figure: walker2d"))
    with pytest.raises(ValueError, match=r"seed-000: a policy of walker2d; accepted: of hopper$"):
        harvest("hopper", [own_run.directory], seed=0)


def test_policies_that_never_fall_are_refused(tmp_path: Path) -> None:
    shutil.copytree(POLICIES / "hopper" / "good", tmp_path / "good")
    with pytest.raises(ValueError, match="none of the policies ever fell; add a worse one, or give falls no share"):
        harvest("hopper", [tmp_path / "good"], seed=0)
