"""Commands on studies: study, report."""

from pathlib import Path

import tyro

from experiments.run import RESULTS, RUNS


def study(name: tyro.conf.Positional[str], runs: Path = RUNS, results: Path = RESULTS, workers: int = 0) -> None:
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
