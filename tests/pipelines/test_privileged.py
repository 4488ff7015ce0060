"""The physics that a privileged observation shows is that of the simulations."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import envs
from pipelines import PrivilegedPipeline
from pipelines.privileged import Physics
from randomization import RandomizationConfig, make_randomizer

DRAWS = ("thigh_mass * uniform(0.5, 1.5)", "foot_friction = uniform(1, 3)", "gravity + uniform(-1, 1)")
NAMES = ("thigh_mass", "foot_friction", "gravity")


def simulations(num_envs: int = 3, domain: str = "source", drawn: bool = True, **options: Any) -> envs.BatchedEnv:
    randomizer = make_randomizer(RandomizationConfig("uniform", draws=DRAWS), (), 5) if drawn else None
    return envs.make_vec("hopper", num_envs, domain, seed=1, num_threads=1, randomizer=randomizer, **options)


def written(env: envs.BatchedEnv) -> npt.NDArray[np.float64]:
    """The drawn parameters as the simulations' own models have them, relative to the nominal model."""
    nominal = envs.domain_model(env.task, "nominal")
    thigh, foot = nominal.body("thigh").id, nominal.geom("foot_geom").id
    models = [env.batch.get_model(i) for i in range(env.num_envs)]
    rows = [(m.body_mass[thigh], m.geom_friction[foot, 0], -m.opt.gravity[2]) for m in models]
    reference = nominal.body_mass[thigh], nominal.geom_friction[foot, 0], -nominal.opt.gravity[2]
    return np.asarray(np.array(rows) / np.array(reference) - 1)


def test_behind_the_state_stand_the_drawn_values_relative_to_nominal_ones() -> None:
    env = simulations(horizon=3)
    seen = PrivilegedPipeline(parameters=NAMES).wrap(env, "state", 0)
    assert seen.observation_space.shape == (11 + 3,)
    observations: Any = seen.reset()
    episodes = [written(env)]
    for step in range(1, 8):
        np.testing.assert_allclose(observations[:, 11:], written(env), rtol=1e-12)
        np.testing.assert_array_equal(observations[:, :11], env.task.observe(env._state))
        observations, _, dones, infos = seen.step(np.zeros((3, 3)))
        assert dones.all() == (step % 3 == 0)
        if dones.all():
            ended = np.array([info["terminal_observation"] for info in infos])
            np.testing.assert_allclose(ended[:, 11:], episodes[-1], rtol=1e-12)  # not of the one that begins
            episodes.append(written(env))
    assert len(episodes) == 3
    assert np.ptp([draw[0, 0] for draw in episodes]) > 0.01


def test_a_domain_shows_as_a_draw_of_the_same_size_does() -> None:
    """Without randomisation the values are the domain's own, relative to the same reference."""
    shifted = Physics(simulations(1, "nominal, thigh_mass*1.2, gravity+0.5", drawn=False), NAMES)
    np.testing.assert_allclose(shifted(), [[0.2, 0.0, 0.5 / 9.81]], atol=1e-12)
    target = Physics(simulations(2, "target", drawn=False), ["torso_mass"])()
    source = Physics(simulations(2, "source", drawn=False), ["torso_mass"])()
    nominal = envs.physical_parameters(envs.domain_model(envs.task_of("hopper"), "nominal"))["torso_mass"].nominal
    np.testing.assert_allclose((target - source) * nominal, 1.0)  # kg: the gap


def test_what_is_nothing_nominally_shows_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(model: Any) -> dict[str, Any]:
        return {name: replace(each, nominal=0.0) for name, each in envs.physical_parameters(model).items()}

    env = simulations()
    monkeypatch.setattr("pipelines.privileged.physical_parameters", absent)
    shown = Physics(env, ["thigh_mass", "gravity"])
    env.reset()
    np.testing.assert_array_equal(shown(), np.column_stack([env.parameters["thigh_mass"], env.parameters["gravity"]]))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), r"^parameters to show: none; accepted: one or more of torso_mass, torso_inertia"),
        (("thigh_mass", "thumb_mass"), r"^parameters to show: thumb_mass; accepted: one or more of torso_mass"),
    ],
)
def test_unknown_parameters_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PrivilegedPipeline(parameters=names).wrap(simulations(), "state", 0)


def test_an_impossible_latent_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^latent is -1; it must be from 0 to 256$"):
        PrivilegedPipeline(latent=-1)
