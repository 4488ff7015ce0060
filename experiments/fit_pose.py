"""From a dataset to everything that a pose pipeline needs, stage by stage. What is there is not made again."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from envs.cores import cores
from experiments.dataset import MANIFEST, read_finished
from experiments.files import digest, locked, read_json, write_json, write_text, write_with
from experiments.fit_learned import fit_learned
from experiments.plain import differences, to_yaml
from experiments.pose_charts import pictures
from experiments.pose_checks import check, judges, teachers
from experiments.pose_config import PoseConfig
from experiments.pose_files import (
    BLENDER,
    CONFIG,
    ESTIMATOR,
    LOCK,
    PROVENANCE,
    STAGES,
    error_file,
    images_file,
    learned_file,
    place,
    read_pose_config,
    tracks_file,
)
from experiments.pose_frames import LOOKS
from experiments.pose_images import judge_dataset, judge_frames
from experiments.pose_tracks import Tracks, record_tracks
from experiments.provenance import provenance
from pipelines.choices import CAMERAS
from vision.error_fit import TooFewFrames, fit_error_model
from vision.error_model import load_error_model
from vision.error_simulator import ErrorSimulator
from vision.keypoints import keypoints_of
from vision.runtime import PoseRuntime

SHEET = 5
"""Typical pictures on a sheet, and as many of the worst."""

PRELOADED = ["vision.mmpose", "experiments.pose_tracks", "torch._dynamo"]
"""What takes the processes that load images and record rollouts seconds to import: their server does it, once."""

Watch = Callable[[str, int, int, str], None]
"""Called with the stage, how much of it is done, how much there is, and a note."""


def fit_pose(config: PoseConfig, dataset: Path, directory: Path, watch: Watch | None = None) -> None:
    """Train on ``dataset`` (or go on), export, judge, and fit what follows from the errors.

    Raises:
        ValueError: the dataset is unfinished or damaged, the directory holds something else, or the configuration.
        RuntimeError: MMPose is not installed, or the training diverged.
    """
    made = read_finished(dataset)
    figure = made.figure
    check(config, dataset, figure)
    if (directory / CONFIG).exists():
        if differing := differences(read_pose_config(directory), config):
            raise ValueError(
                f"{directory}: holds an estimator with {differing}; accepted: the same, or a new directory"
            )
        facts_file = directory / PROVENANCE  # not there if a kill came between the two
        if facts_file.exists() and read_json(facts_file)["dataset_sha256"] != digest(dataset / MANIFEST):
            raise ValueError(
                f"{directory}: holds an estimator of another dataset; accepted: the same, or a new directory"
            )
    elif directory.exists() and any(directory.glob("[!.]*")):
        raise ValueError(f"{directory}: not empty, and not made by simgap fit-pose; accepted: a new directory")
    directory.mkdir(parents=True, exist_ok=True)
    multiprocessing.set_forkserver_preload(PRELOADED)
    try:
        with locked(directory / LOCK, wait=False):
            write_text(directory / CONFIG, to_yaml(config))  # first: it says what the directory is
            if not (directory / PROVENANCE).exists():
                facts = {
                    "figure": figure,
                    "images": made.count,
                    "dataset": dataset.name,
                    "dataset_sha256": digest(dataset / MANIFEST),
                }
                write_json(directory / PROVENANCE, {**provenance(), **facts})
            _estimator(config, dataset, figure, directory, watch)
            _images(config, dataset, figure, directory, watch)
            for camera in CAMERAS:
                _tracks(config, figure, camera, directory, watch)
                if _error_model(camera, directory):
                    _learned(config, figure, camera, directory, watch)
    except BlockingIOError:
        raise ValueError(f"{directory}: another process is working in it") from None


@contextmanager
def _stage(directory: Path, name: str) -> Iterator[None]:
    """Adds the seconds that it takes, also of a part, to the stage's."""
    started = time.monotonic()
    try:
        yield
    finally:
        file = directory / STAGES
        seconds = read_json(file) if file.exists() else {}
        write_json(file, {**seconds, name: round(seconds.get(name, 0.0) + time.monotonic() - started, 3)})


def _estimator(config: PoseConfig, dataset: Path, figure: str, directory: Path, watch: Watch | None) -> None:
    if (directory / ESTIMATOR).exists():
        return
    try:
        from vision.mmpose import best, train  # MMPose takes seconds to load, and need not be installed
        from vision.pose_export import export
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"training needs MMPose ({error}): pip install -c constraints.txt -e '.[pose]', "
            "then pip install -c constraints.txt --no-deps mmpose"
        ) from None
    keypoints, training = keypoints_of(figure), directory / "training"

    def tell(done: int, total: int, speed: float, median: float) -> None:
        if watch is not None:
            note = f"{speed:.0f} images/s" + (f"  median {median:.2f} px on validation" if median == median else "")
            watch("training", done, total, note)

    with _stage(directory, "training"):
        train(config.network, dataset, keypoints, figure, training, cores(), tell)
        model = best(config.network, keypoints, training)
        write_with(directory / ESTIMATOR, partial(export, model, config.network))


def _images(config: PoseConfig, dataset: Path, figure: str, directory: Path, watch: Watch | None) -> None:
    rollouts, policies, keypoints = config.rollouts, judges(config, figure), keypoints_of(figure)
    runtime = PoseRuntime(directory / ESTIMATOR, cores())
    wanted = [BLENDER, *(place(camera, look) for camera in CAMERAS for look in LOOKS)]
    for done, where in enumerate(wanted):
        file = images_file(directory, where)
        if file.exists():
            continue
        if watch is not None:
            watch("pictures", done, len(wanted), where)
        with _stage(directory, f"images-{where}"):
            if where == BLENDER:
                judged, images = judge_dataset(runtime, dataset, "test")
            else:
                camera, look = next((c, k) for c in CAMERAS for k in LOOKS if place(c, k) == where)
                judged, images = judge_frames(runtime, figure, policies, camera, rollouts.frames, rollouts.seed, look)
            chosen = judged.examples(SHEET)
            found = judged.predicted[chosen], judged.confidences[chosen]
            sheet = pictures([images[i] for i in chosen], *found, keypoints, SHEET)
            write_with(file.with_suffix(".jpg"), partial(_jpeg, sheet))
            judged.save(file)


def _jpeg(image: npt.NDArray[np.uint8], path: Path) -> None:
    path.write_bytes(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())


def _tracks(config: PoseConfig, figure: str, camera: str, directory: Path, watch: Watch | None) -> None:
    rollouts, stage = config.rollouts, f"rollouts ({camera})"
    if not tracks_file(directory, camera).exists():
        tell = (lambda done, total: watch(stage, done, total, "")) if watch is not None else None
        if tell is not None:
            tell(0, len(judges(config, figure)))
        with _stage(directory, f"tracks-{camera}"):
            tracks = record_tracks(
                figure,
                judges(config, figure),
                camera,
                directory / ESTIMATOR,
                rollouts.episodes,
                rollouts.steps,
                rollouts.seed,
                cores(),
                tell,
            )
            tracks.save(tracks_file(directory, camera))


def _error_model(camera: str, directory: Path) -> bool:
    """Whether there is one now: an estimator that hardly sees the figure has none, and the report says so."""
    if not error_file(directory, camera).exists():
        with _stage(directory, f"error-{camera}"):
            fitted, _ = Tracks.load(tracks_file(directory, camera)).halves()
            try:
                fit_error_model(fitted.triples()).save(error_file(directory, camera))
            except TooFewFrames:
                return False
    return True


def _learned(config: PoseConfig, figure: str, camera: str, directory: Path, watch: Watch | None) -> None:
    file = learned_file(directory, camera)
    if file.exists():
        return
    model = load_error_model(error_file(directory, camera))

    def tell(epoch: int, loss: float) -> None:
        if watch is not None:
            watch(f"state estimator ({camera})", epoch, config.learned.epochs, f"loss {loss:.4f}")

    with _stage(directory, f"learned-{camera}"):
        fit_learned(
            config.learned,
            camera,
            config.network.input_size,
            file,
            lambda count, seed: ErrorSimulator(model, count, seed),
            teachers(config, figure),
            tell,
        )
