"""What a search looks through: the keys of a run's configuration that vary, their ranges, and how runs are judged."""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.config import MAX_ENVS, NAME, NAME_WORDS, RunConfig
from experiments.files import read_yaml
from experiments.objectives import OBJECTIVES
from experiments.plain import parse_config
from experiments.search_methods import PRUNERS, SAMPLERS
from experiments.search_parameters import Parameter

SEARCHES = Path(__file__).parent / "searches"
FIRST_SEED = 1000
"""Of a trial's runs. Studies train with 0, 1, 2 …, so that what a search finds is not confirmed on its own seeds."""
DECIDED = {
    "study": "each trial is one",
    "seed": f"a trial trains with seeds {FIRST_SEED}, {FIRST_SEED + 1} …, see seeds",
}
COMPARABLE = {
    "figure": "returns of different figures cannot be compared",
    "horizon": "returns of different horizons cannot be compared",
}


@dataclass(frozen=True)
class SearchSpace:
    """A base configuration, the keys that vary, and how a trial is judged."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    name: str
    title: str
    description: str
    base: dict[str, Any]
    """Keys of a run's configuration that all trials share."""
    parameters: dict[str, Parameter]
    """What varies, by dotted path: ``steps``, ``agent.hyperparameters.gamma``."""
    trials: int = 50
    """How many in all, over every process and start."""
    objective: str = "mean"
    """One of: mean, iqm, stable, motion."""
    domain: str = ""
    """Domain that trials are judged in; empty for the base's training domain."""
    episodes: int = 100
    """Evaluation episodes of each seed."""
    seeds: int = 1
    """Training seeds of each trial, whose scores are averaged."""
    sampler: str = "tpe"
    """Who proposes values. One of: tpe, tpe_multivariate, random, gp, nsgaii."""
    pruner: str = "median"
    """Who ends hopeless trials, by the first seed's training returns. One of: none, median, percentile, halving,
    hyperband."""
    seed: int = 0
    """Of the sampler."""

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.name):
            raise ValueError(f"name {self.name!r} must be {NAME_WORDS}")
        for key, high in (("trials", 10**6), ("episodes", MAX_ENVS), ("seeds", 1000)):
            if not 1 <= getattr(self, key) <= high:
                raise ValueError(f"{key} is {getattr(self, key)}; it must be from 1 to {high}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is {self.seed}; it must be from 0 to {2**32 - 1}")
        for key, accepted in (("objective", OBJECTIVES), ("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if getattr(self, key) not in accepted:
                raise ValueError(f"unknown {key} {getattr(self, key)!r}; accepted: {', '.join(accepted)}")
        if not self.parameters:
            raise ValueError("parameters is empty; a search needs at least one")
        for key in self.parameters:
            for refused in (DECIDED, COMPARABLE):
                if key in refused:
                    raise ValueError(f"parameters.{key}: cannot be searched: {refused[key]}")
        for key in DECIDED:
            if key in self.base:
                raise ValueError(f"base.{key}: cannot be set: {DECIDED[key]}")

    def check(self) -> None:
        """Raise ``ValueError`` where a run, its agent or its evaluation refuses a value that a parameter may have."""
        for values, config in self.corners.items():
            try:
                config.make_agent()
            except ValueError as error:
                raise ValueError(f"parameters.{values}: {error}") from None
        next(iter(self.corners.values())).make_env(num_envs=1, num_threads=1, domain=self.judged_in)

    def config(self, values: Mapping[str, Any], study: str = "trial", seed: int = FIRST_SEED) -> RunConfig:
        """The run of a trial with these values of the parameters.

        Raises:
            ValueError: one line, in which the run's own words follow the values.
        """
        data: dict[str, Any] = {**deepcopy(self.base), "study": study, "seed": seed}
        for key, value in values.items():
            *folders, last = key.split(".")
            place = data
            for folder in folders:
                place = place.setdefault(folder, {})
                if not isinstance(place, dict):
                    raise ValueError(f"{folder} is {place!r} in base; accepted: a mapping above {last}")
            place[last] = value
        return parse_config(RunConfig, data, "with these values" if values else "base")

    @cached_property
    def corners(self) -> dict[str, RunConfig]:
        """A run for every choice and both ends of every range, called by it, with each other parameter at its first.

        Raises:
            ValueError: no run can have that value; one line names the key.
        """
        self.config({})  # so that what is wrong with the base is not laid on a parameter
        first = {key: parameter.extremes[0] for key, parameter in self.parameters.items()}
        runs = {}
        for key, parameter in self.parameters.items():
            for value in parameter.extremes:
                try:
                    runs[f"{key} = {value!r}"] = self.config({**first, key: value}).resolved()
                except ValueError as error:
                    reason = str(error).removeprefix("with these values: ")
                    raise ValueError(f"parameters.{key} = {value!r}: {reason}") from None
        return runs

    @property
    def judged_in(self) -> str:
        """The domain of the evaluation."""
        return self.domain or str(self.base.get("domain", RunConfig.domain))

    @property
    def longest(self) -> int:
        """Most environment steps that a trial trains for."""
        return max(config.steps for config in self.corners.values())


def read_space(name: str) -> SearchSpace:
    """A search by the name of one that ships, or by the path of a YAML file.

    Raises:
        ValueError: there is no such search, or its file has a fault; one line names the key.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else SEARCHES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SEARCHES.glob("*.yaml")))
        raise ValueError(f"unknown search {name!r}; accepted: {known}, or the path of a .yaml file")
    space = parse_config(SearchSpace, _with_numbers(read_yaml(path)), str(path))
    try:
        space.check()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return space


def _with_numbers(data: Any) -> Any:
    """The file's data, with ends and steps such as 1e-4, which YAML 1.1 takes for text, as numbers."""
    if isinstance(data, dict):
        for parameter in (data.get("parameters") or {}).values() if isinstance(data.get("parameters"), dict) else ():
            if isinstance(parameter, dict):
                if isinstance(parameter.get("range"), list):
                    parameter["range"] = [_number(end) for end in parameter["range"]]
                if "step" in parameter:
                    parameter["step"] = _number(parameter["step"])
    return data


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
