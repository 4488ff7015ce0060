"""What a study is: its grid of runs, how they are judged, its goals and its charts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from envs import figure_text, task_of
from experiments.config import NAME, NAME_WORDS, RunConfig
from experiments.files import read_yaml
from experiments.goals import check_goal
from experiments.plain import parse_config
from experiments.tables import check_chosen

STUDIES = Path(__file__).parent / "studies"


@dataclass(frozen=True)
class Goal:
    """A number that a study set out to reach, of a cell in one evaluation domain."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    text: str
    randomization: str
    train_domain: str
    eval_domain: str
    at_least: float | None = None
    at_most: float | None = None
    """One of both."""
    score: str = "iqm"
    """Of the seeds' returns: iqm; gap, what is lost from the study's source to ``eval_domain``; relative_gap, that as a
    share of the return in the source; sd, their standard deviation; stable, of each seed's episodes the mean less the
    standard deviation. Or hours, that training one of the runs took."""
    figure: str = ""
    """Empty where the study has one; so are ``pipeline`` and ``agent``."""
    pipeline: str = ""
    agent: str = ""
    of: dict[str, str] = field(default_factory=dict)
    """Columns in which another cell differs, of whose IQM the bound is then a share."""
    limits: str = ""
    """What keeps it from being reached, and what was tried; told where it is missed."""

    def __post_init__(self) -> None:
        check_goal(vars(self))
        if self.figure:  # as tables have it
            object.__setattr__(self, "figure", figure_text(task_of(self.figure)))


@dataclass(frozen=True)
class ComparedCell:
    """A row of a comparison."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    text: str
    cell: dict[str, str]
    """Values of ``figure``, ``pipeline`` (perhaps with a sight, as pose@state), ``randomization``, ``agent``,
    ``train_domain``."""
    published: dict[str, float] = field(default_factory=dict)
    """What others report for it, by evaluation domain."""

    def __post_init__(self) -> None:
        check_chosen(self.cell, "cell")
        if "figure" in self.cell:
            object.__setattr__(self, "cell", {**self.cell, "figure": figure_text(task_of(self.cell["figure"]))})


@dataclass(frozen=True)
class Comparison:
    """A chart of chosen cells."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    name: str
    """Of its picture's file."""
    title: str
    caption: str
    rows: list[ComparedCell]

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.name):
            raise ValueError(f"name {self.name!r} must be {NAME_WORDS}")


@dataclass(frozen=True)
class StudyConfig:
    """The grid: every cell is the base configuration with some keys changed, trained with every seed."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    name: str
    title: str
    description: str
    base: dict[str, Any]
    """Keys of a run's configuration that all cells share."""
    cells: list[dict[str, Any]]
    """Keys that each cell changes; ``seeds`` where it has fewer than the others, and ``sights`` where its policies are
    judged through others than their pipeline's own."""
    source: str = "source"
    """Domain that policies are trained in."""
    target: str = "target"
    """Domain that they are judged in; the same as the source when there is no gap to measure."""
    seeds: int = 10
    """Training seeds 0, 1, 2 … of each cell."""
    episodes: int = 50
    """Evaluation episodes of each seed, domain and sight."""
    goals: list[Goal] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    tuning: str = ""
    """How the settings were chosen, on what, and what else was tried; a line is a paragraph."""

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.name):
            raise ValueError(f"name {self.name!r} must be {NAME_WORDS}")
        for key in ("seeds", "episodes"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} is {getattr(self, key)}; it must be 1 or more")
        if not self.cells:
            raise ValueError("cells is empty; a study needs at least one cell (accepted: {} for the base itself)")
        paths = [config.path for config in self.runs()]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"cells: two of them are the same run {path}; each must differ from the others")

    def runs(self) -> list[RunConfig]:
        """Every run of the grid, seed by seed, so that an interrupted study has whole seeds."""
        return [config for config, _ in self._grid]

    def sights_of(self, config: RunConfig) -> list[str]:
        """What one of the grid's runs is judged through."""
        return self._sights[config.path]

    @cached_property
    def _grid(self) -> list[tuple[RunConfig, list[str]]]:
        """Each run with its sights."""
        grid = []
        for seed in range(self.seeds):
            for index, cell in enumerate(self.cells):
                where = f"study {self.name}, cells[{index}]"
                seeds = cell.get("seeds", self.seeds)
                if not isinstance(seeds, int) or not 1 <= seeds <= self.seeds:
                    raise ValueError(f"{where}: seeds is {seeds!r}; it must be from 1 to the study's {self.seeds}")
                if seed < seeds:
                    keys = {key: value for key, value in cell.items() if key not in ("seeds", "sights")}
                    given = {**_merge(self.base, keys), "study": self.name, "seed": seed}
                    config = parse_config(RunConfig, given, where)
                    grid.append((config, _sights(cell, config, where)))
        return grid

    @cached_property
    def _sights(self) -> dict[Path, list[str]]:
        """By the run's path."""
        return {config.path: sights for config, sights in self._grid}

    @property
    def domains(self) -> list[str]:
        """Evaluation domains."""
        return list(dict.fromkeys((self.source, self.target)))


def _sights(cell: Mapping[str, Any], config: RunConfig, where: str) -> list[str]:
    """What the cell's policies are judged through."""
    sights = cell.get("sights", config.sees.sights[:1])
    for sight in sights:
        if sight not in config.sees.sights:
            accepted = ", ".join(config.sees.sights)
            raise ValueError(f"{where}: unknown sight {sight!r} of {config.sees.name}; accepted: {accepted}")
    return list(sights)


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings, the changes over the base."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _merge(below, value) if both and below is not None else value
    return merged


def read_study(name: str) -> StudyConfig:
    """A study by the name of one that ships, or by the path of a YAML file.

    Raises:
        ValueError: there is no such study, or its file has a fault.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else STUDIES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in STUDIES.glob("*.yaml")))
        raise ValueError(f"unknown study {name!r}; accepted: {known}, or the path of a .yaml file")
    return parse_config(StudyConfig, read_yaml(path), str(path))
