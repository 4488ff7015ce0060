"""The state estimators to choose from, by name."""

from pathlib import Path

from vision.chain_filter import ChainFilter
from vision.learned import Learned
from vision.reconstruct import Estimator, View
from vision.two_frame import TwoFrame

ESTIMATORS = ("two_frame", "filter", "learned")


def make_estimator(name: str, view: View, num_envs: int, file: Path | None = None) -> Estimator:
    """An estimator for ``num_envs`` environments.

    Args:
        name: one of :data:`ESTIMATORS`.
        view: the camera.
        num_envs: environments side by side.
        file: of the learned estimator; the others need none.

    Raises:
        ValueError: an unknown name, no file for the learned one, or one that does not serve.
    """
    if name == "two_frame":
        return TwoFrame(view, num_envs)
    if name == "filter":
        return ChainFilter(view, num_envs)
    if name != "learned":
        raise ValueError(f"unknown estimator {name!r}; accepted: {', '.join(ESTIMATORS)}")
    if file is None:
        raise ValueError("estimator 'learned' needs the file of one; accepted: what simgap fit-pose wrote")
    return Learned(file, view, num_envs)
