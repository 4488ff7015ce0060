"""Weights & Biases as one more place that training logs to."""

import hashlib
from typing import Any, Literal

import numpy as np
from stable_baselines3.common.logger import KVWriter

from experiments.plain import to_plain
from experiments.run import Run

Wandb = Literal["off", "offline", "online"]
PROJECT = "simgap"
"""WANDB_PROJECT and WANDB_ENTITY, which wandb reads itself, say otherwise."""


class WandbOutput(KVWriter):
    """SB3 log output that sends each dump to Weights & Biases, under the steps it has everywhere."""

    def __init__(self, run: Run, mode: Literal["offline", "online"]) -> None:
        """Begin, or continue after a kill: the run's path is its identity.

        Raises:
            ValueError: wandb is not installed, or cannot log in.
        """
        try:
            import wandb
        except ImportError:
            raise ValueError("--wandb needs Weights & Biases: pip install -c constraints.txt -e '.[wandb]'") from None
        path = run.config.path.as_posix()
        settings = wandb.Settings(mode=mode, silent=True, root_dir=str(run.directory), x_disable_stats=True)
        try:
            self._run = wandb.init(
                project=None if settings.project else PROJECT,
                id=hashlib.sha256(path.encode()).hexdigest()[:16],
                name=path,
                group=run.config.path.parent.as_posix(),
                config=to_plain(run.config),
                resume="allow" if mode == "online" else None,
                settings=settings,
            )
        except (wandb.Error, OSError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"Weights & Biases: {reason:.200}; accepted: wandb login first, or --wandb offline"
            ) from None

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        """Send one row."""
        row = {key: float(v) for key, v in key_values.items() if isinstance(v, int | float | np.number)}
        self._run.log(row, step=step)

    def close(self) -> None:
        """Finish the files, or what is on its way."""
        self._run.finish()
