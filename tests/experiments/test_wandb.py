import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from experiments.config import RunConfig
from experiments.train import train

BLOCK, HEADER = 32768, 7
"""Bytes of a block and of a record's header in the files of W&B, which are logs as LevelDB writes them."""


def records(data: bytes) -> Iterator[bytes]:
    """The records of such a file: each in one piece (type 1), or a first, middle and last one (2, 3, 4)."""
    assert data.startswith(b":W&B")
    record, at = b"", HEADER
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # too little room for a header
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        record += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):
            yield record
            record = b""


def rows(file: Path) -> list[dict[str, Any]]:
    """What an offline run has logged."""
    found = []
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            found.append({(item.key or ".".join(item.nested_key)): item.value_json for item in record.history.item})
    return found


def test_an_offline_run_logs_the_rows_of_its_metrics(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    run = train(tiny(steps=128), tmp_path, num_threads=1, wandb="offline")
    (file,) = run.directory.glob("wandb/offline-run-*/*.wandb")
    found = rows(file)
    assert [int(row["_step"]) for row in found] == [row["step"] for row in run.rows()] == [64, 128]
    for logged, row in zip(found, run.rows(), strict=True):
        for key in ("rollout/ep_rew_mean", "train/loss"):
            if key in row:
                assert float(logged[key]) == pytest.approx(row[key])
    assert "rollout/ep_rew_mean" in found[-1]
    assert any((run.directory / "tensorboard").iterdir())  # beside it


def test_without_it_nothing_is_written(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    assert not (train(tiny(steps=64), tmp_path, num_threads=1).directory / "wandb").exists()


def test_a_refusal_is_one_line(tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise wandb.errors.UsageError("No API key\nconfigured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ValueError, match=r"^Weights & Biases: No API key configured; accepted: wandb login first, or"):
        train(tiny(steps=64), tmp_path, num_threads=1, wandb="online")
