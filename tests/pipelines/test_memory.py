from dataclasses import replace

import pytest

import envs
from experiments.config import RunConfig
from pipelines import PIPELINES, memory_of
from randomization import RandomizationConfig, make_randomizer


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_wrapper_with_a_state_of_its_own_is_asked_for_it(pipeline: str) -> None:
    """A simulation's state is saved for itself, though every wrapper passes it on."""
    draws = RandomizationConfig("uniform", draws=("foot_mass * uniform(0.9, 1.1)",))
    config = replace(RunConfig(), pipeline=pipeline, randomization=draws)
    config = config.resolved() if pipeline == "privileged" else config
    simulation = envs.make_vec("hopper", 2, num_threads=1, randomizer=make_randomizer(draws, (), 0))
    view = config.observe(simulation)
    found: object = memory_of(view)
    assert found is (view if pipeline in ("pixels", "pose", "history") else None)
    view.close()
