"""From a dataset to an estimator, its errors and its report, in small."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vision.mmpose
from experiments.dataset import POLICIES
from experiments.files import digest
from experiments.fit_pose import fit_pose
from experiments.pose_config import LearnedConfig, PoseConfig, RolloutConfig
from experiments.pose_files import error_file, images_file, learned_file, read_pose_config
from experiments.pose_findings import held_out, reconstruct
from experiments.pose_images import Judged
from experiments.pose_report import write_pose_report
from experiments.rollouts import view_of
from experiments.run import Run
from pipelines.choices import CAMERAS
from tests.experiments.test_fit_reward import killed_at
from vision.error_fit import TooFewFrames
from vision.estimators import make_estimator
from vision.keypoints import keypoints_of
from vision.pose_config import FitConfig

SAMPLE = Path(__file__).parents[2] / "results" / "synth-hopper" / "sample"
POOR = (str(POLICIES / "hopper" / "poor"),)
SHIPPED = SAMPLE.parents[1] / "pretrained" / "pose" / "hopper" / "estimator.onnx"
TINY = PoseConfig(
    network=FitConfig(epochs=1, batch_size=16),
    rollouts=RolloutConfig(policies=POOR, frames=6, episodes=4, steps=30),
    learned=LearnedConfig(frames=6400, epochs=1, hidden=16),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A directory, and the stages that were reported.

    Three updates make a network that sees nothing, so they are made on small pictures, and the one that ships takes its
    place when it is exported.
    """
    train = vision.mmpose.train

    def train_small(config: FitConfig, *rest: Any) -> torch.nn.Module:
        return train(replace(config, input_size=64), *rest)

    directory = tmp_path_factory.mktemp("pose") / "hopper"
    stages: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vision.mmpose.train", train_small)
        patch.setattr("vision.pose_export.export", lambda model, config, file: shutil.copyfile(SHIPPED, file))
        fit_pose(TINY, SAMPLE, directory, lambda stage, done, total, note: stages.append(stage))
    return directory, list(dict.fromkeys(stages))


def test_every_stage_is_told_and_timed(made: tuple[Path, list[str]]) -> None:
    directory, stages = made
    wanted = ["training", "pictures"]
    for camera in ("track", "rail"):
        wanted += [f"rollouts ({camera})", f"state estimator ({camera})"]
    assert stages == wanted
    seconds = json.loads((directory / "stages.json").read_text())
    assert min(seconds.values()) > 0
    assert {"training", "images-blender", "tracks-rail", "error-track", "learned-rail"} <= set(seconds)


def test_the_same_again_does_nothing(made: tuple[Path, list[str]]) -> None:
    directory, _ = made
    before = {file: file.stat().st_mtime_ns for file in directory.rglob("*.npz")}
    fit_pose(TINY, SAMPLE, directory, lambda *row: pytest.fail("it did something"))
    assert {file: file.stat().st_mtime_ns for file in directory.rglob("*.npz")} == before


def test_another_configuration_or_dataset_is_refused(made: tuple[Path, list[str]], tmp_path: Path) -> None:
    directory, _ = made
    other = replace(TINY, network=replace(TINY.network, epochs=7))
    with pytest.raises(ValueError, match=r"holds an estimator with network\.epochs = 1, not 7; accepted: the same"):
        fit_pose(other, SAMPLE, directory)
    copy = shutil.copytree(SAMPLE, tmp_path / "copy")
    manifest = (copy / "manifest.sha256").read_text()
    (copy / "manifest.sha256").write_text("".join(sorted(manifest.splitlines(keepends=True))))
    with pytest.raises(ValueError, match="holds an estimator of another dataset"):
        fit_pose(TINY, copy, directory)


def test_damaged_and_unfinished_datasets_are_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(SAMPLE, tmp_path / "copy")
    (copy / "images" / "000003.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"000003\.jpg: missing or damaged"):
        fit_pose(TINY, copy, tmp_path / "new")
    (copy / "manifest.sha256").unlink()
    with pytest.raises(ValueError, match=r"not finished .*; finish it with simgap synth"):
        fit_pose(TINY, copy, tmp_path / "new")
    with pytest.raises(ValueError, match="not a dataset"):
        fit_pose(TINY, tmp_path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_other_keypoints_or_another_order_are_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(SAMPLE, tmp_path / "copy")
    labels = json.loads((copy / "annotations" / "val.json").read_text())
    labels["categories"][0]["keypoints"].reverse()
    signed(copy, "val", labels)
    with pytest.raises(ValueError, match=r"keypoints foot_tip, ankle, .*; accepted: torso_top, waist, knee"):
        fit_pose(TINY, copy, tmp_path / "new")


def signed(dataset: Path, split: str, labels: dict[str, Any]) -> Path:
    """The dataset with other labels in a split, and with a manifest that fits them."""
    name = f"annotations/{split}.json"
    (dataset / name).write_text(json.dumps(labels))
    manifest = dataset / "manifest.sha256"
    lines = [line for line in manifest.read_text().splitlines() if not line.endswith(name)]
    manifest.write_text("\n".join([*lines, f"{digest(dataset / name)}  {name}"]) + "\n")
    return dataset


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_dataset_without_images_to_judge_by_is_refused(split: str, tmp_path: Path) -> None:
    copy = shutil.copytree(SAMPLE, tmp_path / "copy")
    labels = json.loads((copy / "annotations" / f"{split}.json").read_text())
    signed(copy, split, {**labels, "images": [], "annotations": []})
    with pytest.raises(ValueError, match=rf"{split}\.json: no image; accepted: datasets with images for training, val"):
        fit_pose(TINY, copy, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_would_end_it_after_its_training_is_refused_before(own_run: Run, tmp_path: Path) -> None:
    new = tmp_path / "new"
    count = len(json.loads((SAMPLE / "annotations" / "train.json").read_text())["images"])
    large = replace(TINY, network=replace(TINY.network, batch_size=count + 1))
    message = rf"train\.json: {count} images, but batch_size is {count + 1}; accepted: {count} or less$"
    with pytest.raises(ValueError, match=message):
        fit_pose(large, SAMPLE, new)
    few = replace(TINY, rollouts=replace(TINY.rollouts, policies=(), frames=2))
    with pytest.raises(ValueError, match=r"^rollouts\.frames is 2; it must be 3 or more: one of each policy$"):
        fit_pose(few, SAMPLE, new)
    sees = replace(TINY, learned=replace(TINY.learned, policies=(str(own_run.directory),)))
    text = (own_run.directory / "config.yaml").read_text()
    for there in (text.replace("pipeline: state", "pipeline: pixels"), _with_critic(text)):
        (own_run.directory / "config.yaml").write_text(there)
        with pytest.raises(
            ValueError, match=r"a policy on (pixels|pose); accepted: on state, or on pose with pose\.cr"
        ):
            fit_pose(sees, SAMPLE, new)
    (own_run.directory / "config.yaml").write_text(text)
    shutil.rmtree(own_run.checkpoints)
    for config in (sees, replace(TINY, rollouts=replace(TINY.rollouts, policies=sees.learned.policies))):
        with pytest.raises(ValueError, match="no checkpoint yet; train it first with simgap train"):
            fit_pose(config, SAMPLE, new)
    assert not new.exists()


def _with_critic(text: str) -> str:
    """A run's configuration on pose with a critic that sees the state."""
    return text.replace("pipeline: state", "pipeline: pose").replace("critic: pose", "critic: state")


def test_a_kill_between_its_first_files_is_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / ".lock").touch()
    (new / ".config.7.tmp.yaml").write_text("half")

    for part, there in (("provenance", False), ("_estimator", True)):
        killed_at(f"experiments.fit_pose.{part}", lambda: fit_pose(TINY, SAMPLE, new), monkeypatch)
        assert read_pose_config(new) == TINY
        assert (new / "provenance.json").exists() == there


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty, and not made by simgap fit-pose"):
        fit_pose(TINY, SAMPLE, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_pictures_are_judged_in_their_own_pixels(made: tuple[Path, list[str]]) -> None:
    directory, _ = made
    blender = Judged.load(images_file(directory, "blender"))
    labels = json.loads((SAMPLE / "annotations" / "test.json").read_text())
    true = np.array([a["keypoints"] for a in labels["annotations"]], float).reshape(-1, 5, 3)
    np.testing.assert_array_equal(blender.true, true[..., :2])
    assert blender.measure(keypoints_of("hopper")).overall.median < 0.8
    assert read_pose_config(directory) == TINY
    frames = Judged.load(images_file(directory, "rail"))
    assert len(frames.true) == 6
    assert frames.measure(keypoints_of("hopper")).overall.count == (frames.flags > 0).sum()


def test_the_rollouts_that_judge_are_not_those_that_fit(made: tuple[Path, list[str]]) -> None:
    directory, _ = made
    judged = held_out(directory, "rail")
    assert judged.policy.tolist() == 2 * ["hopper/poor"]  # one episode with noise, one without
    assert judged.lengths.sum() == len(judged.true)


def test_a_filter_on_true_keypoints_gives_the_true_angles(made: tuple[Path, list[str]]) -> None:
    directory, _ = made
    tracks = held_out(directory, "rail")
    estimator = make_estimator("filter", view_of("hopper", "rail", 224), len(tracks.lengths))
    found = reconstruct(estimator, tracks.true, np.ones(tracks.true.shape[:2]), tracks)
    np.testing.assert_allclose(found[:, 1:5], tracks.observations[:, 1:5], atol=0.05)
    np.testing.assert_allclose(found[:, 0], tracks.observations[:, 0], atol=0.02)


def test_the_learned_estimator_serves_its_camera_only(made: tuple[Path, list[str]]) -> None:
    directory, _ = made
    file = learned_file(directory, "rail")
    make_estimator("learned", view_of("hopper", "rail", 224), 2, file)
    with pytest.raises(ValueError, match="trained for view"):
        make_estimator("learned", view_of("hopper", "track", 224), 2, file)
    with pytest.raises(ValueError, match="needs the file of one"):
        make_estimator("learned", view_of("hopper", "rail", 224), 2)
    with pytest.raises(ValueError, match="unknown estimator 'magic'; accepted: two_frame, filter, learned"):
        make_estimator("magic", view_of("hopper", "rail", 224), 2)


def test_the_report_prints_each_goal_for_each_camera(made: tuple[Path, list[str]]) -> None:
    directory, _ = made
    readme = write_pose_report(directory)
    text = readme.read_text()
    numbers = json.loads((readme.parent / "metrics.json").read_text())
    for goal in numbers["goals"]:
        row = next(line for line in text.splitlines() if line.startswith(f"| {goal['text']} |"))
        assert [cell.strip() for cell in row.split("|")[3:5]] == [
            f"{goal['reached'][camera]} {'met' if goal['met'][camera] else '**missed**'}"
            for camera in ("track", "rail")
        ]
    median = numbers["images"]["rail"]["overall"]["median"]
    assert numbers["goals"][0]["reached"]["rail"] == f"{median:.2f} px"
    for picture in ("errors", "episode-track", "episode-rail", "agreement"):
        assert (readme.parent / "figures" / f"{picture}.png").read_bytes()[:4] == b"\x89PNG"
        assert f"figures/{picture}.png" in text
    assert (readme.parent / "pictures-rail.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_an_estimator_that_sees_too_little_is_reported_without_a_state(
    made: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(made[0], tmp_path / "copy", ignore=shutil.ignore_patterns("training", "report"))
    shutil.copytree(made[0] / "training", copy / "training", ignore=shutil.ignore_patterns("*.pth", "2*"))
    for camera in CAMERAS:
        error_file(copy, camera).unlink()
        learned_file(copy, camera).unlink()

    def refuse(episodes: object) -> None:
        raise TooFewFrames("too few frames without drop-outs")

    monkeypatch.setattr("experiments.fit_pose.fit_error_model", refuse)
    fit_pose(TINY, SAMPLE, copy)
    text = write_pose_report(copy).read_text()
    assert "- rail: the estimator sees too little of the figure for a model of its errors and a state." in text
    assert "| velocity x, RMSE | ≤ 0.15 m/s | no state **missed** | no state **missed** |" in text
    assert "## State" not in text
    assert "## Keypoints" in text

    def fail(episodes: object) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr("experiments.fit_pose.fit_error_model", fail)
    with pytest.raises(np.linalg.LinAlgError):  # which is a ValueError, and says nothing of what the estimator sees
        fit_pose(TINY, SAMPLE, copy)
