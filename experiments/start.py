"""A run that begins where another one is, instead of with fresh networks.

The agent takes over networks, optimisers, normalisers, counters, and the replay buffer or the spread of its population,
if it has one. Episodes begin anew, in the new run's domain, from the new run's seed. Steps count on: ``steps`` is what
the agent will have learned from in all, and a schedule stands at every step where it would in a run of so many steps
from the beginning.
"""

from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents import Exploration, Normalizer, take_over
from experiments.checkpoints import list_checkpoints, load_section
from experiments.config import RunConfig
from experiments.files import read_yaml
from experiments.plain import parse_config

_SAME = ("figure", "pipeline", "agent.name")
# Of the hyperparameters, those that decide which tensors an agent has; a replay buffer also keeps its shape.
_SAME_HYPERPARAMETERS = ("policy_kwargs", "use_rms_prop", "use_sde", "baseline")
_SAME_WITH_REPLAY = ("num_envs", "agent.hyperparameters.buffer_size")


def find_start(config: RunConfig) -> Path:
    """The checkpoint that ``config.start`` means: itself, or the newest one of a run.

    The run may also be that of the same seed in a folder of runs.

    Raises:
        ValueError: there is none, or the agent of ``config``, which is resolved, cannot go on from it.
    """
    given = Path(config.start)
    checkpoint = given
    if not (given.name.isdigit() and (given / "manifest.json").is_file()):
        folder = given if (given / "config.yaml").is_file() else given / f"seed-{config.seed:03d}"
        found = list_checkpoints(given if given.name == "checkpoints" else folder / "checkpoints")
        if not found:
            there = ", ".join(path.name for path in list_checkpoints(given.parent)) or "a run that has one"
            raise ValueError(f"start {config.start}: no checkpoint there; accepted: {there}")
        checkpoint = found[-1]
    _check(config, checkpoint)
    return checkpoint


def start_config(given: Path) -> RunConfig:
    """The configuration of the run that ``given``, as in :func:`find_start`, belongs to.

    Raises:
        ValueError: it belongs to none.
    """
    for directory in (given, *given.parents[:2], *sorted(given.glob("seed-*"))[:1]):
        file = directory / "config.yaml"
        if file.is_file():
            return parse_config(RunConfig, read_yaml(file), str(file))
    raise ValueError(f"start {given}: not a run directory, nor a checkpoint in one, nor a folder of runs")


def _check(config: RunConfig, checkpoint: Path) -> None:
    there = start_config(checkpoint)
    keys = [*_SAME, *(f"agent.hyperparameters.{key}" for key in _SAME_HYPERPARAMETERS)]
    if issubclass(config.agent.spec().algorithm(), OffPolicyAlgorithm):
        keys += _SAME_WITH_REPLAY
    for key in keys:
        old, new = _value(there, key), _value(config, key)
        if old != new:
            raise ValueError(f"{key} is {new!r}, but {old!r} in {checkpoint}; accepted: the same, or no start")
    if config.steps <= int(checkpoint.name):
        raise ValueError(
            f"steps is {config.steps}, but the start, {checkpoint}, has learned from {int(checkpoint.name)}; "
            "accepted: more, since they count on"
        )


def _value(config: RunConfig, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else getattr(value, part)
    return value


def begun_at(config: RunConfig) -> int:
    """Steps that the agent of a created run had learned from when the run began."""
    return int(Path(config.start).name) if config.start else 0


def begin(config: RunConfig, agent: BaseAlgorithm, env: VecEnv) -> float:
    """Load what the new run takes over; returns the seconds that its start was trained for.

    Raises:
        ValueError: the checkpoint is damaged, or of networks or observations of another shape.
    """
    saved = load_section(Path(config.start), "training")
    try:
        take_over(agent, saved["agent"])
        if isinstance(env, Normalizer):
            env.load_state_dict(saved["normalizer"], returns=False)
        if isinstance(agent, Exploration):
            agent.hold_std(1 - agent.num_timesteps / config.steps)
        return float(saved["elapsed"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{config.start}: {error}") from error
