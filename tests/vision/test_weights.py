"""Checkpoints of others: tensors are taken over, code is not run."""

import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from vision.weights import load_weights, read_checkpoint, read_tensors


class Network(torch.nn.Module):
    def __init__(self, points: int) -> None:
        super().__init__()
        self.backbone = torch.nn.Linear(2, 3)
        self.head = torch.nn.Linear(3, points)


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("name", ["w.pth", "wrapped.pth", "w.safetensors"])
def test_what_fits_is_taken_over(tmp_path: Path, name: str) -> None:
    given, taken = Network(17), Network(5)
    before = taken.head.weight.clone()
    if name == "w.safetensors":
        safetensors.torch.save_file(given.state_dict(), tmp_path / name)
    else:
        state = given.state_dict()
        torch.save({"state_dict": state, "meta": {"epoch": 3}} if name == "wrapped.pth" else state, tmp_path / name)
    load_weights(taken, tmp_path / name)
    assert torch.equal(taken.backbone.weight, given.backbone.weight)
    assert torch.equal(taken.head.weight, before)  # of 17 keypoints there, 5 here


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="no weights of this model's backbone"):
        load_weights(Network(5), tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"not readable .*; accepted: tensors in \.pth or \.safetensors") as caught:
        read_tensors(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "meta": Hostile()}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="not readable"):
        read_checkpoint(tmp_path / "w.pth")
    (tmp_path / "p.pth").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(ValueError, match="not readable"):
        read_checkpoint(tmp_path / "p.pth")
    assert not (tmp_path / "ran").exists()
