"""Simulations from given states: the same physics as the environment's, with other parameters for each."""

from typing import Any

import numpy as np
import pytest

import envs

DRAWN = (("torso_mass", "*"), ("leg_joint_gear", "+"))


def played(domain: str, steps: int = 12) -> tuple[Any, Any]:
    """States ``(steps + 1, 12)`` and actions of one random episode in an environment."""
    env: Any = envs.make_vec("hopper", 1, domain, seed=2, num_threads=1)
    env.reset()
    actions = np.random.default_rng(5).uniform(-1, 1, (steps, 3))
    states = [env.states()[0]]
    for action in actions:
        env.step(action[None])
        states.append(env.states()[0])
    return np.array(states), actions


def test_one_step_from_each_state_is_the_environments_step_in_the_shifted_domain() -> None:
    simulator = envs.make_simulator("hopper", "source", DRAWN)
    operands = np.array([[1.0, 0.0], [1.4, 20.0]])
    for row, domain in enumerate(("source", "source, torso_mass*1.4, leg_joint_gear+20")):
        states, actions = played(domain)
        found = simulator.next_states(operands, states[:-1], actions)
        assert found.shape == (2, 12, 12)
        np.testing.assert_allclose(found[row], states[1:], atol=1e-6)
        assert np.abs(found[1 - row] - states[1:]).max() > 1e-2


def test_trajectories_are_the_environments_own_and_falls_end_nothing() -> None:
    states, actions = played("source")
    simulator = envs.make_simulator("hopper", "source", DRAWN)
    operands = np.array([[1.0, 0.0], [1.4, 0.0]])
    seen: list[Any] = []

    def act(observations: Any, step: int) -> Any:
        seen.append(observations.shape)
        return np.tile(actions[step % 12], (len(observations), 1))

    found = simulator.trajectories(operands, states[[0, 3]], 300, act)
    assert found.shape == (2, 2, 300, 12)
    assert set(seen) == {(4, 11)}
    np.testing.assert_allclose(found[0, 0, :12], states[1:], atol=1e-6)
    assert np.isfinite(found).all()
    assert found[0, 0, -1, 1] < 0.7  # it lies there


def test_threads_change_nothing_and_what_diverges_is_finite() -> None:
    states, actions = played("source")
    states[3, -1] = 1e9
    operands = np.tile([[1.0, 0.0], [0.6, 5.0]], (3, 1))
    one, two = (
        envs.make_simulator("hopper", "source", DRAWN, num_threads=n).next_states(operands, states[:-1], actions)
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert np.isfinite(one).all()


def test_unknown_and_unphysical_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^unknown physical parameter 'torso_mas', did you mean 'torso_mass'\?"):
        envs.make_simulator("hopper", "source", [("torso_mas", "*")])
    simulator = envs.make_simulator("hopper", "source", [("torso_mass", "+")])
    simulator.check(np.array([-2.0]), np.array([1.0]))
    with pytest.raises(ValueError, match=r"^torso_mass = -0\.466 is not physical"):
        simulator.check(np.array([-3.0]), np.array([1.0]))


@pytest.mark.parametrize("domain", ["source, actuator_delay=2", "source, sensor_noise=0.1"])
def test_a_domain_with_what_only_episodes_have_is_refused(domain: str) -> None:
    states, actions = played("source", steps=2)
    simulator = envs.make_simulator("hopper", domain, DRAWN)
    message = rf"^domain '{domain}': .* have no actuator_delay and no sensor_noise; accepted: a domain without them$"
    operands = np.array([[1.0, 0.0]])
    with pytest.raises(ValueError, match=message):
        simulator.next_states(operands, states[:-1], actions)
    with pytest.raises(ValueError, match=message):
        simulator.trajectories(operands, states[:1], 2, lambda *_: actions[:1])


def ants_path(figure: str) -> Any:
    """Observations of 30 steps of an ant that stands, in a trajectory from where an environment begins."""
    env: Any = envs.make_vec(figure, 1, seed=2, num_threads=1)
    env.reset()
    seen: list[Any] = []

    def act(observations: Any, step: int) -> Any:
        seen.append(observations[0])
        return np.zeros((1, 8))

    simulator = envs.make_simulator(figure, "nominal", [("gravity", "+")])
    simulator.trajectories(np.zeros((1, 1)), env.states(), 30, act)
    expected = [np.asarray(env.task.observe(env._state))[0]]
    expected += [env.step(np.zeros((1, 8), np.float32))[0][0] for _ in range(29)]
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    return np.array(seen)


def test_a_policy_that_has_felt_contacts_is_refused_and_a_blind_one_sees_what_it_should() -> None:
    assert ants_path("ant[contact_forces=none]").shape == (30, 27)
    with pytest.raises(ValueError, match=r"^ant observes contact forces, .*; accepted: .* ant\[contact_forces=none\]$"):
        ants_path("ant")
    envs.make_simulator("ant", "nominal", [("gravity", "+")]).check_whole()  # states do not depend on what is observed


def test_the_default_search_is_every_mass() -> None:
    names = [text.split()[0] for text in envs.default_search("hopper")]
    assert names == ["torso_mass", "thigh_mass", "leg_mass", "foot_mass"]
