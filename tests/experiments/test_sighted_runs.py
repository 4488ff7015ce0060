"""Whole runs of agents that see pictures: trained, stopped, continued, judged and filmed."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from envs.film import Shot
from envs.frames import Frames
from experiments.config import RunConfig
from experiments.evaluate import evaluate
from experiments.play import record_video
from experiments.run import Run, create_run
from experiments.statistics import read_episodes
from experiments.train import train
from tests.experiments.test_train import cut_and_judged, final_state

Tiny = Callable[..., RunConfig]

SMALL: dict[str, Any] = {"size": 36, "stack": 2}
SIGHTED: dict[str, tuple[str, dict[str, Any]]] = {
    "reward": ("ppo", {"pipeline": "pixels", "pixels": {**SMALL, "shift": 2}}),
    "supervised": ("ppo", {"pipeline": "pixels", "pixels": {**SMALL, "supervised": True, "appearance": True}}),
    "replayed": ("sac", {"pipeline": "pixels", "pixels": SMALL}),
    "taught": ("dagger", {"pipeline": "pixels", "pixels": SMALL}),
    "error model": ("ppo", {"pipeline": "pose"}),
    "estimator": ("ppo", {"pipeline": "pose", "pose": {"training": "estimator", "critic": "state"}}),
}


def config(tiny: Tiny, kind: str, teacher: Run) -> RunConfig:
    agent, changes = SIGHTED[kind]
    taught = {"teacher": str(teacher.directory)} if agent == "dagger" else {}
    return tiny(agent, steps=128, checkpoint_every=64, horizon=20, **changes, **taught)


@pytest.mark.parametrize("kind", SIGHTED)
def test_it_continues_bit_identically_and_is_judged(kind: str, tiny: Tiny, ppo_run: Run, tmp_path: Path) -> None:
    run = cut_and_judged(config(tiny, kind, ppo_run), 64, tmp_path)
    name = run.config.sees.name
    assert set(read_episodes(run.episodes)["pipeline"]) == {name}
    other = run.config.sees.sights[1]
    evaluate(run, ["source"], episodes=2, num_threads=1, sights=[other])
    assert set(read_episodes(run.episodes)["pipeline"]) == {name, f"{name}@{other}"}


def test_a_buffer_of_frames_goes_along_to_where_the_agent_learns_on(tiny: Tiny, ppo_run: Run, tmp_path: Path) -> None:
    first = train(config(tiny, "replayed", ppo_run), tmp_path, num_threads=1)
    further = dataclasses.replace(first.config, study="more", start=str(first.directory), steps=192, domain="target")
    run = train(further, tmp_path, num_threads=1)
    old, new = (final_state(each)["agent"]["replay"] for each in (first, run))
    assert (old["pos"], new["pos"]) == (32, 48)
    np.testing.assert_array_equal(new["frames"][:32], old["frames"][:32])
    np.testing.assert_array_equal(new["fields"]["rewards"][:32], old["fields"]["rewards"])
    # Every episode that was cut where the first run ended keeps its last frame beside those of the new ones.
    assert new["ended"][31].all()


def first_frame(run: Run, path: Path) -> np.ndarray[Any, Any]:
    reader = imageio_ffmpeg.read_frames(str(record_video(run, "target", path)))
    width, height = next(reader)["size"]
    frame = np.frombuffer(next(reader), np.uint8).reshape(height, width, 3).astype(int)
    reader.close()
    return frame


def test_videos_show_what_the_policy_sees(tiny: Tiny, ppo_run: Run, tmp_path: Path) -> None:
    pixels, pose = (
        first_frame(
            train(dataclasses.replace(config(tiny, kind, ppo_run), steps=64, horizon=10), tmp_path / kind),
            tmp_path / "v.mp4",
        )
        for kind in ("supervised", "error model")
    )
    assert pixels.shape == pose.shape == (96 + 480, 480 + 256, 3)
    colour, seen = np.ptp(pixels[96:], axis=2), (slice(38, 274), slice(490, 726))
    assert colour[seen].mean() < 5 < colour[:, :480].mean()  # a grey frame beside a coloured picture
    assert pixels[96:][seen].std() > 20
    assert (pose[96:, 480:].max(axis=2) > 150).mean() > 0.01  # values beside the picture


def test_steps_and_hyperparameters_depend_on_what_teaches_the_encoder(tmp_path: Path) -> None:
    reward = RunConfig(pipeline="pixels").resolved()
    assert (reward.steps, reward.agent.hyperparameters["learning_rate"]) == (500_000, "linear(3e-4, 1e-4)")
    state = RunConfig().resolved()
    fitted = dataclasses.replace(
        RunConfig(pipeline="pixels"), pixels=dataclasses.replace(reward.pixels, supervised=True)
    ).resolved()
    assert (fitted.steps, fitted.agent) == (state.steps, state.agent)


def test_an_estimator_that_is_not_there_leaves_nothing(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^nowhere: no estimator is there; accepted: a directory that simgap fit-pose"
    ):
        create_run(tiny(pipeline="pose", pose={"estimator": "nowhere"}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_looks_that_there_is_no_room_for_leave_nothing(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^looks of 112 environments; MuJoCo has textures for 110 of"):
        create_run(tiny(pipeline="pixels", num_envs=112, pixels={**SMALL, "appearance": True}), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["reward", "error model"])
def test_frames_that_nobody_needs_any_more_are_not_drawn(
    kind: str, tiny: Tiny, ppo_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(dataclasses.replace(config(tiny, kind, ppo_run), steps=64, horizon=100), tmp_path, num_threads=1)
    drawn: list[int] = []
    draw = Frames.draw

    def counted(frames: Frames, shot: Shot) -> Any:
        drawn.append(len(shot.rows))
        return draw(frames, shot)

    monkeypatch.setattr(Frames, "draw", counted)
    found = evaluate(run, ["source"], episodes=4, num_threads=1)
    lengths = sorted(row["length"] for row in found)
    assert lengths[0] < lengths[-1]  # the first has fallen before the last
    needed, drawn[:] = sum(drawn), []
    with monkeypatch.context() as everybody:
        everybody.setattr(Shot, "rows", property(lambda shot: np.arange(len(shot.ids))))
        whole = evaluate(run, ["source"], episodes=4, num_threads=1)
    assert needed < sum(drawn)
    assert [row["return"] for row in found] == pytest.approx([row["return"] for row in whole], rel=1e-6)
