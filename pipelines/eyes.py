"""From a moment of the simulations to the state that is read off their pictures, real or imagined."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from envs.film import Shot
from envs.frames import Frames
from pipelines.filmed import Filmed
from vision.error_simulator import ErrorSimulator
from vision.reconstruct import Array, Estimator

Ids = npt.NDArray[np.intp]


class Source(Protocol):
    """Where keypoints come from."""

    def begin(self, ids: Ids) -> None:
        """Forget environments ``ids``: an episode begins there."""
        ...

    def look(self, shot: Shot) -> tuple[Array, Array]:
        """Keypoints ``(n, k, 2)``, px, and confidences ``(n, k)`` in a shot of all environments.

        Where nobody looks, nothing needs to be seen: confidences may be 0.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class Seen:
    """The estimator on rendered frames."""

    def __init__(self, frames: Frames, network: Any) -> None:
        """``network`` is a :class:`vision.runtime.PoseRuntime`, or what answers as one does."""
        self._frames, self._network = frames, network

    def begin(self, ids: Ids) -> None:
        """Nothing to forget: it looks at single frames."""

    def look(self, shot: Shot) -> tuple[Array, Array]:
        """As :meth:`Source.look`."""
        found: tuple[Array, Array] = self._network(self._frames.draw(shot)[shot.rows])
        keypoints, confidences = (np.zeros((len(shot.ids), *part.shape[1:])) for part in found)
        keypoints[shot.rows], confidences[shot.rows] = found
        return keypoints, confidences

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""

    def close(self) -> None:
        """End the rendering."""
        self._frames.close()


class Imagined:
    """True keypoints with the errors that an estimator would have made: nothing is rendered."""

    def __init__(self, filmed: Filmed, errors: ErrorSimulator) -> None:
        self._filmed, self._errors = filmed, errors

    def begin(self, ids: Ids) -> None:
        """As :meth:`Source.begin`."""
        self._errors.reset(ids)

    def look(self, shot: Shot) -> tuple[Array, Array]:
        """As :meth:`Source.look`."""
        return self._errors.update(self._filmed(shot.qpos, shot.masses))

    def state_dict(self) -> dict[str, Any]:
        """The error model's memory and generators."""
        return self._errors.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As :meth:`Source.load_state_dict`."""
        self._errors.load_state_dict(state)

    def close(self) -> None:
        """Nothing to free."""


class Eye:
    """Keypoints over time, turned into observations."""

    def __init__(self, source: Source, estimator: Estimator, camera: str, size: int) -> None:
        self.camera, self.size = camera, size  # of the pictures, px
        self._source, self._estimator = source, estimator
        self.keypoints: Array | None = None
        """Where they were seen last, px, ``(n, k, 2)``."""
        self.confidences: Array | None = None
        """Theirs, ``(n, k)``."""

    def begin(self, ids: Ids) -> None:
        """An episode begins in environments ``ids``."""
        if len(ids):
            self._source.begin(ids)
            self._estimator.reset(ids)

    def see(self, shot: Shot, actions: Array) -> Array:
        """Observations ``(n, entries)`` in a shot of all environments, to which ``actions`` ``(n, actuators)`` led."""
        self.keypoints, self.confidences = self._source.look(shot)
        return self._estimator.update(self.keypoints, self.confidences, actions)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue: arrays and plain values."""
        return {"source": self._source.state_dict(), "estimator": self._estimator.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self._source.load_state_dict(state["source"])
        self._estimator.restore(state["estimator"])

    def close(self) -> None:
        """Free what the source holds."""
        self._source.close()
