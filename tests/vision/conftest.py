"""A hopping policy's states, and their keypoints as MuJoCo's own cameras see them."""

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest

from envs.hopper import Hopper
from envs.render import Camera as Mount
from envs.task import load_model
from experiments.evaluate import load_trained
from experiments.run import open_run
from vision.camera import Array, Camera
from vision.keypoints import keypoints_of
from vision.reconstruct import Estimator, View


@pytest.fixture(scope="session")
def pixels() -> Callable[..., Array]:
    """Keypoints ``(..., 5, 2)`` of positions ``(..., 6)``, through a camera that is ``shift`` m further along x.

    With ``still``, the camera stays at ``shift`` instead of following the figure.
    """
    model = load_model(Hopper())
    bodies = [model.body(i).name for i in range(model.nbody)]

    def project(
        qpos: Array,
        camera: str = "rail",
        shift: Array | float = 0.0,
        size: tuple[int, int] = (224, 224),
        still: bool = False,
    ) -> Array:
        mount, data = Mount(model, camera), mujoco.MjData(model)
        found = []
        shifts = np.broadcast_to(shift, qpos.shape[:-1]).ravel()
        for row, x in zip(qpos.reshape(-1, 6), shifts, strict=True):
            data.qpos[:] = row
            mujoco.mj_forward(model, data)
            mount.place(data)
            position, rotation = data.cam_xpos[mount.id] + [x, 0, 0], data.cam_xmat[mount.id].reshape(3, 3)
            if still:
                position[0] = x
            seen = Camera(position, rotation, np.array(model.cam_fovy[mount.id]), *size)
            found.append(seen.project(keypoints_of("hopper").locate(bodies, data.xpos, data.xmat))[0])
        return np.array(found).reshape(*qpos.shape[:-1], 5, 2)

    return project


@pytest.fixture(scope="session")
def follow() -> Callable[..., Array]:
    """Observations ``(steps, n, 11)`` that an estimator makes of keypoints ``(steps, n, 5, 2)``."""

    def run(estimator: Estimator, frames: Array, confidences: Array | None = None) -> Array:
        weights = np.ones(frames.shape[:-1]) if confidences is None else confidences
        actions = np.zeros((frames.shape[1], 3))
        return np.array([estimator.update(*frame, actions) for frame in zip(frames, weights, strict=True)])

    return run


@pytest.fixture(scope="session")
def views() -> dict[str, View]:
    """Both cameras of the hopper's model at 224 × 224 pixels."""
    return {"track": View(224, 224, None), "rail": View(224, 224, 1.0)}


@pytest.fixture(scope="session")
def states() -> Array:
    """A hopping policy's first 250 steps in four simulations: ``(250, 4, 12)``."""
    good = Path(__file__).parents[2] / "results/pretrained/policies/hopper/good"
    policy = load_trained(open_run(good), "source", 4, num_threads=1)
    observations = policy.env.reset()
    found = []
    for _ in range(250):
        found.append(policy.simulation.states())
        actions, _ = policy.agent.predict(observations, deterministic=True)  # type: ignore[arg-type]
        observations, _, dones, _ = policy.env.step(actions)
        assert not dones.any()
    return np.array(found)


@pytest.fixture(scope="session")
def truth(states: Array) -> Array:
    """What those states' observations are ``(250, 4, 11)``."""
    return np.concatenate((states[..., 1:6], np.clip(states[..., 6:], -10, 10)), axis=-1)


@pytest.fixture(scope="session")
def seen(states: Array, pixels: Callable[..., Array]) -> dict[str, Array]:
    """Their keypoints ``(250, 4, 5, 2)`` by camera."""
    return {camera: pixels(states[..., :6], camera) for camera in ("track", "rail")}


@pytest.fixture(scope="session")
def noisy(seen: dict[str, Array]) -> dict[str, Array]:
    """The same with half a pixel of noise."""
    rng = np.random.default_rng(0)
    return {camera: frames + rng.normal(0, 0.5, frames.shape) for camera, frames in seen.items()}
