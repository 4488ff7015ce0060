from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from agents import normalize
from agents.cem import CEM, sample
from experiments.checkpoints import load_section
from experiments.config import RunConfig
from experiments.evaluate import load_trained, play_domain
from experiments.individuals import Individuals, play, sampled, together, trained
from experiments.run import Run, create_run
from experiments.train import train

Array = npt.NDArray[Any]
Tiny = Callable[..., RunConfig]
STATES = np.random.default_rng(0).normal(size=(4, 7, 11))


@pytest.fixture(scope="module")
def cem_run(tmp_path_factory: pytest.TempPathFactory, tiny: Tiny) -> Run:
    return train(tiny("cem", steps=128), tmp_path_factory.mktemp("cem"), num_threads=1)


def test_a_trained_policy_acts_on_raw_states(ppo_run: Run) -> None:
    policy = load_trained(ppo_run, "source", num_envs=1, num_threads=1)
    expected, _ = policy.agent.predict(policy.env.normalize_obs(STATES[0]), deterministic=True)  # type: ignore[attr-defined]
    individual = trained(ppo_run)
    assert individual.names == (ppo_run.name,)
    np.testing.assert_array_equal(individual.act(STATES[:1]), expected[None])


def test_samples_are_of_the_runs_own_search_distribution(cem_run: Run) -> None:
    """One by one, each through a policy of its own and with the run's normaliser."""
    individuals = sampled(cem_run, 4, seed=5)
    found = individuals.act(STATES)
    policy = load_trained(cem_run, "source", num_envs=1, num_threads=1)
    assert isinstance(policy.agent, CEM)
    network = policy.agent.policy
    variance = load_section(cem_run.latest_checkpoint(), "training")["agent"]["attributes"]["variance"]
    torch.manual_seed(5)
    drawn = sample(parameters_to_vector(network.parameters()).detach(), variance, 4)
    for parameters, states, actions in zip(drawn, STATES, found, strict=True):
        vector_to_parameters(parameters, network.parameters())
        expected, _ = policy.agent.predict(policy.env.normalize_obs(states), deterministic=True)  # type: ignore[attr-defined]
        np.testing.assert_allclose(actions, expected, atol=1e-6)
    assert np.ptp(found - found[:1], axis=(0, 1)).min() > 0.01  # they differ
    assert individuals.names == tuple(f"{cem_run.name}#{number}" for number in range(4))
    np.testing.assert_array_equal(sampled(cem_run, 4, seed=5).act(STATES), found)
    assert (sampled(cem_run, 4, seed=6).act(STATES) != found).any()


def test_together_each_has_its_own_states(cem_run: Run, ppo_run: Run) -> None:
    groups = [sampled(cem_run, 2, seed=1), trained(ppo_run), sampled(cem_run, 1, seed=2)]
    all_of_them = together(groups)
    expected = [group.act(part) for group, part in zip(groups, np.split(STATES, [2, 3]), strict=True)]
    np.testing.assert_array_equal(all_of_them.act(STATES), np.concatenate(expected))
    assert all_of_them.names == tuple(name for group in groups for name in group.names)


def test_playing_earns_what_evaluation_says(ppo_run: Run) -> None:
    """Three episodes of one individual, from the starts that an evaluation has."""
    rows = play_domain(ppo_run, "source", 3, 1)
    played = play(trained(ppo_run), ppo_run.config.make_env(3, 1, "source"))
    np.testing.assert_allclose(played.returns, [[row["return"] for row in rows]])
    np.testing.assert_array_equal(played.lengths, [[row["length"] for row in rows]])
    assert np.isnan(played.predicted).all()


def test_predictions_are_summed_over_the_same_steps_as_rewards(cem_run: Run) -> None:
    seen = []

    def predict(observations: Array, actions: Array) -> Array:
        seen.append((observations.copy(), actions.copy()))
        return np.asarray(observations[:, 0] + 10 * actions[:, 0])

    individuals = sampled(cem_run, 2, seed=0)
    played = play(individuals, cem_run.config.make_env(6, 1, "source"), predict)
    assert played.returns.shape == played.lengths.shape == played.predicted.shape == (2, 3)
    for place in range(6):
        individual, episode = divmod(place, 3)  # the first individual has the first three simulations
        steps = int(played.lengths[individual, episode])
        expected = sum(predicted[0][place, 0] + 10 * predicted[1][place, 0] for predicted in seen[:steps])
        assert played.predicted[individual, episode] == pytest.approx(expected, rel=1e-6)
    assert len(played.rewards) == len(played.guesses) == played.lengths.sum()
    assert played.rewards.sum() == pytest.approx(played.returns.sum())
    assert played.guesses.sum() == pytest.approx(played.predicted.sum())
    np.testing.assert_array_equal(seen[0][1].reshape(2, 3, 3), individuals.act(seen[0][0].reshape(2, 3, 11)))


def test_an_individual_that_fell_earns_no_more() -> None:
    class Falls:
        """Two simulations that earn 1 a step; the second falls after its third step, the first after its fifth."""

        def reset(self) -> Array:
            self.steps = 0
            return np.zeros((2, 1))

        def step(self, actions: Array) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
            self.steps += 1
            return np.zeros((2, 1)), np.ones(2), np.array([self.steps == 5, self.steps == 3]), [{}, {}]

    played = play(Individuals(("a", "b"), lambda states: states), Falls(), lambda states, actions: np.full(2, 0.5))
    assert played.returns.tolist() == played.lengths.tolist() == [[5], [3]]
    assert played.predicted.tolist() == [[2.5], [1.5]]


def test_what_cannot_be_ranked_is_refused(ppo_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"seed-000: a run of agent ppo; accepted: of agent cem$"):
        sampled(ppo_run, 3, seed=0)
    with pytest.raises(ValueError, match=r"no checkpoint yet; train it first with simgap train$"):
        sampled(create_run(tiny("cem"), tmp_path), 3, seed=0)
    pixels = Run(replace(ppo_run.config, pipeline="pixels"), ppo_run.directory)
    with pytest.raises(ValueError, match=r"seed-000: a policy on pixels; accepted: on state$"):
        trained(pixels)
    memory = Run(tiny("recurrent_ppo"), ppo_run.directory)
    with pytest.raises(ValueError, match=r"seed-000: recurrent_ppo remembers what it saw; accepted: agents without"):
        trained(memory)


def test_a_damaged_search_distribution_is_named(cem_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(checkpoint: Path, section: str) -> object:
        found = load_section(checkpoint, section)
        if section == "training":
            found["agent"]["attributes"]["variance"] = torch.ones(3)
        return found

    monkeypatch.setattr("experiments.individuals.load_section", load)
    with pytest.raises(ValueError, match=r"000000000128: no search distribution of this policy \(") as caught:
        sampled(cem_run, 3, seed=0)
    assert "\n" not in str(caught.value)


def test_an_individual_sees_normalised_states_only_if_its_run_does(tiny: Tiny, tmp_path: Path) -> None:
    hyperparameters = {"episode_steps": 8, "normalize_observation": False, "policy_kwargs": {"net_arch": [8]}}
    run = train(tiny(steps=64, agent={"name": "cem", "hyperparameters": hyperparameters}), tmp_path, num_threads=1)
    simulation = run.config.make_env(1, 1)
    assert normalize(run.config.agent, simulation, training=False) is simulation
    policy = load_trained(run, "source", num_envs=1, num_threads=1)
    expected, _ = policy.agent.predict(STATES[0], deterministic=True)
    np.testing.assert_array_equal(trained(run).act(STATES[:1])[0], expected)
