"""Commands on runs: train, evaluate, play, info, export."""

import sys
from pathlib import Path
from typing import Annotated

import tyro

from experiments.config import RunConfig
from experiments.executors import HERE, ExecutorConfig
from experiments.plain import parse_config, to_plain
from experiments.run import RUNS, Run, find_runs, open_run
from experiments.wandb_output import Wandb

DEFAULTS = RunConfig()
DOMAINS = ("source", "target")


def train(
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = DEFAULTS,
    config: Path | None = None,
    runs: Path = RUNS,
    threads: int = 0,
    wandb: Wandb = "off",
) -> None:
    """Train one agent with one seed; the same command again continues, or does nothing when it is done.

    With --start RUN the agent of another run, or of one of its checkpoints, learns on in a run of its own: what is not
    given is as there, and --steps, which counts on, must be more. Example: simgap train --start
    runs/default/hopper-source-state-none-ppo/seed-000 --steps 3000000 --study more

    Args:
        run: The run.
        config: YAML file with the run's configuration; options given beside it win.
        runs: Directory of all runs.
        threads: Threads for physics, 0 for all cores. They never change results.
        wandb: Log to Weights & Biases too: offline into the run's directory (for wandb sync), or online.
    """
    from experiments.info import print_runs
    from experiments.progress import TrainProgress
    from experiments.train import train as train_run

    run = parse_config(RunConfig, to_plain(run), "command line")
    with TrainProgress(f"{run.path.parent.name}/{run.path.name}", run.resolved().training_horizon) as progress:
        trained = train_run(run, runs, threads, progress.update, wandb)
    print_runs([trained])
    print(f"run: {trained.directory}")


def evaluate(
    runs: tyro.conf.Positional[list[Path]],
    domains: tuple[str, ...] = DOMAINS,
    sights: tuple[str, ...] = (),
    episodes: int | None = None,
    threads: int = 0,
    sweep: tuple[str, ...] = (),
    output: Path | None = None,
    where: Annotated[ExecutorConfig, tyro.conf.arg(name="")] = HERE,
) -> None:
    """Judge trained runs in one or more domains, or all over a grid of shifted physics.

    Rows of domains go to each run's episodes.csv. A sweep writes tables, charts and a report; a finished run is not
    repeated.

    Args:
        runs: Run directories, or folders of them.
        domains: Domains to judge in, e.g. source target 'source, torso_mass+2'. A sweep shifts the first.
        sights: What to see them through; none for the pipeline's own. State and pose: state, error-model, estimator,
            two-frame. Pixels: pixels, appearance.
        episodes: Whole episodes in each domain and through each sight (by default 50), or in each cell of a sweep (10).
        threads: Threads for physics, 0 for all cores.
        sweep: One or two axes of a grid, PARAMETER OPERATION LOW:HIGH:COUNT: torso_mass=-1.5:3:19 adds to the domain's
            own value (so does +), torso_mass*0.5:2:16 scales it, torso_mass==0.1:3:15 sets it.
            foot_friction,floor_friction*0.3:2:15 moves both together (the larger one of two that touch counts).
        output: Directory of the sweep's report; by default results/sweeps/ and the grid.
        where: What judges the runs of a sweep.
    """
    from experiments.evaluate import evaluate as evaluate_run
    from experiments.info import print_returns
    from experiments.progress import FitProgress

    found = find_runs(runs)
    if not sweep and output is not None:
        raise ValueError("--output is for a sweep; accepted: with --sweep")
    if not sweep and where != HERE:
        raise ValueError("--executor, --address and --store are for a sweep; accepted: with --sweep")
    if sweep:
        _sweep(found, domains, sights, episodes, threads, sweep, output, where)
        return
    _note_unfinished(found)
    with FitProgress("evaluate") as shown:
        for number, run in enumerate(found):
            if len(found) > 1:
                shown.update("judging", number, len(found), run.name)
            evaluate_run(run, domains, 50 if episodes is None else episodes, threads, sights)
    print_returns(found)


def _note_unfinished(runs: list[Run]) -> None:
    for run in runs:
        if not run.done:
            print(f"note: {run.name} has not finished training; judging its last checkpoint", file=sys.stderr)


def _sweep(
    runs: list[Run],
    domains: tuple[str, ...],
    sights: tuple[str, ...],
    episodes: int | None,
    threads: int,
    axes: tuple[str, ...],
    output: Path | None,
    where: ExecutorConfig,
) -> None:
    from experiments.info import print_sweep
    from experiments.progress import SweepProgress
    from experiments.sweep import EPISODES, run_sweep
    from experiments.sweep_grid import Grid, parse_axis

    if sights:
        raise ValueError("--sights is not for a sweep, which sees through each pipeline's own; accepted: one of both")
    if len(domains) != 1 and domains != DOMAINS:
        raise ValueError(f"a sweep shifts one domain; found {len(domains)} in --domains; accepted: one")
    grid = Grid(runs[0].config.figure, domains[0], tuple(parse_axis(text) for text in axes))
    _note_unfinished(runs)
    episodes = EPISODES if episodes is None else episodes
    with SweepProgress(len(runs)) as progress:
        report = run_sweep(runs, grid, episodes, threads, output, progress.update, where)
    print_sweep(report.parent)
    print(f"report: {report}")


def play(
    run: tyro.conf.Positional[Path],
    domain: str = "",
    video: Path | None = None,
    seed: int = 0,
    loops: int = 1,
    keep_going: bool = False,
    sight: str = "",
) -> None:
    """Watch a policy: in a window where there is a display, as an MP4 otherwise.

    Args:
        run: Run directory.
        domain: Domain to act in; empty for the one it was trained in.
        video: MP4 file to write instead of opening a window.
        seed: Seed of the first episode's start; each further episode takes the next.
        loops: Episodes, 0 for ever (in a window).
        keep_going: Episodes go on after a fall, to their last step; the return counts to the fall.
        sight: What the policy sees it through; empty for its pipeline's own. See simgap evaluate.
    """
    from experiments.play import record_video
    from experiments.window import has_display, play_live

    opened = open_run(run)
    where = domain or opened.config.domain
    if video is None and has_display():
        for number, total in enumerate(play_live(opened, where, seed, sight, loops, keep_going)):
            print(f"seed {seed + number}: return {total:.0f} ({opened.config.horizon} steps)")
    else:
        file = video or run / f"{where.replace(' ', '')}.mp4"
        print(record_video(opened, where, file, seed, sight, loops, keep_going))


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
