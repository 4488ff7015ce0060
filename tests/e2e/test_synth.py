"""A dataset whose makers are killed is the dataset that one undisturbed worker makes, file by file."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from experiments.dataset import check_dataset, read_records
from experiments.executors import ExecutorConfig
from experiments.plain import to_yaml
from experiments.preview import write_preview
from experiments.synth import generate
from randomization.appearance import AppearanceConfig
from synth_data.poses import PoseConfig
from synth_data.sample import SynthConfig

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Blender's wheel exists for Python 3.11 only")

PATIENCE = 300.0
"""Seconds after which a process that does not get anywhere counts as hanging."""

CONFIG = SynthConfig(
    count=12,
    size=64,
    validation=0.2,
    test=0.2,
    poses=PoseConfig(shares={"joints": 1.0}),
    appearance=AppearanceConfig(blur=0.5).without_photos(),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("synth") / "whole"
    generate(CONFIG, directory, workers=1)
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    """The files that do not tell when and how fast they were made."""
    told = ("README.md", "progress.jsonl", ".lock", "preview.jpg", "preview.html")
    files = [path for path in directory.rglob("*") if path.is_file() and path.name not in told]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_a_cluster_makes_the_same_dataset_through_a_store(whole: Path, tmp_path: Path) -> None:
    where = ExecutorConfig("ray", store=f"file://{tmp_path}/store")
    generate(CONFIG, tmp_path / "data", workers=2, where=where)
    assert contents(tmp_path / "data") == contents(whole)


def wait_until(happened: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lines(directory: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in (directory / "parts").glob("*.jsonl"))


def test_killed_workers_and_a_killed_maker_change_nothing(whole: Path, tmp_path: Path) -> None:
    directory, file = tmp_path / "killed", tmp_path / "config.yaml"
    file.write_text(to_yaml(CONFIG))
    words = ["synth", str(directory), "--config", str(file), "--workers", "2"]
    command = [sys.executable, "-c", "from experiments.cli import main; main()", *words]
    maker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: lines(directory) >= 2)
    killed = children(maker.pid)
    os.kill(killed[0], signal.SIGKILL)  # a worker: replaced by the maker
    wait_until(lambda: any(child not in killed for child in children(maker.pid)))
    seen = lines(directory)
    wait_until(lambda: lines(directory) > seen)
    workers = children(maker.pid)
    maker.kill()  # the maker itself, and what it leaves behind
    maker.wait()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert not (directory / "manifest.sha256").exists()
    generate(CONFIG, directory, workers=3)
    assert contents(directory) == contents(whole)


def test_kept_states_need_no_policies(tmp_path: Path) -> None:
    directory = tmp_path / "moved"
    directory.mkdir()
    visiting = replace(CONFIG, poses=PoseConfig(), policies=(str(tmp_path / "gone"),))
    with pytest.raises(ValueError, match=r"no run found in .*gone"):
        check_dataset(visiting, directory)
    (directory / "states.npz").write_bytes(b"")
    check_dataset(visiting, directory)


def test_a_dataset_can_grow(whole: Path, tmp_path: Path) -> None:
    directory = tmp_path / "grown"
    generate(replace(CONFIG, count=5), directory, workers=1)
    generate(CONFIG, directory, workers=2)
    assert contents(directory) == contents(whole)


def test_the_manifest_holds_every_file(whole: Path) -> None:
    lines_of_it = (whole / "manifest.sha256").read_text().splitlines()
    sums = {name: checksum for checksum, name in (line.split("  ") for line in lines_of_it)}
    files = contents(whole)
    assert set(sums) == set(files) - {"manifest.sha256"}
    assert all(hashlib.sha256(files[name]).hexdigest() == checksum for name, checksum in sums.items())


def test_an_image_that_was_changed_is_made_again(whole: Path) -> None:
    before = contents(whole)
    (whole / "images" / "000003.jpg").write_bytes(b"nothing")
    (whole / "images" / "000005.jpg").unlink()
    assert sorted(set(range(12)) - set(read_records(whole))) == [3, 5]
    generate(CONFIG, whole, workers=1)
    assert contents(whole) == before


def test_coco_reads_every_split(whole: Path) -> None:
    counts = []
    for split in ("train", "val", "test"):
        coco = COCO(str(whole / "annotations" / f"{split}.json"))
        counts.append(len(coco.getImgIds()))
        for annotation in coco.loadAnns(coco.getAnnIds()):
            mask = coco.annToMask(annotation)
            assert mask.shape == (64, 64)
            assert mask.sum() == annotation["area"]
            points = np.array(annotation["keypoints"]).reshape(5, 3)
            assert annotation["num_keypoints"] == (points[:, 2] > 0).sum()
    assert sum(counts) == 12
    assert min(counts) > 0


def test_a_preview_shows_every_image(whole: Path) -> None:
    page = write_preview(whole).read_text(encoding="utf-8")
    assert page.count("drawn by MuJoCo") == 12
    assert "12 images of 64 × 64 pixels" in page
    assert (whole / "preview.jpg").stat().st_size > 10_000


def test_another_configuration_is_refused(whole: Path, tmp_path: Path) -> None:
    before = contents(whole)
    with pytest.raises(ValueError, match="holds a dataset with size = 64, not 32; accepted: the same configuration"):
        generate(replace(CONFIG, size=32), whole)
    with pytest.raises(ValueError, match="holds a dataset with count = 12, not 11; accepted: the same configuration"):
        generate(replace(CONFIG, count=11), whole)
    assert contents(whole) == before
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="not empty, and not a dataset; accepted: a new directory"):
        generate(CONFIG, tmp_path)


def test_workers_that_cannot_work_end_in_one_line(whole: Path, tmp_path: Path) -> None:
    directory = tmp_path / "broken"
    directory.mkdir()
    (directory / "config.yaml").write_text((whole / "config.yaml").read_text())
    (directory / "states.npz").write_bytes(b"torn")
    with pytest.raises(RuntimeError, match=r"rendering failed \(exit status 1\): .*states.npz: not readable"):
        generate(CONFIG, directory, workers=1)
    assert list((directory / "images").iterdir()) == []
