import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.checkpoints import load_section, save_checkpoint
from experiments.config import RunConfig
from experiments.evaluate import load_trained
from experiments.files import digest, write_text
from experiments.run import Run
from experiments.train import train


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def rubbish(path: Path) -> None:
    path.write_bytes(b"\x80\x04garbage")


DAMAGE: list[tuple[str, Callable[[Path], None], str]] = [
    ("policy.json", cut, r"policy\.json: truncated or changed"),
    ("policy.safetensors", cut, r"policy\.safetensors: truncated or changed"),
    ("policy.safetensors", flip, r"policy\.safetensors: truncated or changed"),
    ("policy.json", rubbish, r"policy\.json: truncated or changed"),
    ("policy.json", Path.unlink, r"policy\.json: missing from the checkpoint"),
    ("policy.safetensors", Path.unlink, r"policy\.safetensors: missing from the checkpoint"),
    ("manifest.json", Path.unlink, r"manifest\.json: not a readable JSON file"),
    ("manifest.json", cut, r"manifest\.json: not a readable JSON file"),
    ("manifest.json", rubbish, r"manifest\.json: not a readable JSON file"),
    ("manifest.json", lambda path: write_text(path, "[]"), r"manifest\.json: holds a list"),
    ("manifest.json", lambda path: write_text(path, "{}"), r"format None; accepted: simgap-checkpoint-1"),
    (
        "manifest.json",
        lambda path: write_text(path, '{"format": "lerobot-2"}'),
        r"format 'lerobot-2'; accepted: simgap-checkpoint-1",
    ),
    (
        "manifest.json",
        lambda path: write_text(path, '{"format": "simgap-checkpoint-1", "sha256": 3}'),
        r"policy\.json: truncated or changed",
    ),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGE, ids=[f"{n}-{m[-20:]}" for n, _, m in DAMAGE])
def test_a_damaged_checkpoint_is_one_line_naming_the_file(
    own_run: Run, name: str, damage: Callable[[Path], None], message: str
) -> None:
    damage(own_run.latest_checkpoint() / name)
    with pytest.raises(ValueError, match=message) as caught:
        load_trained(own_run, "source", 1, 1)
    assert str(own_run.latest_checkpoint()) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_does_not_let_training_start_over(own_run: Run) -> None:
    (own_run.directory / "done.json").unlink()
    flip(own_run.latest_checkpoint() / "training.safetensors")
    before = own_run.metrics.read_bytes()
    with pytest.raises(ValueError, match=r"training\.safetensors: truncated or changed"):
        train(own_run.config, own_run.directory.parents[2], num_threads=1)
    assert own_run.metrics.read_bytes() == before
    assert not own_run.done


def reseal(checkpoint: Path) -> None:
    """What a forger would do: make the manifest agree with the changed files."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["sha256"] = {name: digest(checkpoint / name) for name in manifest["sha256"]}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("name", ["policy.json", "policy.safetensors", "manifest.json"])
@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_in_a_checkpoint_is_refused_and_never_run(own_run: Run, tmp_path: Path, name: str, how: str) -> None:
    marker = tmp_path / "executed"
    checkpoint = own_run.latest_checkpoint()
    if how == "pickle":
        (checkpoint / name).write_bytes(pickle.dumps(Bomb(marker)))
    else:
        torch.save({"weights": Bomb(marker)}, checkpoint / name)
    if name != "manifest.json":
        reseal(checkpoint)
    with pytest.raises(ValueError, match=r"cannot be read|not a readable JSON file") as caught:
        load_trained(own_run, "source", 1, 1)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Bomb(marker)))  # the bomb is a real one
    assert marker.exists()


@pytest.mark.parametrize(
    "content",
    ['{"tensor": "99999"}', '{"items": [[1]]}', '{"items": 3}', '{"a": 1, "b": 2}', '{"tensor": ["a"]}', "nonsense"],
)
def test_forged_json_is_refused(own_run: Run, content: str) -> None:
    checkpoint = own_run.latest_checkpoint()
    (checkpoint / "policy.json").write_text(content)
    reseal(checkpoint)
    with pytest.raises(ValueError, match="the policy section cannot be read"):
        load_section(checkpoint, "policy")


@pytest.mark.parametrize("content", ["3", "[]", "null", '{"items": []}', '{"items": [["algorithm", "PPO"]]}'])
@pytest.mark.parametrize("section", ["policy", "training"])
def test_a_section_of_another_content_is_refused(own_run: Run, content: str, section: str) -> None:
    checkpoint = own_run.latest_checkpoint()
    (checkpoint / f"{section}.json").write_text(content)
    reseal(checkpoint)
    (own_run.directory / "done.json").unlink()
    root = own_run.directory.parents[2]
    actions: dict[str, Callable[[], object]] = {
        "policy": lambda: load_trained(own_run, "source", 1, 1),
        "training": lambda: train(own_run.config, root, num_threads=1),
    }
    with pytest.raises(ValueError, match=checkpoint.name) as caught:
        actions[section]()
    assert "\n" not in str(caught.value)


def test_the_checkpoint_of_another_agent_is_refused(own_run: Run, tiny: Callable[..., RunConfig]) -> None:
    other = Run(tiny("sac").resolved(), own_run.directory)
    with pytest.raises(ValueError, match="is of PPO, not of SAC"):
        load_trained(other, "source", 1, 1)


def test_the_checkpoint_of_another_shape_is_refused(own_run: Run, tiny: Callable[..., RunConfig]) -> None:
    wider = tiny(agent={"name": "ppo", "hyperparameters": {"policy_kwargs": {"net_arch": [32, 32]}}})
    with pytest.raises(ValueError, match=r"does not fit this agent: .*size mismatch") as caught:
        load_trained(Run(wider.resolved(), own_run.directory), "source", 1, 1)
    assert str(own_run.latest_checkpoint()) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_checkpoint_of_another_figure_is_refused(own_run: Run) -> None:
    """A figure with 9 observations instead of 11: its networks and normaliser have other shapes."""
    checkpoint = own_run.latest_checkpoint()
    policy = load_section(checkpoint, "policy")
    policy["normalizer"]["observation"] = {"mean": np.zeros(9), "var": np.ones(9), "count": 1.0}
    folder = checkpoint.parent
    save_checkpoint(folder, 10**6, {"policy": policy})
    with pytest.raises(ValueError, match=r"normaliser of shape \(9,\) does not fit observations of shape \(11,\)"):
        load_trained(own_run, "source", 1, 1)
