import errno
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from experiments import checkpoints, files
from experiments.checkpoints import KEEP, list_checkpoints, load_section, pack, save_checkpoint, unpack

TREES: dict[str, Any] = {
    "plain": {"a": 1, "b": [True, None, "ü", 2.5], "c": {}, "d": [], "e": ()},
    "big numbers": {"state": 2**127 + 1, "negative": -(2**70), "tiny": 5e-324},
    "not finite": [math.inf, -math.inf],
    "keys": {0: "a", 1: {2: "b"}, "0": "c", None: "d", (1, 2): "e"},
    "tuples": (1, (2, [3, (4,)]), ("x",)),
    "a dict that looks like ours": {"tensor": "00000", "array": 1, "tuple": [1], "items": []},
}
ARRAYS: list[Any] = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array(3.5),
    np.array([True, False]),
    np.array(7, np.int64),
    np.float32(1.25),
    np.zeros((0, 4), np.uint8),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(10)[::3],
    np.array([np.nan, np.inf, -0.0]),
    torch.arange(4, dtype=torch.uint8),
    torch.tensor(2.0, dtype=torch.float64),
    torch.tensor([True, False]),
    torch.full((2, 2), torch.nan),
    torch.nn.Parameter(torch.ones(3)),
    torch.arange(6).reshape(2, 3).T,
]


def around(tree: Any, folder: Path) -> Any:
    """The tree after it has been on disk."""
    return load_section(save_checkpoint(folder, 1, {"section": tree}), "section")


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_plain_trees_come_back_equal(tree: Any, tmp_path: Path) -> None:
    back = around(tree, tmp_path)
    assert back == tree
    assert repr(back) == repr(tree)  # types too: 1 is not True, (1,) is not [1]


@pytest.mark.parametrize(
    "array", ARRAYS, ids=lambda array: f"{type(array).__name__}-{tuple(array.shape)}-{array.dtype}"
)
def test_arrays_and_tensors_come_back_with_their_bits(array: Any, tmp_path: Path) -> None:
    back = around({"inside": [array]}, tmp_path)["inside"][0]
    tensor = isinstance(array, torch.Tensor)
    assert isinstance(back, torch.Tensor) == tensor
    was = array.detach().numpy() if tensor else np.asarray(array)
    now = back.numpy() if tensor else back
    assert now.dtype == was.dtype
    assert now.shape == was.shape
    assert now.tobytes() == was.tobytes()
    now[...] = 0  # writable, as optimisers need it


def test_nan_comes_back(tmp_path: Path) -> None:
    assert math.isnan(around({"a": math.nan}, tmp_path)["a"])


def test_random_generators_continue_where_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rng.random(7)
    back = around({"numpy": rng.bit_generator.state, "torch": torch.get_rng_state()}, tmp_path)
    other = np.random.default_rng(0)
    other.bit_generator.state = back["numpy"]
    assert (other.random(5) == rng.random(5)).all()
    assert torch.equal(back["torch"], torch.get_rng_state())


def test_objects_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="a checkpoint cannot hold a PosixPath"):
        pack({"a": [Path("x")]}, {})


def test_unpack_does_not_share_memory() -> None:
    tensors = {"00000": np.zeros(2)}
    unpack({"array": "00000"}, tensors)[0] = 1
    assert tensors["00000"].tolist() == [0, 0]


def test_only_the_newest_stay(tmp_path: Path) -> None:
    for step in (1000, 20, 3, 400):
        save_checkpoint(tmp_path, step, {"policy": {"step": step}})
    assert KEEP == 2
    assert [path.name for path in list_checkpoints(tmp_path)] == ["000000000400", "000000001000"]
    assert load_section(list_checkpoints(tmp_path)[-1], "policy") == {"step": 1000}
    assert list_checkpoints(tmp_path / "absent") == []


def test_an_existing_checkpoint_is_never_replaced(tmp_path: Path) -> None:
    first = save_checkpoint(tmp_path, 5, {"policy": 1})
    assert save_checkpoint(tmp_path, 5, {"policy": 2}) == first
    assert load_section(first, "policy") == 1


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_earlier_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"policy": step})

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(checkpoints, "write_json", fail)  # the manifest comes last
    with pytest.raises(type(error)):
        save_checkpoint(tmp_path, 3, {"policy": 3})
    assert sorted(os.listdir(tmp_path)) == ["000000000001", "000000000002"]
    assert load_section(list_checkpoints(tmp_path)[-1], "policy") == 2


def test_a_full_disk_while_tensors_are_written_is_an_oserror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    with pytest.raises(OSError, match=r"000000000001: cannot be written .*No space left on device"):
        save_checkpoint(tmp_path, 1, {"policy": {}})
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_neither_read_nor_kept(tmp_path: Path) -> None:
    half = tmp_path / ".000000000007.99999.tmp"
    half.mkdir()
    (half / "policy.json").write_text("{")
    assert list_checkpoints(tmp_path) == []
    save_checkpoint(tmp_path, 8, {"policy": 1})
    assert os.listdir(tmp_path) == ["000000000008"]


def test_the_checkpoint_is_flushed_before_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(files, "_sync", lambda path: flushed.append(path.name))
    save_checkpoint(tmp_path, 1, {"policy": {}})
    assert {"policy.json", "policy.safetensors", "manifest.json"} <= set(flushed)
