"""Who draws the physical parameters of a training episode, and from which distributions."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from randomization.distributions import Uniform
from randomization.parameters import Draw, parse_draw
from randomization.uniform import FixedRandomizer

__all__ = [
    "RANDOMIZERS",
    "Draw",
    "FixedRandomizer",
    "RandomizationConfig",
    "make_randomizer",
    "parse_draw",
]

RANDOMIZERS: dict[str, Callable[[Sequence[Draw], int], FixedRandomizer] | None] = {
    "none": None,
    "uniform": FixedRandomizer,
}


_NAME = re.compile(r"^[A-Za-z][\w.-]{0,39}$")


@dataclass(frozen=True)
class RandomizationConfig:
    """How physical parameters are drawn at each reset during training."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    method: str = "none"
    """One of: none, uniform."""
    width: float = 0.3
    """Relative half-width of the default draws: each parameter is scaled by uniform(1 - width, 1 + width)."""
    draws: tuple[str, ...] = ()
    """What to draw instead of the figure's default parameters, e.g. 'torso_mass + uniform(-0.5, 0.5)'."""

    name: str = ""
    """What directories, tables and goals call these draws; empty for the method and what differs from its defaults."""

    def __post_init__(self) -> None:
        if self.method not in RANDOMIZERS:
            raise ValueError(f"unknown randomisation {self.method!r}; accepted: {', '.join(RANDOMIZERS)}")
        if not 0 <= self.width < 1:
            raise ValueError(f"width is {self.width:g}; it must be at least 0 and below 1")
        if self.method == "none" and (self.draws or self.name):
            given = "draws are" if self.draws else "a name is"
            raise ValueError(f"{given} given but method is 'none'; accepted: method 'uniform'")
        if self.name and (self.name in RANDOMIZERS or not _NAME.match(self.name)):
            raise ValueError(
                f"name of a randomisation is {self.name!r}; accepted: a letter, then letters, digits, _ . or -, "
                f"and none of {', '.join(RANDOMIZERS)}"
            )
        for draw in self.draws:
            parse_draw(draw)

    @property
    def label(self) -> str:
        """Short name for paths and tables: its own, or the method and what differs from its defaults."""
        if self.name:
            return self.name
        if self.draws:
            return f"{self.method}[{';'.join(draw.replace(' ', '') for draw in self.draws)}]"
        default = RandomizationConfig.width
        return self.method if self.width == default or self.method == "none" else f"{self.method}{self.width:g}"


def make_randomizer(config: RandomizationConfig, defaults: Sequence[str], seed: int) -> FixedRandomizer | None:
    """The randomizer of a configuration; ``defaults`` are the figure's randomised parameters."""
    kind = RANDOMIZERS[config.method]
    if kind is None:
        return None
    spread = Uniform(1 - config.width, 1 + config.width)
    draws = [parse_draw(text) for text in config.draws] or [Draw(name, "*", spread) for name in defaults]
    return kind(draws, seed)
