"""What training logs: one JSON line per update, read back as the learning curve."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from stable_baselines3.common.logger import KVWriter

from experiments.files import append_json_line, write_text
from experiments.plots import learning_curve, save
from experiments.run import Run

BEST, WORST = "rollout/ep_rew_best", "rollout/ep_rew_worst"
"""What agents that search with a population log beside the mean."""


class MetricsFile(KVWriter):
    """SB3 log output that appends each dump as one JSON line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        """Append one row."""
        row = {key: float(v) for key, v in key_values.items() if isinstance(v, int | float | np.number)}
        append_json_line(self.path, {"step": step, **row})

    def close(self) -> None:
        """Nothing is kept open."""


def truncate_metrics(run: Run, steps: int) -> None:
    """Drop rows after the checkpoint that training continues from: they will come again."""
    rows = [row for row in run.rows() if row["step"] <= steps]
    if run.metrics.exists():
        write_text(run.metrics, "".join(json.dumps(row) + "\n" for row in rows))


def read_curve(run: Run) -> pd.DataFrame:
    """Training returns of a run: columns ``step`` and ``return`` (mean of the last 100 episodes).

    Of a population ``return`` is the mean of a generation, and columns ``best`` and ``worst`` stand beside it.

    Raises:
        ValueError: the metrics file is damaged.
    """
    rows = [row for row in run.rows() if "rollout/ep_rew_mean" in row]
    columns = {"return": "rollout/ep_rew_mean"}
    if rows and BEST in rows[0]:
        columns |= {"best": BEST, "worst": WORST}
    curve = {name: [row[key] for row in rows] for name, key in columns.items()}
    return pd.DataFrame({"step": [row["step"] for row in rows], **curve})


def write_learning_curve(run: Run) -> None:
    """Draw ``learning_curve.png`` once an episode has ended."""
    curve = read_curve(run)
    if len(curve):
        save(learning_curve(curve, run.config.training_horizon), run.directory / "learning_curve.png")
