"""One run of a sweep in a process of its own: ``python -m experiments.sweep_worker RUN EPISODES BASE AXIS…``."""

import sys
from pathlib import Path

from experiments.run import open_run
from experiments.sweep import sweep_run
from experiments.sweep_grid import Grid, parse_axis


def main(directory: Path, episodes: int, base: str, axes: list[str]) -> None:
    """Judge the run in every cell of the grid; its table stays in its directory."""
    run = open_run(directory)
    sweep_run(run, Grid(run.config.figure, base, tuple(map(parse_axis, axes))), episodes, num_threads=1)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
