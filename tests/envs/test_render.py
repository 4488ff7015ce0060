"""Frames: the batched environment sees what the single one sees, and bad requests are refused."""

from typing import Any

import numpy as np
import pytest

import envs


def test_the_batch_renders_what_the_single_environment_renders() -> None:
    batched = envs.make_vec("hopper", 2, seed=4, num_threads=1)
    singles: list[Any] = [envs.make("hopper", render_mode="rgb_array") for _ in range(2)]
    batched.reset()
    for i, env in enumerate(singles):
        env.reset(seed=4 + i)
    for actions in np.random.default_rng(0).uniform(-1, 1, (8, 2, 3)).astype(np.float32):
        batched.step(actions)
        for env, action in zip(singles, actions, strict=True):
            env.step(action)
    images: Any = batched.get_images()
    for image, env in zip(images, singles, strict=True):
        np.testing.assert_array_equal(image, env.render())
        env.close()
    assert (images[0] != images[1]).any()
    batched.close()


def test_rendering_the_batch_changes_no_result() -> None:
    seen = []
    for rendered in (True, False):
        env: Any = envs.make_vec("hopper", 2, horizon=5, num_threads=1)
        env.reset()
        path = []
        for actions in np.random.default_rng(0).uniform(-1, 1, (8, 2, 3)).astype(np.float32):
            path.append(env.step(actions)[0])
            if rendered:
                env.get_images()
        env.close()
        seen.append(path)
    np.testing.assert_array_equal(seen[0], seen[1])


def test_an_unknown_camera_is_refused() -> None:
    batched = envs.make_vec("hopper", 1, num_threads=1, camera="drone")
    single = envs.make("hopper", render_mode="rgb_array", camera="drone")
    batched.reset()
    single.reset(seed=0)
    for frame in (batched.get_images, single.render):
        with pytest.raises(ValueError, match=r"^unknown camera 'drone'; accepted: track"):
            frame()
