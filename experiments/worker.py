"""One run of a study in a process of its own: ``python -m experiments.worker RUN_DIRECTORY EPISODES DOMAIN…``."""

import sys
from pathlib import Path

from experiments.evaluate import evaluate
from experiments.run import open_run
from experiments.statistics import read_episodes
from experiments.train import Interrupted, train


def main(directory: Path, episodes: int, domains: list[str]) -> None:
    """Train the run to its end, then evaluate the domains that have not been."""
    run = open_run(directory)
    train(run.config, root=directory.parents[2], num_threads=1)
    missing = list(domains)
    if run.episodes.exists():
        table = read_episodes(run.episodes)
        counts = table.groupby("eval_domain").size()
        missing = [domain for domain in domains if counts.get(domain, 0) != episodes]
    evaluate(run, missing, episodes, num_threads=1)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
    except Interrupted as stop:
        sys.exit(str(stop))
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
