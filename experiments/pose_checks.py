"""Who acts for ``simgap fit-pose``, and what it refuses before it begins: the same would end it after its training."""

from collections.abc import Sequence
from pathlib import Path

from experiments.dataset import GAITS, POLICIES
from experiments.files import read_json
from experiments.harvest import find_policies
from experiments.pose_config import PoseConfig
from experiments.rollouts import check_policy
from experiments.run import Run
from synth_data.sample import SPLITS
from vision.keypoints import keypoints_of
from vision.pose_config import FitConfig


def judges(config: PoseConfig, figure: str) -> list[Path]:
    """Directories of the runs that an estimator is judged on."""
    return [run.directory for run in _judges(config, figure)]


def teachers(config: PoseConfig, figure: str) -> list[Path]:
    """Directories of the runs that the learned state estimator learns from."""
    return [run.directory for run in _teachers(config, figure)]


def _judges(config: PoseConfig, figure: str) -> list[Run]:
    return find_policies(figure, _paths(config.rollouts.policies) or [POLICIES / figure])


def _teachers(config: PoseConfig, figure: str) -> list[Run]:
    return find_policies(figure, _paths(config.learned.policies) or [GAITS / figure])


def _paths(names: Sequence[str]) -> list[Path]:
    return [Path(name) for name in names]


def check(config: PoseConfig, dataset: Path, figure: str) -> None:
    """Raise ``ValueError`` unless the finished ``dataset``, the policies, the device and the weights serve."""
    _check_start(config.network)
    _check_labels(config.network, dataset, figure)
    judging = _judges(config, figure)
    if config.rollouts.frames < len(judging):
        raise ValueError(
            f"rollouts.frames is {config.rollouts.frames}; it must be {len(judging)} or more: one of each policy"
        )
    for run in judging:
        run.latest_checkpoint()
    for run in _teachers(config, figure):
        check_policy(run, figure)
        run.latest_checkpoint()


def _check_start(network: FitConfig) -> None:
    import torch  # takes seconds to load

    if network.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but torch sees no CUDA device; accepted here: cpu")
    if network.weights:
        from vision.weights import read_tensors

        read_tensors(Path(network.weights))


def _check_labels(network: FitConfig, dataset: Path, figure: str) -> None:
    """Raise ValueError unless each split has enough images, and the figure's keypoints in their order."""
    wanted = keypoints_of(figure).names
    for split in SPLITS:
        file = dataset / "annotations" / f"{split}.json"
        labels = read_json(file)
        names = labels["categories"][0]["keypoints"]
        if tuple(names) != wanted:
            raise ValueError(f"{file}: keypoints {', '.join(names)}; accepted: {', '.join(wanted)}")
        count = len(labels["images"])
        if not count:
            raise ValueError(f"{file}: no image; accepted: datasets with images for training, validation and test")
        if split == "train" and count < network.batch_size:
            raise ValueError(
                f"{file}: {count} images, but batch_size is {network.batch_size}; accepted: {count} or less"
            )
