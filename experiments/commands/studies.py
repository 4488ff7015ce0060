"""Commands on studies and searches: study, search, report, gallery."""

import sys
from pathlib import Path
from typing import Annotated

import tyro

from experiments.executors import HERE, ExecutorConfig
from experiments.run import RESULTS, RUNS
from experiments.wandb_output import Wandb


def study(
    name: tyro.conf.Positional[str],
    runs: Path = RUNS,
    results: Path = RESULTS,
    workers: int = 0,
    finished: bool = False,
    published: bool = False,
    where: Annotated[ExecutorConfig, tyro.conf.arg(name="")] = HERE,
    wandb: Wandb = "off",
) -> None:
    """Run a study: train and judge every run that is missing, then write tables, pictures and report.

    Args:
        name: A study that ships with simgap, or a YAML file.
        runs: Directory of all runs.
        results: Directory that the study's own directory goes to.
        workers: Runs at a time, 0 for one a core of this machine or of the cluster.
        finished: Train nothing; report on the runs that have finished so far.
        published: Do not train again what the directory of results reports already, of this study or of another, with
            the same configuration, such as runs of another machine.
        where: What runs them.
        wandb: Log each run to Weights & Biases too: offline into its directory (for wandb sync), or online.
    """
    from experiments.info import print_study
    from experiments.study import run_study
    from experiments.study_config import read_study

    report, failures = run_study(read_study(name), runs, results, workers, finished, published, where, wandb)
    print_study(report.parent)
    print(f"report: {report}")
    if failures:
        raise RuntimeError("; ".join(failures))


def search(
    space: tyro.conf.Positional[str],
    trials: int = 0,
    storage: str = "",
    runs: Path = RUNS,
    results: Path = RESULTS,
    workers: int = 0,
    where: Annotated[ExecutorConfig, tyro.conf.arg(name="")] = HERE,
) -> None:
    """Search for good settings with Optuna; the same command again continues, and started twice it shares the trials.

    Args:
        space: A search that ships with simgap, or a YAML file.
        trials: Trials in all, 0 for as many as the file says; a larger number than before adds some.
        storage: URL of the database that processes and machines share, e.g. postgresql://USER@HOST/NAME; empty for
            study.db in the search's directory of runs.
        runs: Directory of all runs.
        results: Directory that the search's report goes to.
        workers: Trials at a time in this process, 0 for one a core of this machine or of the cluster.
        where: What runs them.
    """
    from experiments.search import search as search_for
    from experiments.search_space import read_space

    report, failures = search_for(read_space(space), trials, storage, runs, results, workers, where)
    print(f"report: {report}")
    if failures:
        print(f"note: {len(failures)} of the trials failed, the first: {failures[0]}", file=sys.stderr)


def report(directory: tyro.conf.Positional[Path]) -> None:
    """Write the tables, pictures and report of a study, a search or a sweep anew from its files; trains nothing.

    Args:
        directory: Its directory, e.g. results/demo.
    """
    if (directory / "space.yaml").is_file():
        from experiments.search_report import write_search_report

        print(f"report: {write_search_report(directory)}")
        return
    from experiments.report import write_report
    from experiments.sweep_report import write_sweep_report

    write = write_sweep_report if (directory / "sweep.yaml").exists() else write_report
    print(f"report: {write(directory)}")


def gallery(results: tyro.conf.Positional[Path] = RESULTS, page: Path | None = None) -> None:
    """Write one page with the videos of all studies.

    Args:
        results: Directory of the studies.
        page: HTML file to write; empty for gallery.html among the studies.
    """
    from experiments.gallery import write_gallery

    print(f"gallery: {write_gallery(results, page or results / 'gallery.html')}")
