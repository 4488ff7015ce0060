"""The directory that ``simgap fit-pose`` makes.

::

    <directory>/
      config.yaml               complete
      provenance.json           dataset, versions, machine
      stages.json               seconds of each stage
      training/                 MMEngine's checkpoints, TensorBoard, log
      estimator.onnx            the network that was best on validation, for vision.runtime
      images-*.npz              what it says of the dataset's test images, and of MuJoCo's frames
      images-*.jpg              some of them, and those where it errs most
      tracks-<camera>.npz       what it says of whole rollouts
      error-<camera>.npz        the error model, for vision.error_model
      learned-<camera>.safetensors   the learned state estimator, for vision.learned
      report/                   README.md, tables, figures
"""

from pathlib import Path

from experiments.files import read_yaml
from experiments.plain import parse_config
from experiments.pose_config import PoseConfig
from pipelines.choices import CAMERAS

CONFIG, PROVENANCE, STAGES, ESTIMATOR, LOCK = "config.yaml", "provenance.json", "stages.json", "estimator.onnx", ".lock"
REPORT, VALIDATION = "report", "validation.jsonl"
BLENDER = "blender"
"""Name of the dataset's test images among the judged pictures."""


def place(camera: str, look: str = "gymnasium") -> str:
    """Name of a camera's frames among the judged pictures."""
    return camera if look == "gymnasium" else f"{camera}, {look}"


def images_file(directory: Path, where: str) -> Path:
    """What the estimator says of single pictures: ``where`` is ``blender`` or a :func:`place`."""
    where = where.replace(",", "").replace(" ", "-")
    return directory / f"images-{where}.npz"


def tracks_file(directory: Path, camera: str) -> Path:
    """What the estimator says of whole rollouts."""
    return directory / f"tracks-{camera}.npz"


def error_file(directory: Path, camera: str) -> Path:
    """The error model."""
    return directory / f"error-{camera}.npz"


def learned_file(directory: Path, camera: str) -> Path:
    """The learned state estimator."""
    return directory / f"learned-{camera}.safetensors"


def reconstructed(directory: Path) -> list[str]:
    """Cameras through which the estimator sees enough of the figure for a state estimator to be learned."""
    return [camera for camera in CAMERAS if learned_file(directory, camera).exists()]


def read_pose_config(directory: Path) -> PoseConfig:
    """The configuration of what ``simgap fit-pose`` made.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    file = directory / CONFIG
    if not file.is_file():
        raise ValueError(f"{directory}: not made by simgap fit-pose (it has no {CONFIG})")
    return parse_config(PoseConfig, read_yaml(file), str(file))
