"""Identification before training: a log of the target becomes draws, with a report of the fit."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

import envs
from experiments.files import read_json, write_json, write_text
from experiments.identify_config import search_of
from experiments.run import Run, open_run
from experiments.target_log import TargetLog, log_target, read_log, write_log
from experiments.teacher import teacher_directory
from randomization import dropo, parse_draw, sysid
from randomization.identification import Array, Gaussian, Predict, Search, subset

IDENTIFIED, LOG = "identified.json", "target.npz"
Progress = Callable[[int, int], None]
"""Called with generations of the search done and in all."""


@dataclass(frozen=True)
class Identified:
    """What data of a target said."""

    method: str
    draws: tuple[str, ...]
    """In the notation of ``randomization.draws``."""
    episodes: int
    """Of the target, that went into it."""
    steps: int
    report: Mapping[str, Any]
    """Of the fit."""


def fit(
    method: Literal["dropo", "sysid"],
    log: TargetLog,
    domain: str,
    search: Search,
    seed: int = 0,
    num_threads: int = 1,
    covariance: Literal["diagonal", "full"] = "diagonal",
    progress: Progress | None = None,
) -> Identified:
    """Fit the parameters of ``domain`` to a log.

    Raises:
        ValueError: an unknown method, domain or parameter, or a range that is not physical.
    """
    fits = {"dropo": (dropo.TRANSITIONS, _dropo), "sysid": (sysid.TRANSITIONS, _sysid)}
    if method not in fits:
        raise ValueError(f"unknown identification {method!r}; accepted here: {', '.join(fits)}")
    simulator = envs.make_simulator(log.figure, domain, search.drawn, log.mass_only, num_threads)
    simulator.check(search.low, search.high)
    if not np.isclose(simulator.dt, log.dt):
        raise ValueError(f"the log has {log.dt:g} s from state to state; accepted: {simulator.dt:g} s")
    most, find = fits[method]
    chosen = subset(len(log.states), most, seed)
    states, actions, following = log.states[chosen], log.actions[chosen], log.next_states[chosen]
    scale = np.maximum((log.next_states - log.states).std(axis=0), 1e-9)

    def predict(unit: Array) -> Array:
        return simulator.next_states(search.operands(unit), states, actions)

    found, facts = find(predict, following, scale, search, seed, covariance, progress)
    report = {
        "target": log.domain,
        "transitions": len(chosen),
        "parameters": describe(found, search),
        **facts,
    }
    return Identified(method, found.draws(search), log.episodes, log.steps, report)


def _dropo(
    predict: Predict,
    following: Array,
    scale: Array,
    search: Search,
    seed: int,
    covariance: Literal["diagonal", "full"],
    progress: Progress | None,
) -> tuple[Gaussian, dict[str, Any]]:
    found = dropo.fit(predict, following, scale, search.nominal, seed, covariance, progress=progress)
    facts = {
        "covariance": covariance,
        "log_likelihood": found.log_likelihood / len(following),
        "log_likelihood_at_start": found.start / len(following),
        "simulated_steps": found.simulated_steps,
    }
    return found.distribution, facts


def _sysid(
    predict: Predict, following: Array, scale: Array, search: Search, *_: Any
) -> tuple[Gaussian, dict[str, Any]]:
    found = sysid.fit(predict, following, scale, search.nominal)
    widths = found.half_width * (search.high - search.low)
    facts = {
        "half_width_95": {name: float(w) for (name, _), w in zip(search.drawn, widths, strict=True) if np.isfinite(w)},
        "residual_rms": found.residual,
        "residual_rms_at_start": found.start,
    }
    return found.distribution, facts


def describe(found: Gaussian, search: Search) -> dict[str, dict[str, float]]:
    """Mean and deviation of each parameter's operand."""
    means, stds = search.operands(found.mean), found.std * (search.high - search.low)
    pairs = zip(search.drawn, means, stds, strict=True)
    return {f"{name} {operation}": {"mean": float(mean), "std": float(std)} for (name, operation), mean, std in pairs}


def identify_first(run: Run, num_threads: int) -> Identified:
    """What the run trains on: a log of its target, and the fit to it; done once, then read.

    Raises:
        ValueError: the policy that acts in the target is not there, not trained to its end or of another figure; or a
            file is damaged.
    """
    file = run.directory / IDENTIFIED
    if file.exists():
        return read_identified(file)
    config = run.config
    directory = teacher_directory(run)
    assert directory is not None  # these methods name a policy
    other = open_run(directory)
    if not other.done or other.config.figure != config.figure:
        state = "" if other.done else " that has not finished training"
        raise ValueError(
            f"{directory}: a policy of {other.config.figure}{state}; accepted to log the target of {config.figure}: "
            f"one of {config.figure} that has finished"
        )
    if other.config.mass_only != config.mass_only:
        raise ValueError(f"mass_only is {config.mass_only}, but of {directory}, which logs the target, it is not")
    if not (run.directory / LOG).exists():
        write_log(log_target(other, config.identify.domain, config.identify.episodes), run.directory / LOG)
    log = read_log(run.directory / LOG)
    if log.figure != config.figure:
        raise ValueError(f"{run.directory / LOG}: a target of {log.figure}; accepted: of {config.figure}")
    method: Any = config.identify.method
    print(f"{run.name}: fitting {len(log.states)} transitions of {log.domain} with {method}", file=sys.stderr)
    found = fit(method, log, config.domain, search_of(config), config.seed, num_threads)
    write_json(file, asdict(found))
    return found


def read_identified(file: Path) -> Identified:
    """Read ``identified.json``.

    Raises:
        ValueError: it is damaged.
    """
    content = read_json(file)
    try:
        found = Identified(**{**content, "draws": tuple(content["draws"])})
        for draw in found.draws:
            parse_draw(draw)
        int(found.episodes), int(found.steps)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{file}: damaged ({error}); remove it to identify the target anew") from None
    return found


def write_identified(found: Identified, log: TargetLog, domain: str, file: Path) -> None:
    """Write what was found as the part of a run's configuration that ``simgap train --config`` takes.

    The data's budget stands in it, so that results of training with these draws declare it.
    """
    head = yaml.safe_dump({"report": dict(found.report)}, sort_keys=False)
    content = {
        "figure": log.figure,
        "domain": domain,
        "mass_only": log.mass_only,
        "randomization": {"method": "uniform", "name": f"{found.method}-draws", "draws": list(found.draws)},
        "identify": {"episodes_spent": found.episodes, "steps_spent": found.steps},
    }
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    write_text(file, comment + yaml.safe_dump(content, sort_keys=False, width=120))
