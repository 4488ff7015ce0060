from typing import Any

import numpy as np

import envs
from pipelines import PosePipeline, StatePipeline


def test_the_state_pipeline_adds_nothing() -> None:
    env = envs.make_vec("hopper", 1, num_threads=1)
    assert StatePipeline().training_sight == StatePipeline().sights[0] == "state"
    assert StatePipeline().wrap(env, "state", 0) is env


def test_its_policies_can_be_judged_on_what_an_estimator_makes_of_the_state() -> None:
    """As one vector, whatever a critic of the pose pipeline would see."""
    seen: list[Any] = [
        pipeline.wrap(envs.make_vec("hopper", 2, num_threads=1), "error-model", 1).reset()
        for pipeline in (StatePipeline(PosePipeline(critic="state")), PosePipeline())
    ]
    np.testing.assert_array_equal(seen[0], seen[1])
