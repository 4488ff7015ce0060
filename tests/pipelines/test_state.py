"""The state pipeline puts nothing between the simulation and the agent."""

import envs
from pipelines import PIPELINES, StatePipeline


def test_the_state_pipeline_is_the_environment_itself() -> None:
    env = envs.make_vec("hopper", 2, num_threads=1)
    assert StatePipeline().wrap(env) is env
    assert PIPELINES["state"]() == StatePipeline()
