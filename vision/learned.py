"""A small recurrent network from keypoints, their confidences and actions to the hopper's observation.

Each frame is first read geometrically: torso centre and link angles follow from its keypoints alone. The network
(layer, GRU, two layers) sees the frame, that reading, and what changed since the last frame. It estimates the six
velocities, and how far the height and the four angles are from the reading.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from vision.chain import (
    KEYPOINT_LINKS,
    MAX_VELOCITY,
    Array,
    forward_kinematics,
    observation,
    pose_change,
    reference_pose,
    wrap,
)
from vision.reconstruct import Ids, State, View, check_frame, check_ids, check_size, copy_state, restore_state

FORMAT = "simgap-state-estimator-1"
FIGURE = "hopper"
FEATURES, ENTRIES = 44, 11
"""Of the network's input and of an observation."""
ANGLES, VELOCITIES = slice(1, 5), slice(5, 11)
START_ELEVATION = 1.0
"""Of both cameras in the reference pose, near which an episode starts, m above the floor."""
MAX_FEATURE = 5.0
"""Deviations from its mean at which the network sees no further into an input: a keypoint's gross error."""


@dataclass(frozen=True)
class Facts:
    """What an estimator was trained for."""

    figure: str
    camera: str
    """Its name, for the reader."""
    view: View
    dt: float
    """Between frames, s."""
    hidden: int
    """Size of the network's memory."""


class Network(nn.Module):
    """The estimator's network; what normalises its inputs and outputs is among its tensors."""

    mean: Tensor
    deviation: Tensor
    spread: Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(FEATURES, 128), nn.SiLU())
        self.memory = nn.GRUCell(128, hidden)
        self.head = nn.Sequential(nn.Linear(hidden + 128, 128), nn.SiLU(), nn.Linear(128, ENTRIES))
        for name, size in (("mean", FEATURES), ("deviation", FEATURES), ("spread", ENTRIES)):
            self.register_buffer(name, torch.ones(size))

    def forward(self, features: Tensor, memory: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """Corrections ``(t, n, 11)`` of the reading in units of ``spread``, and the memory ``(n, hidden)`` afterwards.

        Args:
            features: ``(t, n, FEATURES)``.
            memory: ``(n, hidden)``.
            keep: ``(t, n)``: 0 where a frame is the first of an episode and the memory is cleared before it, else 1.
        """
        seen = self.encoder(((features - self.mean) / self.deviation).clamp(-MAX_FEATURE, MAX_FEATURE))
        memories = []
        for frame, kept in zip(seen, keep, strict=True):
            memory = self.memory(frame, memory * kept[:, None])
            memories.append(memory)
        return self.head(torch.cat((torch.stack(memories), seen), dim=2)), memory


def reference(view: View) -> Array:
    """Keypoints ``(5, 2)`` in the reference pose, x and z in m from the camera's axis."""
    pose = reference_pose(START_ELEVATION if view.elevation is None else view.elevation)
    return np.asarray(forward_kinematics(pose[None], KEYPOINT_LINKS)[0][0])


def read(view: View, last: Array, points: Array, confidences: Array, actions: Array, dt: float) -> tuple[Array, Array]:
    """The network's inputs ``(n, FEATURES)``, and the reading ``(n, 11)`` that it corrects, its velocities 0.

    Args:
        view: the camera.
        last: keypoints in the frame before ``(n, 5, 2)``, m; of an episode's first frame, :func:`reference`.
        points: in this one; where not seen, the last.
        confidences: ``(n, 5)``, 0 is not seen.
        actions: that led here ``(n, 3)``.
        dt: between the two frames, s.
    """
    still, seen = np.zeros((len(points), 6)), np.ones_like(confidences)
    pose, _ = pose_change(still, points, seen)
    turned, _ = pose_change(pose, last, seen)
    elevation = np.full(len(points), START_ELEVATION if view.elevation is None else view.elevation)
    reading = observation(pose, still, elevation, still[:, :2])
    angles = pose[:, 2:]
    places = (points.reshape(-1, 10), np.sin(angles), np.cos(angles), reading[:, ANGLES])
    rates = ((points - last).reshape(-1, 10) / dt, -turned[:, 2:] / dt)
    return np.concatenate((*places, *rates, confidences, actions), axis=1), reading


def correct(reading: Array, corrections: Array) -> Array:
    """Observations ``(..., 11)``: a reading and what the network adds to it, within the observation's bounds."""
    found = reading + corrections
    found[..., ANGLES] = wrap(found[..., ANGLES])
    found[..., VELOCITIES] = np.clip(found[..., VELOCITIES], -MAX_VELOCITY, MAX_VELOCITY)
    return np.asarray(found)


class Learned:
    """The estimator of a file; see :class:`vision.reconstruct.Estimator`.

    Args:
        file: that :func:`save_network` wrote.
        view: the camera, which must be the one that it was trained for.
        num_envs: ``n``.
        dt: s between frames; the same.

    Raises:
        ValueError: no such file, a damaged one, one for another figure, camera or time step; or no environment.
    """

    def __init__(self, file: Path, view: View, num_envs: int, dt: float = 0.008) -> None:
        check_size(num_envs, dt)
        self._network, facts = load_network(file)
        for name, wanted, there in (("figure", FIGURE, facts.figure), ("view", view, facts.view), ("dt", dt, facts.dt)):
            if there != wanted:
                raise ValueError(f"{file}: trained for {name} {there}; accepted: {wanted}")
        self._view, self._count, self._dt = view, num_envs, dt
        self._last = np.empty((num_envs, 5, 2))
        self._memory = np.empty((num_envs, facts.hidden), np.float32)
        self._arrays: State = {"last": self._last, "memory": self._memory}
        self.reset(range(num_envs))

    def reset(self, ids: Sequence[int] | Ids) -> None:
        """As :meth:`vision.reconstruct.Estimator.reset`."""
        ids = check_ids(ids, self._count)
        self._last[ids] = reference(self._view)
        self._memory[ids] = 0.0

    def update(self, keypoints: Array, confidences: Array, actions: Array) -> Array:
        """As :meth:`vision.reconstruct.Estimator.update`; an action that is not finite is an error too."""
        points, weights = check_frame(self._view, self._count, keypoints, confidences, actions)
        if not np.isfinite(actions).all():
            raise ValueError(f"an action is {actions[~np.isfinite(actions)][0]}; accepted: finite numbers")
        points = np.where(weights[..., None] > 0, points, self._last)
        features, reading = read(self._view, self._last, points, weights, actions, self._dt)
        self._last[:] = points
        with torch.no_grad():
            frame, memory = torch.as_tensor(features[None], dtype=torch.float32), torch.from_numpy(self._memory)
            corrections, memory = self._network(frame, memory, torch.ones(1, self._count))
            self._memory[:] = memory.numpy()
            return correct(reading, (corrections[0] * self._network.spread).double().numpy())

    def state(self) -> State:
        """As :meth:`vision.reconstruct.Estimator.state`."""
        return copy_state(self._arrays)

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """As :meth:`vision.reconstruct.Estimator.restore`."""
        restore_state(self._arrays, state)


def save_network(network: Network, facts: Facts) -> bytes:
    """The content of an estimator's file: safetensors, with the facts and a checksum in its metadata."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    # One entry, because safetensors writes several in an order that changes from call to call.
    about = {"format": FORMAT, "facts": asdict(facts), "sha256": _digest(tensors)}
    return save(tensors, {"estimator": json.dumps(about)})


def load_network(file: Path) -> tuple[Network, Facts]:
    """An estimator's network and what it was trained for; no code of the file is run.

    Raises:
        ValueError: no such file, another one's, or a damaged one.
    """
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{file}: not a readable safetensors file ({error})") from None
    try:
        about = json.loads(metadata.get("estimator", "{}"))
        if about.get("format") != FORMAT:
            raise ValueError(f"format {about.get('format')!r}; accepted: {FORMAT}")
        facts = Facts(**{**about["facts"], "view": View(**about["facts"]["view"])})
        if about["sha256"] != _digest(tensors):
            raise ValueError("its checksum differs")
        network = Network(facts.hidden)
        network.load_state_dict(tensors)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{file}: not a whole state estimator ({str(error).splitlines()[0]})") from None
    return network.eval(), facts


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, sizes and values, in the names' order."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(f"{name} {tuple(tensors[name].shape)} ".encode())
        found.update(tensors[name].numpy().tobytes())
    return found.hexdigest()
