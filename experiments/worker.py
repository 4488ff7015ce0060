"""One run of a study in a process of its own: ``python -m experiments.worker RUN EPISODES SIGHT[,SIGHT…] DOMAIN…``."""

import sys
from pathlib import Path

from experiments.evaluate import evaluate, missing_domains
from experiments.run import open_run
from experiments.train import Interrupted, train


def main(directory: Path, episodes: int, sights: list[str], domains: list[str]) -> None:
    """Train the run to its end, then judge it where and through what it has not been."""
    run = open_run(directory)
    train(run.config, root=directory.parents[2], num_threads=1)
    for sight in sights:
        missing = missing_domains(run, domains, episodes, sight)
        if missing:
            evaluate(run, missing, episodes, num_threads=1, sights=[sight])


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(","), sys.argv[4:])
    except Interrupted as stop:
        sys.exit(str(stop))
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
