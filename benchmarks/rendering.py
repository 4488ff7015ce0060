"""How fast a dataset is rendered, everything included: drawing, Blender, labels, sensor, files, checksums."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.dataset import PROGRESS
from experiments.files import read_json_lines
from experiments.run import cores, provenance
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
    console = Console()
    table = Table(
        "light paths a pixel", "images/s", "of the goal", "of BlenderProc's", "with start-up", "largest worker"
    )
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
            speed = (after - before) / (last - first)
            memory = max(row["largest_worker_gb"] for row in read_json_lines(directory / PROGRESS))
        table.add_row(
            str(paths),
            f"{speed:.1f}",
            f"{speed / GOAL:.2f}",
            f"{speed / BLENDERPROC:.0f} ×",
            f"{whole:.1f}",
            f"{memory:.2f} GB",
        )
    facts = provenance()
    console.print(f"Rendering the hopper at 224 × 224 pixels with {cores()} processes, one a core.")
    console.print(table)
    console.print(
        f"The goal is {GOAL:.0f} images/s with 2 light paths. BlenderProc's figure is its authors', for other scenes. "
        f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, commit {facts['commit']}."
    )
