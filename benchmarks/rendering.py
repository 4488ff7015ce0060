"""How fast a dataset is rendered, everything included: drawing, Blender, labels, sensor, files, checksums."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.timing import Row, print_machine, table
from experiments.dataset import PROGRESS
from experiments.files import read_json_lines
from experiments.synth import generate
from synth_data.sample import SynthConfig

LIGHT_PATHS = (1, 2, 4)
GOAL = 25.0
"""Images per second at 224 × 224 pixels on two cores."""
BLENDERPROC = 50 / 60
"""Images per second that BlenderProc's authors state for their own scenes."""


def main(images: int) -> None:
    """Render ``images`` for each number of light paths and print the speeds.

    Raises:
        RuntimeError: Blender is not installed.
    """
    console = Console(highlight=False)
    cores = print_machine(console)
    rows: list[Row] = []
    for paths in LIGHT_PATHS:
        with tempfile.TemporaryDirectory(prefix="simgap-") as folder:
            directory = Path(folder) / "dataset"
            moments: list[tuple[float, int]] = []
            started = time.perf_counter()

            def note(done: int, _: int, __: float, seen: list[tuple[float, int]] = moments) -> None:
                seen.append((time.perf_counter(), done))

            generate(replace(SynthConfig(), count=images, light_paths=paths), directory, watch=note)
            whole = images / (time.perf_counter() - started)
            steady = [(at, done) for at, done in moments if done > 0.1 * images]
            (first, before), (last, after) = steady[0], next(x for x in steady if x[1] == steady[-1][1])
            speed = (after - before) / (last - first) if last > first else whole  # too few to have a middle
            memory = max(row["largest_worker_gb"] for row in read_json_lines(directory / PROGRESS))
        name = f"{paths} light path{'s' if paths > 1 else ''}"
        rows += [
            Row(name, (speed,), "images/s", GOAL if paths == SynthConfig.light_paths else None),
            Row(f"{name}, with start-up", (whole,), "images/s"),
            Row(f"{name} / BlenderProc", (speed / BLENDERPROC,), "×"),
            Row(f"{name}, largest worker", (memory,), "GB", 1.5, at_most=True),
        ]
    console.print(table(f"Rendering the hopper at 224 × 224 pixels with {cores} processes, one a core", rows))
    console.print("BlenderProc's figure is its authors', for other scenes.")
