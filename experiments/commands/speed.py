"""Commands that compare speeds: bench."""

from pathlib import Path
from typing import Literal


def bench(
    what: Literal["simulation", "figures", "frames", "rendering", "pose", "sweep"] = "simulation",
    steps: int = 400,
    training_steps: int = 200_000,
    images: int = 300,
    estimator: Path | None = None,
    dataset: Path | None = None,
    cells: int = 2000,
) -> None:
    """Compare speeds on this machine: physics and training, figures, frames of MuJoCo or Blender, keypoints, a sweep.

    Args:
        what: What is measured.
        steps: Calls of step() per measurement of an environment.
        training_steps: Environment steps of our training, over all repeats.
        images: Images for each measurement of frames or rendering, or of estimating keypoints over all repeats.
        estimator: An estimator.onnx, to see what bfloat16 costs its accuracy.
        dataset: Directory of the dataset whose test images it then looks at.
        cells: Cells of the sweep, about.
    """
    if what == "figures":
        from benchmarks.figures import main as run_figures

        run_figures(steps)
    elif what == "frames":
        from benchmarks.frames import main as run_frames

        run_frames(images)
    elif what == "rendering":
        from benchmarks.rendering import main as run_rendering

        run_rendering(images)
    elif what == "pose":
        from benchmarks.pose import main as run_pose

        run_pose(images, estimator, dataset)
    elif what == "sweep":
        from benchmarks.sweep import main as run_sweep

        run_sweep(cells)
    else:
        from benchmarks.speed import main as run_speed

        run_speed(steps, training_steps)
