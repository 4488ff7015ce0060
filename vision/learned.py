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

from vision.reconstruct import View

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.integer[Any]]

FORMAT = "simgap-state-estimator-1"
FIGURE = "hopper"
POINTS, ACTIONS, ENTRIES = 5, 3, 11
FEATURES = 2 * (2 * POINTS + 2 * (POINTS - 1) + 4) + POINTS + ACTIONS
ANGLES, VELOCITIES = slice(1, 5), slice(5, 11)
REFERENCE = np.array([[0, 1.45], [0, 1.05], [0, 0.6], [0, 0.1], [0.26, 0.1]])
"""Keypoints in the reference pose, near which an episode starts: x and z above the floor, m."""
START_ELEVATION = 1.0
"""Of both cameras in the reference pose, m above the floor."""
RESTS = (0.0, 0.0, 0.0, -np.pi / 2)
"""Reference pose: angle of the torso to the downward vertical, then of each link to the one before, about −y, rad."""
MAX_VELOCITY = 10.0
"""The observation clips velocities (m/s and rad/s) to this."""
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
    """Keypoints ``(5, 2)`` in the reference pose, m from the camera's axis."""
    return REFERENCE - [0, START_ELEVATION if view.elevation is None else view.elevation]


def see(view: View, last: Array, keypoints: Array, confidences: Array) -> tuple[Array, Array]:
    """Places ``(..., 5, 2)`` in m, those of ``last`` where a keypoint is not seen, and confidences, then 0."""
    size = np.array([view.width, view.height])
    near = (np.abs(keypoints - (size - 1) / 2) <= size).all(axis=-1)  # false for NaN too
    weights = np.where(near, np.minimum(confidences, 1.0), 0.0)
    return np.where(weights[..., None] > 0, view.metres(keypoints), last), weights


def read(view: View, last: Array, points: Array, weights: Array, actions: Array, dt: float) -> tuple[Array, Array]:
    """The network's inputs ``(..., FEATURES)``, and the reading ``(..., 11)`` that it corrects, without velocities.

    Args:
        view: the camera.
        last: places of the keypoints in the frame before ``(..., 5, 2)``, m; at the first, :func:`reference`.
        points: and in this one.
        weights: their confidences ``(..., 5)``.
        actions: that led here ``(..., 3)``.
        dt: s between the two.
    """
    (directions, angles), (before, turned) = _links(points), _links(last)
    change = [points - last, directions - before]
    changes = [np.reshape(part, (*weights.shape[:-1], -1)) / dt for part in change]
    places = [np.reshape(part, (*weights.shape[:-1], -1)) for part in (points, directions)]
    features = [*places, angles, *changes, _wrap(angles - turned) / dt, weights, actions]
    elevation = START_ELEVATION if view.elevation is None else view.elevation
    height = points[..., :2, 1].mean(axis=-1, keepdims=True) + elevation
    still = np.zeros((*weights.shape[:-1], 6))
    return np.concatenate(features, axis=-1), np.concatenate((height, angles, still), axis=-1)


def correct(reading: Array, corrections: Array) -> Array:
    """Observations ``(..., 11)``: a reading and what the network adds to it, within the observation's bounds."""
    found = reading + corrections
    found[..., ANGLES] = _wrap(found[..., ANGLES])
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
        self._network, facts = load_network(file)
        for name, wanted, there in (("figure", FIGURE, facts.figure), ("view", view, facts.view), ("dt", dt, facts.dt)):
            if there != wanted:
                raise ValueError(f"{file}: trained for {name} {there}; accepted: {wanted}")
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; accepted: 1 or more")
        self._view, self._dt = view, dt
        self._last = np.empty((num_envs, POINTS, 2))
        self._memory = torch.zeros(num_envs, facts.hidden)
        self._kept = torch.ones(1, num_envs)
        self.reset(range(num_envs))

    def reset(self, ids: Sequence[int] | Ids) -> None:
        """As :meth:`vision.reconstruct.Estimator.reset`."""
        found, count = np.asarray(ids), len(self._last)
        # A mask would be taken for environments 0 and 1.
        if found.size and (found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= count):
            raise ValueError(f"ids are {found.tolist()}; accepted: numbers of environments from 0 to {count - 1}")
        self._last[found.astype(np.intp)] = reference(self._view)
        self._memory[found.astype(np.int64)] = 0.0

    def update(self, keypoints: Array, confidences: Array, actions: Array) -> Array:
        """As :meth:`vision.reconstruct.Estimator.update`."""
        count = len(self._last)
        given = {"keypoints": keypoints, "confidences": confidences, "actions": actions}
        for (name, array), shape in zip(given.items(), ((POINTS, 2), (POINTS,), (ACTIONS,)), strict=True):
            if array.shape != (count, *shape):
                raise ValueError(f"{name} have the shape {array.shape}; accepted: {(count, *shape)}")
        for name, wrong in (
            ("a confidence", confidences[~(np.isfinite(confidences) & (confidences >= 0))]),
            ("an action", actions[~np.isfinite(actions)]),
        ):
            if len(wrong):
                raise ValueError(f"{name} is {wrong[0]}; accepted: finite numbers, confidences of 0 or more")
        points, weights = see(self._view, self._last, keypoints, confidences)
        features, reading = read(self._view, self._last, points, weights, actions, self._dt)
        self._last = points
        with torch.no_grad():
            frame = torch.as_tensor(features[None], dtype=torch.float32)
            corrections, self._memory = self._network(frame, self._memory, self._kept)
            return correct(reading, (corrections[0] * self._network.spread).double().numpy())


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


def _links(points: Array) -> tuple[Array, Array]:
    """Unit vectors ``(..., 4, 2)`` along the links, and the observation's four angles."""
    links = np.diff(points, axis=-2)
    downwards = np.arctan2(links[..., 0], -links[..., 1])  # about −y; the torso's pitch turns about +y
    angles = np.diff(downwards, axis=-1, prepend=0.0) * [-1, 1, 1, 1] + RESTS
    return np.stack((np.sin(downwards), -np.cos(downwards)), axis=-1), _wrap(angles)


def _wrap(angles: Array) -> Array:
    return np.asarray((angles + np.pi) % (2 * np.pi) - np.pi)
