"""A dataset's directory: its configuration, its samples, and the labels, card and checksums that are written last.

::

    <directory>/
      config.yaml         complete
      states.npz          states that policies visited and fell through
      images/000000.jpg   one per sample
      annotations/        train.json, val.json, test.json: COCO keypoints
      samples.jsonl       everything that was drawn for each sample
      progress.jsonl      images and the workers' memory over time
      README.md           the dataset's card
      manifest.sha256     checksums of images and labels, for ``sha256sum -c``; written last
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

import envs
from envs.domains import domain_model
from experiments.dataset_card import card
from experiments.files import digest, read_json_lines, read_yaml, write_json, write_text, write_with
from experiments.harvest import harvest
from experiments.plain import differences, parse_config, to_yaml
from experiments.run import find_runs
from randomization.textures import find_photos
from synth_data.coco import Record, make_dataset
from synth_data.poses import Poser
from synth_data.sample import SPLITS, Sampler, SynthConfig
from synth_data.scene import Scene
from vision.keypoints import keypoints_of

CONFIG, STATES, IMAGES, PARTS, LOCK = "config.yaml", "states.npz", "images", "parts", ".lock"
SAMPLES, PROGRESS, MANIFEST = "samples.jsonl", "progress.jsonl", "manifest.sha256"
POLICIES = Path(__file__).parents[1] / "results" / "pretrained" / "policies"
"""Small trained policies that ship with simgap, in a folder per figure: to draw, and to be judged on."""
GAITS = POLICIES.parent / "gaits"
"""Others, for state estimators to learn from, so that they are judged on policies that they have not met."""


def image_path(directory: Path, index: int) -> Path:
    """Where the image of sample ``index`` is."""
    return directory / IMAGES / f"{index:06d}.jpg"


def make_scene(config: SynthConfig) -> Scene:
    """The figure to draw, in its nominal shape.

    Raises:
        ValueError: an unknown figure, or one without keypoints.
    """
    model = domain_model(envs.task_of(config.figure), "nominal")
    return Scene(model, keypoints_of(config.figure), config.size)


def read_dataset(directory: Path) -> SynthConfig:
    """The configuration of a dataset.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    file = directory / CONFIG
    if not file.is_file():
        raise ValueError(f"{directory}: not a dataset (it has no {CONFIG})")
    return parse_config(SynthConfig, read_yaml(file), str(file))


def read_finished(directory: Path) -> SynthConfig:
    """The configuration of a dataset whose files are all as they were written.

    Raises:
        ValueError: it is not finished, or a file of it is missing or damaged.
    """
    config, manifest = read_dataset(directory), directory / MANIFEST
    if not manifest.is_file():
        raise ValueError(f"{directory}: not finished (it has no {MANIFEST}); finish it with simgap synth {directory}")
    for line in manifest.read_text(encoding="utf-8").splitlines():
        checksum, _, name = line.partition("  ")
        file = directory / name
        if not file.is_file() or digest(file) != checksum:
            raise ValueError(f"{file}: missing or damaged; accepted: the files that {MANIFEST} lists")
    return config


def make_sampler(directory: Path) -> Sampler:
    """What draws the samples of a dataset that was begun.

    Raises:
        ValueError: it is damaged.
    """
    config, file = read_dataset(directory), directory / STATES
    try:
        with np.load(file, allow_pickle=False) as states:
            banks = {name: states[name] for name in ("visited", "falls")}
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{file}: not readable ({error}); remove it to make it anew") from None
    scene = make_scene(config)
    return Sampler(config, scene, Poser(scene.model, config.poses, banks))


def check_dataset(config: SynthConfig, directory: Path) -> None:
    """Refuse what cannot be made in ``directory``, before anything is written.

    Raises:
        ValueError: the directory holds something else, or the configuration cannot be drawn.
    """
    if (directory / CONFIG).exists():
        there = read_dataset(directory)
        if there.count < config.count:  # the samples that are there stay as they are
            there = replace(there, count=config.count)
        if differing := differences(there, config):
            raise ValueError(
                f"{directory}: holds a dataset with {differing}; "
                "accepted: the same configuration with as many images or more, or another directory"
            )
    elif directory.exists() and any(
        path.name != STATES and not path.name.startswith(".") for path in directory.iterdir()
    ):
        raise ValueError(f"{directory}: not empty, and not a dataset; accepted: a new directory")
    scene = make_scene(config)
    for camera in config.cameras:
        scene.pose(scene.model.qpos0, camera)  # an unknown camera ends here
    if config.photos:
        find_photos(Path(config.photos))
    if _needs_policies(config) and not (directory / STATES).exists():
        find_runs(_policies(config))


def begin_dataset(config: SynthConfig, directory: Path) -> None:
    """Write what all samples of a checked configuration share, unless it is there.

    Raises:
        ValueError: the policies do not serve.
    """
    if not (directory / STATES).exists():
        scene = make_scene(config)
        visited = falls = np.empty((0, scene.model.nq + scene.model.nv))
        if _needs_policies(config):
            visited, falls = harvest(config.figure, _policies(config), config.seed)
        write_with(directory / STATES, lambda path: np.savez(path, visited=visited, falls=falls))
    write_text(directory / CONFIG, to_yaml(config))
    for folder in (IMAGES, PARTS):
        (directory / folder).mkdir(exist_ok=True)


def _needs_policies(config: SynthConfig) -> bool:
    return any(config.poses.shares.get(source, 0) > 0 for source in ("visited", "falls"))


def _policies(config: SynthConfig) -> list[Path]:
    return [Path(policy) for policy in config.policies] or [POLICIES / config.figure]


def read_records(directory: Path) -> dict[int, Record]:
    """Every sample whose image is there as it was written, by index.

    Raises:
        ValueError: a line that says what was drawn is damaged.
    """
    records: dict[int, Record] = {}
    for file in [directory / SAMPLES, *sorted((directory / PARTS).glob("*.jsonl"))]:
        for number, record in enumerate(read_json_lines(file), start=1):
            try:
                image, checksum = image_path(directory, record["id"]), record["sha256"]
            except (KeyError, TypeError, ValueError):
                raise ValueError(f"{file}, line {number}: damaged; accepted: the record of a sample") from None
            if image.is_file() and digest(image) == checksum:
                records[record["id"]] = record
    return records


def finish_dataset(config: SynthConfig, directory: Path, records: dict[int, Record]) -> None:
    """Write labels, card and checksums, and remove what was only needed on the way."""
    ordered = [records[index] for index in sorted(records)]
    write_text(directory / SAMPLES, "".join(json.dumps(record) + "\n" for record in ordered))
    keypoints = keypoints_of(config.figure)
    files = [directory / SAMPLES, directory / CONFIG, directory / STATES]
    for split in SPLITS:
        chosen = [record for record in ordered if record["split"] == split]
        info = {"description": f"simgap: {config.figure}, synthetic, {split}", "version": "1", "seed": config.seed}
        file = directory / "annotations" / f"{split}.json"
        write_json(file, make_dataset(chosen, config.figure, keypoints, info))
        files.append(file)
    write_text(directory / "README.md", card(config, ordered, read_json_lines(directory / PROGRESS)))
    sums = {file.relative_to(directory): digest(file) for file in files}
    sums |= {Path(record["file_name"]): record["sha256"] for record in ordered}
    write_text(directory / MANIFEST, "".join(f"{checksum}  {file}\n" for file, checksum in sums.items()))
    shutil.rmtree(directory / PARTS, ignore_errors=True)
