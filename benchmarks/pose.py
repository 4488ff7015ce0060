"""How many images per second a keypoint estimator looks at, against torch's own execution of the same network."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track

from benchmarks.timing import Row, print_machine, ratio, table
from experiments.pose_images import judge_dataset
from vision.keypoints import keypoints_of
from vision.pose_config import FitConfig
from vision.runtime import PRECISIONS, PoseRuntime

SIZES = (96, 128, 192, 224)
BATCHES = (1, 8, 32)
REPEATS = 5
TORCH = "torch"

NOTE = (
    "From the pixels to the keypoints: normalisation, network and decoding. The network is `simgap fit-pose`'s default "
    "one with random weights, which no speed depends on. torch runs it as it is written (eager, float32); the others "
    "run the exported file. All use the same number of threads and take turns in one process."
)

Images = npt.NDArray[np.uint8]
Look = Callable[[Images], Any]
"""Keypoints and confidences of images ``(n, size, size, 3)``."""


def contenders(size: int, threads: int) -> Mapping[str, Look]:
    """Everything that runs the same network, by name.

    Raises:
        RuntimeError: MMPose is not installed.
    """
    try:
        from vision.mmpose import build  # takes seconds to load, and need not be installed
        from vision.pose_export import Exported, export
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"the comparison needs MMPose ({error}): pip install -c constraints.txt -e '.[pose]', "
            "then pip install -c constraints.txt --no-deps mmpose"
        ) from None
    config = replace(FitConfig(), input_size=size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build(config, keypoints_of("hopper"))
    eager = Exported(model, config).eval()

    def look(images: Images) -> Any:
        with torch.inference_mode():
            return eager(torch.from_numpy(images))

    with tempfile.TemporaryDirectory(prefix="simgap-") as folder:
        file = Path(folder) / "estimator.onnx"
        export(model, config, file)
        return {TORCH: look} | {precision: PoseRuntime(file, threads, precision) for precision in PRECISIONS}


def take_turns(looks: Mapping[str, Look], size: int, batch: int, images: int) -> dict[str, float]:
    """Images per second by name, over at least ``images`` in whole batches."""
    pixels = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
    calls, speeds = -(-images // batch), {}
    for name, look in looks.items():
        began = time.perf_counter()
        for _ in range(calls):
            look(pixels)
        speeds[name] = calls * batch / (time.perf_counter() - began)
    return speeds


def measure(threads: int, images: int) -> dict[str, dict[str, list[float]]]:
    """Images per second of each repeat, by size and batch, then by name; ``images`` are those of all repeats.

    Raises:
        RuntimeError: MMPose is not installed.
    """
    looks = {size: contenders(size, threads) for size in SIZES}
    speeds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for repeat in track(range(REPEATS + 1), "estimators"):
            for size in SIZES:
                for batch in BATCHES:
                    found = take_turns(looks[size], size, batch, -(-images // REPEATS) if repeat else 1)
                    if repeat:  # the first is the warm-up
                        for name, speed in found.items():
                            speeds[f"{size} × {size}, batch {batch}"][name].append(speed)
    finally:
        torch.set_num_threads(before)
    return speeds


def speed_rows(speeds: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Row]:
    """Speeds, and ours over torch's."""
    rows = []
    for where, found in speeds.items():
        rows += [Row(f"{where}: {name}", tuple(values), "images/s") for name, values in found.items()]
        rows += [
            ratio(f"{where}: {name} / {TORCH}", values, found[TORCH], None)
            for name, values in found.items()
            if name != TORCH
        ]
    return rows


def precision_rows(estimator: Path, dataset: Path, threads: int) -> list[Row]:
    """What bfloat16 costs on a dataset's test images: how far it moves the keypoints, and their errors in each.

    Raises:
        ValueError: not an estimator, or an image cannot be read.
        OSError: no dataset.
    """
    exact, rough = (
        judge_dataset(PoseRuntime(estimator, threads, precision), dataset, "test")[0]
        for precision in ("float32", "bfloat16")
    )
    inside = exact.flags > 0
    moved = np.linalg.norm(rough.predicted - exact.predicted, axis=-1)[inside]
    rows = [
        Row("bfloat16 from float32, median", (float(np.median(moved)),), "px", 0.05, at_most=True),
        Row("bfloat16 from float32, 99 of 100 within", (float(np.percentile(moved, 99)),), "px", 0.2, at_most=True),
        Row("bfloat16 from float32, furthest", (float(moved.max()),), "px"),
    ]
    for name, judged in (("float32", exact), ("bfloat16", rough)):
        errors = np.linalg.norm(judged.predicted - judged.true, axis=-1)[inside]
        rows.append(Row(f"{name} from the truth, median", (float(np.median(errors)),), "px"))
    return rows


def main(images: int, estimator: Path | None = None, dataset: Path | None = None) -> None:
    """Measure and print everything.

    Args:
        images: of each measurement over all repeats, rounded up to whole batches.
        estimator: an exported one, to see what bfloat16 costs in accuracy; None to leave that out.
        dataset: whose test images it looks at.

    Raises:
        ValueError: no images, an estimator without a dataset or the other way round, or one that cannot be read.
        OSError: no dataset.
        RuntimeError: MMPose is not installed.
    """
    if images < 1:
        raise ValueError(f"images is {images}; it must be 1 or more")
    if (estimator is None) != (dataset is None):
        raise ValueError("an estimator is judged on a dataset; accepted: both estimator and dataset, or neither")
    console = Console(highlight=False)
    cores = print_machine(console)
    console.print(table(f"Estimating keypoints, threads: {cores}", speed_rows(measure(cores, images))))
    if estimator is not None and dataset is not None:
        console.print(table(f"What bfloat16 costs {estimator.name}", precision_rows(estimator, dataset, cores)))
    console.print(NOTE)
