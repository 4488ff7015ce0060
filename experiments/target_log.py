"""Logs of a policy in a target domain: the data of identification, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import envs
from envs.domains import parse_domain
from experiments.config import seed_streams
from experiments.files import write_with
from experiments.harvest import Rollout, act
from experiments.run import Run

Array = npt.NDArray[np.float64]

FORMAT = "simgap-target-log-1"
_LOGGING = 250_000  # after a seed's first evaluation seed: starts that neither training nor evaluation has
_ARRAYS = {"states": 2, "actions": 2, "next_states": 2, "episode": 1}
_FACTS = {"figure": str, "domain": str, "mass_only": bool, "dt": float, "episodes": int, "steps": int}


@dataclass(frozen=True)
class TargetLog:
    """Transitions of whole episodes in a domain."""

    figure: str
    domain: str
    mass_only: bool
    """Whether its shifts of masses leave inertias as they were."""
    dt: float
    """Seconds from a state to the next."""
    episodes: int
    """Played for it: the budget."""
    steps: int
    """Made in the domain, also those whose next state is not kept because an episode ended there."""
    states: Array
    """Positions and velocities ``(n, nq + nv)``, as the domain's sensors measure them."""
    actions: Array
    """Commanded, ``(n, actuators)``."""
    next_states: Array
    episode: npt.NDArray[np.int64]
    """That each transition belongs to, ``(n,)``."""


def log_target(run: Run, domain: str, episodes: int) -> TargetLog:
    """Let the run's policy play ``episodes`` whole episodes in ``domain``, on starts of its own.

    Raises:
        ValueError: no checkpoint, an unknown domain, an impossible count, or no transition came of it.
    """
    if not 1 <= episodes <= 100_000:
        raise ValueError(f"episodes is {episodes}; it must be from 1 to 100000")
    return transitions(run, domain, play_target(run, domain, episodes, 0))


def play_target(run: Run, domain: str, episodes: int, played: int) -> Rollout:
    """``episodes`` whole episodes of the run's last checkpoint, on starts after the first ``played``."""
    seed = seed_streams(run.config.seed)[1] + _LOGGING + played
    rollout = act(run, domain, episodes, run.config.horizon, seed)
    noise = parse_domain(domain, envs.task_of(run.config.figure)).sensor_noise
    if noise:
        # The log is what sensors say: each state is measured once, for what comes before it and after it.
        measured = np.random.default_rng((seed, played)).standard_normal(rollout.states.shape)
        rollout.states[:] += noise * measured
    return rollout


def transitions(run: Run, domain: str, rollout: Rollout) -> TargetLog:
    """The log of what was played.

    Raises:
        ValueError: every episode ended in its first step.
    """
    kept = rollout.running[1:]
    if not kept.any():
        raise ValueError(f"domain {domain!r}: every episode of {run.name} ended in its first step; nothing to log")
    model = rollout.model
    return TargetLog(
        run.config.figure,
        domain,
        run.config.mass_only,
        float(model.opt.timestep) * rollout.frame_skip,
        rollout.running.shape[1],
        int(rollout.running.sum()),
        rollout.states[:-1][kept],
        np.asarray(rollout.actions[1:][kept], np.float64),
        rollout.states[1:][kept],
        np.nonzero(kept)[1],
    )


def write_log(log: TargetLog, file: Path) -> None:
    """Write a log as plain arrays, without pickle."""
    if file.suffix != ".npz":
        raise ValueError(f"{file}: accepted: a file name that ends in .npz")
    write_with(file, lambda path: np.savez_compressed(path, allow_pickle=False, format=FORMAT, **vars(log)))


def read_log(file: Path) -> TargetLog:
    """Read a log.

    Raises:
        ValueError: it is missing, damaged or empty, or of a figure that is not known.
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as data:
            content: dict[str, Any] = {name: data[name] for name in ("format", *_FACTS, *_ARRAYS)}
    except Exception as error:  # zip, zlib, struct and NumPy each have their own for a damaged file
        raise ValueError(f"{file}: not a log of a target ({error}); accepted: what simgap log-target wrote") from None
    if str(content.pop("format")) != FORMAT:
        raise ValueError(f"{file}: not a log of this version; accepted: {FORMAT}")
    try:
        for name, kind in _FACTS.items():
            content[name] = kind(content[name].item())
        for name, dimensions in _ARRAYS.items():
            content[name] = content[name].astype(np.int64 if name == "episode" else np.float64, casting="safe")
            if content[name].ndim != dimensions or len(content[name]) != len(content["states"]):
                raise ValueError(f"{name} has the shape {content[name].shape}")
            if not np.isfinite(content[name]).all():
                raise ValueError(f"{name} holds what is not a finite number")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: damaged: {error}") from None
    log = TargetLog(**content)
    if not len(log.states):
        raise ValueError(f"{file}: holds no transition; accepted: a log of at least one")
    model = envs.domain_model(envs.task_of(log.figure), "nominal")
    wanted = (model.nq + model.nv, model.nu, model.nq + model.nv)
    if (log.states.shape[1], log.actions.shape[1], log.next_states.shape[1]) != wanted:
        raise ValueError(f"{file}: damaged: its states and actions do not have the sizes of {log.figure}")
    return log


def join(logs: Sequence[TargetLog]) -> TargetLog:
    """Several logs as one; their budgets add up.

    Raises:
        ValueError: none, or logs of different figures or of different inertias.
    """
    if not logs:
        raise ValueError("no log of a target is given; accepted: one or more files of simgap log-target")
    figures = sorted({log.figure for log in logs})
    if len(figures) > 1:
        raise ValueError(f"logs of different figures: {', '.join(figures)}; accepted: of one")
    if len({log.mass_only for log in logs}) > 1:
        raise ValueError("logs with and without mass_only; accepted: of one kind")
    offsets = np.cumsum([0, *(log.episodes for log in logs)])
    return TargetLog(
        figure=figures[0],
        domain=" and ".join(dict.fromkeys(log.domain for log in logs)),
        mass_only=logs[0].mass_only,
        dt=logs[0].dt,
        episodes=sum(log.episodes for log in logs),
        steps=sum(log.steps for log in logs),
        states=np.concatenate([log.states for log in logs]),
        actions=np.concatenate([log.actions for log in logs]),
        next_states=np.concatenate([log.next_states for log in logs]),
        episode=np.concatenate([log.episode + offset for log, offset in zip(logs, offsets, strict=False)]),
    )
