"""Late motors and noisy sensors: known answers, both environments alike, cleared at a reset, kept in a checkpoint."""

import json
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs
from envs.domains import parse_domain

DISTURBED = "target, actuator_delay=2, sensor_noise=0.01"


def make(num_envs: int, domain: str, **options: Any) -> Any:
    return envs.make_vec("hopper", num_envs, domain, num_threads=1, **options)


def random_actions(steps: int, num_envs: int = 3) -> Any:
    return np.random.default_rng(2).uniform(-1, 1, (steps, num_envs, 3)).astype(np.float32)


def test_a_delay_of_two_steps_is_the_same_commands_two_steps_later_and_nothing_before() -> None:
    actions = random_actions(6)
    late, shifted = make(3, "source, actuator_delay=2"), make(3, "source")
    late.reset()
    shifted.reset()
    for step in range(6):
        ours = late.step(actions[step])
        theirs = shifted.step(actions[step - 2] if step >= 2 else np.zeros_like(actions[0]))
        np.testing.assert_array_equal(ours[0], theirs[0])


def test_the_reward_counts_what_is_commanded_not_what_arrives() -> None:
    late = make(1, "source, actuator_delay=3")
    late.reset()
    late.step(np.ones((1, 3), np.float32))
    np.testing.assert_allclose(late.terms["reward_ctrl"], -3e-3)


def test_noise_has_the_deviation_asked_for_and_leaves_physics_reward_and_end_alone() -> None:
    noisy, clean = make(64, "source, sensor_noise=0.02", horizon=20), make(64, "source", horizon=20)
    differences = [noisy.reset() - clean.reset()]
    for action in random_actions(30, 64):
        ours, theirs = noisy.step(action), clean.step(action)
        np.testing.assert_array_equal(ours[1], theirs[1])
        np.testing.assert_array_equal(ours[2], theirs[2])
        differences.append(ours[0] - theirs[0])
    np.testing.assert_array_equal(noisy.states(), clean.states())
    noise = np.array(differences)
    assert noise.std() == pytest.approx(0.02, rel=0.02)
    assert abs(noise.mean()) < 0.001
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.03


def test_noise_depends_on_the_seed_and_the_episode_and_not_on_the_number_of_environments() -> None:
    few, many, other = (make(n, "source, sensor_noise=0.1", seed=s) for n, s in ((2, 5), (4, 5), (2, 9)))
    clean = make(2, "source", seed=5)
    first = few.reset()
    np.testing.assert_array_equal(first, many.reset()[:2])
    assert (first != other.reset()).all()
    noise = first - clean.reset()
    again = few.reset() - clean.reset()  # the second episode
    assert (np.abs(noise - again) > 1e-6).all()


def test_the_single_environment_is_bit_equal_over_several_episodes() -> None:
    batch = make(1, DISTURBED, horizon=25, seed=11)
    single = gymnasium.make("simgap/Hopper-v0", domain=DISTURBED, horizon=25)
    seen, (ours, _) = batch.reset(), single.reset(seed=11)
    np.testing.assert_array_equal(seen[0], ours)
    ends = 0
    for action in random_actions(120, 1):
        seen, rewards, dones, infos = batch.step(action)
        ours, reward, terminated, truncated, _ = single.step(action[0])
        assert rewards[0] == reward
        assert dones[0] == (terminated or truncated)
        if dones[0]:
            ends += 1
            np.testing.assert_array_equal(infos[0]["terminal_observation"], ours)
            ours, _ = single.reset()
        np.testing.assert_array_equal(seen[0], ours)
    assert ends >= 3


def test_nothing_of_an_episode_reaches_the_motors_of_the_next() -> None:
    late = make(1, "source, actuator_delay=2", horizon=2)
    late.reset()
    for _ in range(2):
        late.step(np.ones((1, 3), np.float32))
    still = make(1, "source", horizon=9)
    still.load_state_dict({**still.state_dict(), "physics": late.state_dict()["physics"]})
    np.testing.assert_array_equal(
        late.step(np.ones((1, 3), np.float32))[0], still.step(np.zeros((1, 3), np.float32))[0]
    )


def test_a_saved_state_continues_as_if_never_interrupted() -> None:
    actions = random_actions(60)
    env = make(3, DISTURBED, horizon=20, seed=3)
    env.reset()
    for action in actions[:17]:
        env.step(action)
    saved = env.state_dict()
    saved["disturbances"]["rngs"] = json.loads(json.dumps(saved["disturbances"]["rngs"]))
    fresh = make(3, DISTURBED, horizon=20, seed=8)
    fresh.reset()
    fresh.load_state_dict(saved)
    for action in actions[17:]:
        np.testing.assert_array_equal(env.step(action)[0], fresh.step(action)[0])


def test_a_domain_reads_its_disturbances() -> None:
    domain = parse_domain(DISTURBED, envs.task_of("hopper"))
    assert (domain.actuator_delay, domain.sensor_noise) == (2, 0.01)
    assert domain.shifts == parse_domain("target", envs.task_of("hopper")).shifts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "source, actuator_delay=1.5",
            r"cannot read 'actuator_delay=1.5'; accepted: actuator_delay= and a whole number",
        ),
        ("source, actuator_delay*2", r"cannot read 'actuator_delay\*2'; accepted: actuator_delay= and a whole number"),
        ("actuator_delay=-1", r"actuator_delay must be from 0 to 1000 steps"),
        ("actuator_delay=5000", r"actuator_delay must be from 0 to 1000 steps"),
        ("sensor_noise+0.1", r"cannot read 'sensor_noise\+0.1'; accepted: sensor_noise= and a standard deviation"),
        ("sensor_noise=-0.1", r"sensor_noise must be 0 or more"),
    ],
)
def test_impossible_disturbances_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^domain '.*': {message}"):
        make(1, text)
