"""Commands on synthetic images and the estimators they train: synth, synth preview, fit-pose."""

from pathlib import Path
from typing import Annotated

import tyro

from experiments.executors import HERE, ExecutorConfig
from experiments.plain import parse_config, to_plain
from experiments.pose_config import PoseConfig
from synth_data.sample import SynthConfig

SYNTH_DEFAULTS = SynthConfig()
POSE_DEFAULTS = PoseConfig()


def synth(
    directory: tyro.conf.Positional[Path],
    dataset: Annotated[SynthConfig, tyro.conf.arg(name="")] = SYNTH_DEFAULTS,
    config: Path | None = None,
    workers: int = 0,
    where: Annotated[ExecutorConfig, tyro.conf.arg(name="")] = HERE,
) -> None:
    """Render a dataset of labelled images with Blender; the same command again continues, a larger count adds to it.

    Args:
        directory: Directory of the dataset.
        dataset: The dataset.
        config: YAML file with the dataset's configuration; options given beside it win.
        workers: Blender processes, 0 for one per core of this machine or of the cluster. They never change a file.
        where: What runs them.
    """
    from experiments.progress import SynthProgress
    from experiments.synth import generate

    dataset = parse_config(SynthConfig, to_plain(dataset), "command line")
    with SynthProgress(str(directory)) as progress:
        generate(dataset, directory, workers, progress.update, where)
    print(f"dataset: {directory} (look at it with simgap synth preview {directory})")


def preview(directory: tyro.conf.Positional[Path]) -> None:
    """Draw a dataset's labels: a contact sheet and a page, preview.jpg and preview.html in its directory.

    Args:
        directory: Directory of the dataset.
    """
    from experiments.preview import write_preview

    print(f"preview: {write_preview(directory)}")


def fit_pose(
    dataset: tyro.conf.Positional[Path],
    directory: tyro.conf.Positional[Path],
    pose: Annotated[PoseConfig, tyro.conf.arg(name="")] = POSE_DEFAULTS,
    config: Path | None = None,
) -> None:
    """Train a keypoint estimator on a dataset, judge it on MuJoCo's pictures, and fit the state estimators that follow.

    The same command again continues. The report is in the directory's report/README.md.

    Args:
        dataset: Directory that simgap synth made.
        directory: Directory for the estimator, e.g. runs/pose/hopper.
        pose: The estimator.
        config: YAML file with the estimator's configuration; options given beside it win.
    """
    from experiments.fit_pose import fit_pose as fit
    from experiments.info import print_pose
    from experiments.pose_report import write_pose_report
    from experiments.progress import FitProgress

    pose = parse_config(PoseConfig, to_plain(pose), "command line")
    with FitProgress(str(directory)) as progress:
        fit(pose, dataset, directory, progress.update)
    report = write_pose_report(directory)
    print_pose(report.parent)
    print(f"report: {report}")
