"""Checkpoints on disk: tensors in safetensors, the rest in JSON. Nothing is pickled, so loading runs no code.

``checkpoints/<step>/`` holds two sections, ``policy`` (networks and normaliser: what acting needs) and ``training``
(everything that continuing needs), each as ``<section>.json`` with its arrays in ``<section>.safetensors``, and
``manifest.json`` with the SHA-256 of all of them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch

from experiments.files import digest, read_json, write_directory, write_json

FORMAT = "simgap-checkpoint-1"
KEEP = 2
"""Checkpoints that stay; older ones are removed once a newer one is whole on disk."""


def pack(tree: Any, tensors: dict[str, np.ndarray[Any, Any]]) -> Any:
    """Plain JSON data for ``tree``, its arrays and tensors moved to ``tensors``."""
    if isinstance(tree, torch.Tensor | np.ndarray | np.generic):
        kind = "tensor" if isinstance(tree, torch.Tensor) else "array"
        array = tree.detach().cpu().numpy() if isinstance(tree, torch.Tensor) else np.asarray(tree)
        name = f"{len(tensors):05d}"
        tensors[name] = np.ascontiguousarray(array).reshape(array.shape)
        return {kind: name}
    if isinstance(tree, dict):
        return {"items": [[pack(key, tensors), pack(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, tuple):
        return {"tuple": [pack(value, tensors) for value in tree]}
    if isinstance(tree, list):
        return [pack(value, tensors) for value in tree]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(f"a checkpoint cannot hold a {type(tree).__name__}")


def unpack(data: Any, tensors: dict[str, np.ndarray[Any, Any]]) -> Any:
    """The tree that :func:`pack` was given."""
    if isinstance(data, list):
        return [unpack(value, tensors) for value in data]
    if not isinstance(data, dict):
        return data
    ((kind, value),) = data.items()
    if kind == "tensor":
        return torch.from_numpy(tensors[value].copy())
    if kind == "array":
        return tensors[value].copy()
    if kind == "tuple":
        return tuple(unpack(item, tensors) for item in value)
    return {unpack(key, tensors): unpack(item, tensors) for key, item in value}


def save_checkpoint(folder: Path, step: int, sections: dict[str, Any]) -> Path:
    """Write ``folder/<step>`` whole or not at all, then drop all but the newest checkpoints.

    Raises:
        OSError: the disk is full or not writable; earlier checkpoints are untouched.
    """
    path = folder / f"{step:012d}"
    if path.exists():
        return path

    def write(temporary: Path) -> None:
        for name, tree in sections.items():
            tensors: dict[str, np.ndarray[Any, Any]] = {}
            data = pack(tree, tensors)
            (temporary / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
            try:
                safetensors.numpy.save_file(tensors, temporary / f"{name}.safetensors")
            except safetensors.SafetensorError as error:
                raise OSError(f"{path}: cannot be written ({error})") from None
        digests = {file.name: digest(file) for file in sorted(temporary.iterdir())}
        write_json(temporary / "manifest.json", {"format": FORMAT, "step": step, "sha256": digests})

    write_directory(path, write)
    for stale in folder.glob(".*.tmp"):  # of a process that was killed while it wrote
        shutil.rmtree(stale, ignore_errors=True)
    for old in list_checkpoints(folder)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdigit())


def load_section(checkpoint: Path, section: str) -> Any:
    """One section of a checkpoint.

    Raises:
        ValueError: one line: not a checkpoint of ours, or a file of it is missing, truncated or changed.
    """
    manifest = read_json(checkpoint / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{checkpoint}: format {manifest.get('format')!r}; accepted: {FORMAT}")
    digests = manifest.get("sha256")
    files = [checkpoint / f"{section}.json", checkpoint / f"{section}.safetensors"]
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file}: missing from the checkpoint")
        if not isinstance(digests, dict) or digest(file) != digests.get(file.name):
            raise ValueError(f"{file}: truncated or changed since it was written (SHA-256 differs)")
    try:
        tensors = safetensors.numpy.load_file(files[1])
        return unpack(json.loads(files[0].read_text(encoding="utf-8")), tensors)
    except (
        safetensors.SafetensorError,
        json.JSONDecodeError,
        KeyError,
        ValueError,
        TypeError,
    ) as error:
        raise ValueError(f"{checkpoint}: the {section} section cannot be read ({error})") from None
