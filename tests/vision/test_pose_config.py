"""What a keypoint estimator's configuration refuses."""

from typing import Any

import pytest

from vision.pose_config import FitConfig


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "resnet"}, "unknown model 'resnet'; accepted: hrnet, scnet50, rtmpose-t"),
        ({"input_size": 100}, "input_size is 100; it must be a multiple of 32 from 64 to 1024"),
        ({"input_size": 32}, "input_size is 32"),
        ({"model": "scnet50", "input_size": 96}, "input_size is 96; of scnet50 it must be 128 or more"),
        ({"epochs": 0}, "epochs is 0; it must be 1 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"schedule": "exponential"}, "unknown schedule 'exponential'; accepted: one-cycle, steps"),
        ({"rotation": 200.0}, "rotation is 200.0; it must be from 0 to 180"),
        ({"scale": 1.0}, "scale is 1.0"),
        ({"shift": -0.1}, "shift is -0.1"),
        ({"device": "tpu"}, "unknown device 'tpu'; accepted: cpu, cuda"),
    ],
)
def test_the_impossible_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FitConfig(**changes)
