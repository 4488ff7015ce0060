"""A key of a run's configuration that a search varies, and what it may be."""

import json
import math
from dataclasses import dataclass
from typing import Any

import optuna


@dataclass(frozen=True)
class Parameter:
    """What a key may be: one of some choices, a number of a range, or a whole number of one."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    choices: list[Any] | None = None
    """Any values that the key takes, lists and mappings too."""
    range: list[float] | None = None
    """Lowest and highest number."""
    integers: list[int] | None = None
    """Lowest and highest whole number."""
    log: bool = False
    """Draw the logarithm evenly."""
    step: float | None = None
    """Only every so many, counted from the lowest; the highest is one of them."""

    def __post_init__(self) -> None:
        given = [key for key in ("choices", "range", "integers") if getattr(self, key) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(f"needs one of choices, range, integers; found {found}")
        if self.choices is not None:
            self._check_choices(self.choices)
        else:
            self._check_range(given[0])

    def _check_choices(self, choices: list[Any]) -> None:
        if not choices or any(choice in choices[:place] for place, choice in enumerate(choices)):
            raise ValueError(f"choices is {choices}; it must have at least one value, and none twice")
        if self.log or self.step is not None:
            raise ValueError("log and step are for a range or integers, not for choices")

    def _check_range(self, key: str) -> None:
        ends = getattr(self, key)
        if len(ends) != 2 or not all(map(math.isfinite, ends)) or not ends[0] < ends[1]:
            raise ValueError(f"{key} is {ends}; it must be [low, high] with low below high")
        if self.log and ends[0] <= 0:
            raise ValueError(f"{key} starts at {ends[0]}; with log it must be above 0")
        if self.step is None:
            return
        if self.log:
            raise ValueError("accepted: either log or step, not both")
        whole = self.step > 0 and math.isclose((ends[1] - ends[0]) / self.step % 1, 0, abs_tol=1e-9)
        whole |= self.step > 0 and math.isclose((ends[1] - ends[0]) / self.step % 1, 1, abs_tol=1e-9)
        if not whole or (self.integers is not None and self.step % 1):
            raise ValueError(f"step is {self.step:g}; it must divide {key} {ends} into equal parts")

    @property
    def extremes(self) -> list[Any]:
        """All choices, or both ends."""
        return list(self.choices or self.range or self.integers or ())

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """The same for Optuna; choices that are no plain values stand there as JSON."""
        if self.choices is not None:
            return optuna.distributions.CategoricalDistribution([label(choice) for choice in self.choices])
        if self.integers is not None:
            low, high = self.integers
            return optuna.distributions.IntDistribution(low, high, self.log, int(self.step or 1))
        assert self.range is not None
        lowest, highest = self.range
        return optuna.distributions.FloatDistribution(lowest, highest, self.log, self.step)

    def suggest(self, trial: optuna.Trial, key: str) -> Any:
        """The key's value in a trial."""
        if self.choices is not None:
            labels = [label(choice) for choice in self.choices]
            return self.choices[labels.index(trial.suggest_categorical(key, labels))]
        if self.integers is not None:
            low, high = self.integers
            return trial.suggest_int(key, low, high, step=int(self.step or 1), log=self.log)
        assert self.range is not None
        return trial.suggest_float(key, *self.range, step=self.step, log=self.log)

    def value(self, suggested: Any) -> Any:
        """The key's value that Optuna's ``suggested`` one stands for."""
        if self.choices is None:
            return suggested
        return self.choices[[label(choice) for choice in self.choices].index(suggested)]


def label(choice: Any) -> bool | int | float | str | None:
    """A choice as Optuna and tables know it."""
    return choice if choice is None or isinstance(choice, bool | int | float | str) else json.dumps(choice)
