"""Reading checkpoints, other people's too, so that nothing in them is run."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

# Published checkpoints hold arrays beside tensors and plain Python; nothing else is let in.
TYPES: list[Any] = [np.ndarray, np.dtype, *(getattr(np.core.multiarray, name) for name in ("_reconstruct", "scalar"))]
TYPES += [type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "bool", "uint32")]


def with_arrays() -> AbstractContextManager[Any]:
    """Where ``torch.load`` accepts those."""
    return torch.serialization.safe_globals(TYPES)


def read_checkpoint(file: Path) -> dict[str, Any]:
    """All of a checkpoint of torch's.

    Raises:
        ValueError: not readable without running what is in it.
    """
    try:
        with with_arrays():
            content = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            raise TypeError(f"it holds {type(content).__name__}")
        return content
    except Exception as error:  # torch, pickle and zipfile each raise their own
        raise _unreadable(file, error) from None


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Named tensors: of a ``.safetensors`` file, or of torch's with the weights at its top or in ``state_dict``.

    Raises:
        ValueError: not readable.
    """
    if file.suffix == ".safetensors":
        try:
            return dict(safetensors.torch.load_file(file))
        except (OSError, safetensors.SafetensorError) as error:
            raise _unreadable(file, error) from None
    content = read_checkpoint(file)
    content = content.get("state_dict", content)
    return {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _unreadable(file: Path, error: Exception) -> ValueError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
    return ValueError(f"{file}: not readable ({reason}); accepted: tensors in .pth or .safetensors")


def load_weights(model: torch.nn.Module, file: Path) -> None:
    """Take over what fits by name and shape: a checkpoint of other keypoints gives its backbone.

    Raises:
        ValueError: not readable, or nothing of the backbone fits.
    """
    there, wanted = read_tensors(file), model.state_dict()
    fitting = {name: value for name, value in there.items() if name in wanted and value.shape == wanted[name].shape}
    if not any(name.startswith("backbone.") for name in fitting):
        raise ValueError(f"{file}: no weights of this model's backbone; accepted: a checkpoint of the same model")
    model.load_state_dict(fitting, strict=False)
