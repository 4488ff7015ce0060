"""What each ``simgap`` command does; its signature and docstring are its options and help."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments.config import RunConfig, parse_config, to_plain
from experiments.pose_config import PoseConfig
from experiments.run import RUNS, find_runs, open_run
from synth_data.sample import SynthConfig

DEFAULTS = RunConfig()
SYNTH_DEFAULTS = SynthConfig()
POSE_DEFAULTS = PoseConfig()


def train(
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = DEFAULTS,
    config: Path | None = None,
    runs: Path = RUNS,
    threads: int = 0,
) -> None:
    """Train one agent with one seed; the same command again continues, or does nothing when it is done.

    Args:
        run: The run.
        config: YAML file with the run's configuration; options given beside it win.
        runs: Directory of all runs.
        threads: Threads for physics, 0 for all cores. They never change results.
    """
    from experiments.info import print_runs
    from experiments.progress import TrainProgress
    from experiments.train import train as train_run

    run = parse_config(RunConfig, to_plain(run), "command line")
    with TrainProgress(f"{run.path.parent.name}/{run.path.name}", run.horizon) as progress:
        trained = train_run(run, runs, threads, progress.update)
    print_runs([trained])
    print(f"run: {trained.directory}")


def evaluate(
    runs: tyro.conf.Positional[list[Path]],
    domains: tuple[str, ...] = ("source", "target"),
    sights: tuple[str, ...] = (),
    episodes: int = 50,
    threads: int = 0,
) -> None:
    """Judge trained runs in one or more domains; rows go to each run's episodes.csv.

    Args:
        runs: Run directories, or folders of them.
        domains: Domains to judge in, e.g. source target 'source, torso_mass+2'.
        sights: What to see them through; none for the pipeline's own. State and pose: state, error-model, estimator,
            two-frame. Pixels: pixels, appearance.
        episodes: Whole episodes in each domain and through each sight.
        threads: Threads for physics, 0 for all cores.
    """
    from experiments.evaluate import evaluate as evaluate_run
    from experiments.info import print_returns

    found = find_runs(runs)
    for run in found:
        if not run.done:
            print(
                f"note: {run.name} has not finished training; judging its last checkpoint",
                file=sys.stderr,
            )
        evaluate_run(run, domains, episodes, threads, sights)
    print_returns(found)


def study(
    name: tyro.conf.Positional[str], runs: Path = RUNS, results: Path = Path("results"), workers: int = 0
) -> None:
    """Run a study: train and judge every run that is missing, then write tables, pictures and report.

    Args:
        name: A study that ships with simgap, or a YAML file.
        runs: Directory of all runs.
        results: Directory that the study's own directory goes to.
        workers: Runs at a time, 0 for one a core.
    """
    from experiments.info import print_study
    from experiments.study import run_study
    from experiments.study_config import read_study

    report, failures = run_study(read_study(name), runs, results, workers)
    print_study(report.parent)
    print(f"report: {report}")
    if failures:
        raise RuntimeError("; ".join(failures))


def report(directory: tyro.conf.Positional[Path]) -> None:
    """Write a study's tables, pictures and report anew from its episodes; trains nothing.

    Args:
        directory: The study's directory, e.g. results/demo.
    """
    from experiments.report import write_report

    print(f"report: {write_report(directory)}")


def play(
    run: tyro.conf.Positional[Path], domain: str = "", video: Path | None = None, seed: int = 0, sight: str = ""
) -> None:
    """Watch one episode: in a window where there is a display, as an MP4 otherwise.

    Args:
        run: Run directory.
        domain: Domain to act in; empty for the one it was trained in.
        video: MP4 file to write instead of opening a window.
        seed: Seed of the start.
        sight: What the policy sees it through; empty for its pipeline's own. See simgap evaluate.
    """
    from experiments.play import has_display, play_live, record_video

    opened = open_run(run)
    where = domain or opened.config.domain
    if video is None and has_display():
        total = play_live(opened, where, seed, sight)
        print(f"return {total:.0f} ({opened.config.horizon} steps)")
    else:
        print(record_video(opened, where, video or run / f"{where.replace(' ', '')}.mp4", seed, sight))


def info(runs: tyro.conf.Positional[list[Path]]) -> None:
    """Everything about one run, or a table of several.

    Args:
        runs: Run directories, or folders of them.
    """
    from experiments.info import print_runs

    print_runs(find_runs(runs))


def export(run: tyro.conf.Positional[Path], file: tyro.conf.Positional[Path]) -> None:
    """Write the policy as a plain Stable-Baselines3 zip that takes raw observations.

    Args:
        run: Run directory.
        file: The .zip to write.
    """
    from experiments.export import export as export_run

    print(export_run(open_run(run), file))


def bench(
    what: Literal["simulation", "frames", "rendering", "pose"] = "simulation",
    steps: int = 400,
    training_steps: int = 200_000,
    images: int = 300,
    estimator: Path | None = None,
    dataset: Path | None = None,
) -> None:
    """Compare speeds on this machine: physics and training, MuJoCo's frames, Blender's, or estimating keypoints.

    Args:
        what: What is measured.
        steps: Calls of step() per measurement of an environment.
        training_steps: Environment steps of our training, over all repeats.
        images: Images for each measurement of frames or rendering, or of estimating keypoints over all repeats.
        estimator: An estimator.onnx, to see what bfloat16 costs its accuracy.
        dataset: Directory of the dataset whose test images it then looks at.
    """
    if what == "frames":
        from benchmarks.frames import main as run_frames

        run_frames(images)
    elif what == "rendering":
        from benchmarks.rendering import main as run_rendering

        run_rendering(images)
    elif what == "pose":
        from benchmarks.pose import main as run_pose

        run_pose(images, estimator, dataset)
    else:
        from benchmarks.speed import main as run_speed

        run_speed(steps, training_steps)


def synth(
    directory: tyro.conf.Positional[Path],
    dataset: Annotated[SynthConfig, tyro.conf.arg(name="")] = SYNTH_DEFAULTS,
    config: Path | None = None,
    workers: int = 0,
) -> None:
    """Render a dataset of labelled images with Blender; the same command again continues, a larger count adds to it.

    Args:
        directory: Directory of the dataset.
        dataset: The dataset.
        config: YAML file with the dataset's configuration; options given beside it win.
        workers: Blender processes, 0 for one per core. Their number never changes a file.
    """
    from experiments.progress import SynthProgress
    from experiments.synth import generate

    dataset = parse_config(SynthConfig, to_plain(dataset), "command line")
    with SynthProgress(str(directory)) as progress:
        generate(dataset, directory, workers, progress.update)
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


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "evaluate": evaluate,
    "study": study,
    "report": report,
    "play": play,
    "info": info,
    "export": export,
    "synth": synth,
    "synth-preview": preview,
    "fit-pose": fit_pose,
    "bench": bench,
}
