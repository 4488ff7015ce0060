"""A run's policy for other tools: a plain Stable-Baselines3 zip."""

from pathlib import Path

from experiments.evaluate import load_folded
from experiments.files import write_with
from experiments.run import Run


def export(run: Run, path: Path) -> Path:
    """Write the last checkpoint's policy as a zip that ``PPO.load`` (or the agent's own class; of cem ARS's) opens.

    The observation normaliser is folded into the networks, so the loaded policy takes raw observations and
    returns the same actions. SB3's zip holds pickled Python objects, unlike our checkpoints: open it only
    where you trust its origin.

    Raises:
        ValueError: another suffix than .zip, no checkpoint, or a damaged one.
    """
    if path.suffix != ".zip":
        raise ValueError(f"{path}: accepted: a file name that ends in .zip")
    agent = load_folded(run)
    ours = ["ent_schedule", "std_schedule", "noise_schedule", "length_schedule"]  # that only training here reads
    write_with(path, lambda temporary: agent.save(temporary, exclude=["env", "_vec_normalize_env", *ours]))
    return path
