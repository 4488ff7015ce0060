"""One run of a study in a process of its own: ``python -m experiments.worker RUN EPISODES SIGHT[,SIGHT…] DOMAIN…``."""

import argparse
import sys
from pathlib import Path

from experiments.evaluate import evaluate, missing_domains
from experiments.run import open_run
from experiments.train import train
from experiments.upkeep import Interrupted
from experiments.wandb_output import Wandb


def main(directory: Path, episodes: int, sights: list[str], domains: list[str], wandb: Wandb = "off") -> None:
    """Train the run to its end, then judge it where and through what it has not been."""
    run = open_run(directory)
    train(run.config, root=directory.parents[2], num_threads=1, wandb=wandb)
    for sight in sights:
        missing = missing_domains(run, domains, episodes, sight)
        if missing:
            evaluate(run, missing, episodes, num_threads=1, sights=[sight])


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--wandb", default="off")
    words.add_argument("run", type=Path)
    words.add_argument("episodes", type=int)
    words.add_argument("sights", type=lambda text: text.split(","))
    words.add_argument("domains", nargs="*")
    given = words.parse_args()
    try:
        main(given.run, given.episodes, given.sights, given.domains, given.wandb)
    except Interrupted as stop:
        sys.exit(str(stop))
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
