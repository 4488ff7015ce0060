"""Commands on studies: study, report."""

from pathlib import Path

import tyro

from experiments.run import RESULTS, RUNS


def study(
    name: tyro.conf.Positional[str],
    runs: Path = RUNS,
    results: Path = RESULTS,
    workers: int = 0,
    finished: bool = False,
    published: bool = False,
) -> None:
    """Run a study: train and judge every run that is missing, then write tables, pictures and report.

    Args:
        name: A study that ships with simgap, or a YAML file.
        runs: Directory of all runs.
        results: Directory that the study's own directory goes to.
        workers: Runs at a time, 0 for one a core.
        finished: Train nothing; report on the runs that have finished so far.
        published: Do not train again what the study's directory of results reports already with the same
            configuration, such as runs of another machine.
    """
    from experiments.info import print_study
    from experiments.study import run_study
    from experiments.study_config import read_study

    report, failures = run_study(read_study(name), runs, results, workers, finished, published)
    print_study(report.parent)
    print(f"report: {report}")
    if failures:
        raise RuntimeError("; ".join(failures))


def report(directory: tyro.conf.Positional[Path]) -> None:
    """Write a study's tables, pictures and report anew from its episodes, or a sweep's; trains and judges nothing.

    Args:
        directory: The study's directory, e.g. results/demo, or a sweep's.
    """
    from experiments.report import write_report
    from experiments.sweep_report import write_sweep_report

    write = write_sweep_report if (directory / "sweep.yaml").exists() else write_report
    print(f"report: {write(directory)}")
