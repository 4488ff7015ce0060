"""One trial of a search in a process of its own: ``… search_worker DOMAIN EPISODES RUN…``."""

import sys
from pathlib import Path

from experiments.evaluate import evaluate
from experiments.files import write_json
from experiments.objectives import scores
from experiments.progress import TrainProgress
from experiments.run import open_run
from experiments.train import train
from experiments.upkeep import Interrupted

SCORES = "scores.json"
"""In a run's directory: every objective of its evaluation episodes."""
STOPPED = 130
"""Exit status of a trial that was asked to stop, and can go on."""


def main(domain: str, episodes: int, directories: list[Path]) -> None:
    """Train the runs, one for each seed, and judge each in ``domain``."""
    for directory in directories:
        run = open_run(directory)
        with TrainProgress(run.name, run.config.horizon) as progress:
            train(run.config, directory.parents[2], num_threads=1, report=progress.update)
        found = scores(evaluate(run, [domain], episodes, num_threads=1))
        write_json(directory / SCORES, found)
        print(f"{run.name}: {', '.join(f'{name} {value:.1f}' for name, value in found.items())}", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), [Path(word) for word in sys.argv[3:]])
    except Interrupted as stop:
        print(stop)
        sys.exit(STOPPED)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
