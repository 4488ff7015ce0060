"""A run's policy for other tools: a plain Stable-Baselines3 zip."""

from pathlib import Path

from agents import Normalizer, fold_normalizer
from experiments.evaluate import load_trained
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
    policy = load_trained(run, run.config.domain, num_envs=1, num_threads=1)
    if isinstance(policy.env, Normalizer):
        fold_normalizer(policy.agent, policy.env)
    write_with(path, lambda temporary: policy.agent.save(temporary, exclude=["env", "_vec_normalize_env"]))
    return path
