"""One run of a study in a process of its own: ``python -m experiments.worker RUN_DIRECTORY EPISODES DOMAIN…``."""

import sys
from pathlib import Path

from experiments.evaluate import evaluate, missing_domains
from experiments.run import open_run
from experiments.train import Interrupted, train


def main(directory: Path, episodes: int, domains: list[str]) -> None:
    """Train the run to its end, then evaluate the domains that have not been."""
    run = open_run(directory)
    train(run.config, root=directory.parents[2], num_threads=1)
    missing = missing_domains(run, domains, episodes)
    if missing:
        evaluate(run, missing, episodes, num_threads=1)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
    except Interrupted as stop:
        sys.exit(str(stop))
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
