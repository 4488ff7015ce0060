"""Who draws the physical parameters of a training episode, and from which distributions."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

from randomization.adr import AutoDR, AutoDRConfig
from randomization.distributions import Uniform
from randomization.doraemon import Doraemon, DoraemonConfig
from randomization.epopt import EPOptConfig
from randomization.parameters import Draw, parse_draw
from randomization.uniform import FixedRandomizer

__all__ = [
    "RANDOMIZERS",
    "AutoDR",
    "AutoDRConfig",
    "Doraemon",
    "DoraemonConfig",
    "Draw",
    "EPOptConfig",
    "FixedRandomizer",
    "RandomizationConfig",
    "Randomizer",
    "make_randomizer",
    "parse_draw",
]

Randomizer = FixedRandomizer | AutoDR | Doraemon
Build = Callable[[Sequence[Draw], int, "RandomizationConfig"], Randomizer]

RANDOMIZERS: dict[str, Build | None] = {
    "none": None,
    "uniform": lambda draws, seed, _: FixedRandomizer(draws, seed),
    "adr": lambda draws, seed, config: AutoDR(draws, seed, config.adr, config.reference()),
    "doraemon": lambda draws, seed, config: Doraemon(draws, seed, config.doraemon, config.reference()),
    "epopt": lambda draws, seed, _: FixedRandomizer(draws, seed),
}
CURRICULA = ("adr", "doraemon")
"""Methods that judge returns by the reference return."""
_OPTIONS = ("adr", "doraemon", "epopt")
"""Methods with options of their own, in a field of their name."""

_NAME = re.compile(r"^[A-Za-z][\w.-]{0,39}$")


@dataclass(frozen=True)
class RandomizationConfig:
    """How physical parameters are drawn at each reset during training."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    method: str = "none"
    """One of: none, uniform, adr, doraemon, epopt."""
    width: float = 0.3
    """Relative half-width of the default draws: each parameter is scaled by uniform(1 - width, 1 + width)."""
    draws: tuple[str, ...] = ()
    """What to draw instead of the figure's default parameters, e.g. 'torso_mass + uniform(-0.5, 0.5)'; of adr and
    doraemon the largest ranges, with nominal in them."""
    reference_return: float | None = None
    """Return of an episode that counts as mastered, which adr and doraemon take shares of; none for the figure's."""
    adr: AutoDRConfig = field(default_factory=AutoDRConfig)
    doraemon: DoraemonConfig = field(default_factory=DoraemonConfig)
    epopt: EPOptConfig = field(default_factory=EPOptConfig)

    name: str = ""
    """What directories, tables and goals call these draws; empty for the method and what differs from its defaults."""

    def __post_init__(self) -> None:
        if self.method not in RANDOMIZERS:
            raise ValueError(f"unknown randomisation {self.method!r}; accepted: {', '.join(RANDOMIZERS)}")
        if not 0 <= self.width < 1:
            raise ValueError(f"width is {self.width:g}; it must be at least 0 and below 1")
        if self.draws and self.width != type(self).width:
            raise ValueError(f"width is {self.width:g}, but draws are given; accepted: one of them")
        if self.reference_return is not None and self.method not in CURRICULA:
            raise ValueError(
                f"reference_return is set but method is {self.method!r}; accepted with: {', '.join(CURRICULA)}"
            )
        if self.method == "none" and (self.draws or self.name):
            given = "draws are" if self.draws else "a name is"
            others = ", ".join(method for method in RANDOMIZERS if method != "none")
            raise ValueError(f"{given} given but method is 'none'; accepted: {others}")
        if self.name and (self.name in RANDOMIZERS or not _NAME.match(self.name)):
            raise ValueError(
                f"name of a randomisation is {self.name!r}; accepted: a letter, then letters, digits, _ . or -, "
                f"and none of {', '.join(RANDOMIZERS)}"
            )
        if self.reference_return is not None and not 0 < self.reference_return < math.inf:
            raise ValueError(f"reference_return is {self.reference_return:g}; it must be above 0")
        for method in _OPTIONS:
            if method != self.method and (options := self._changed(method)):
                raise ValueError(f"{method}.{next(iter(options))} is set but method is {self.method!r}")
        for draw in self.draws:
            parse_draw(draw)

    def _changed(self, method: str) -> dict[str, float]:
        """Options of a method that are not their defaults."""
        options = getattr(self, method)
        given = {each.name: getattr(options, each.name) for each in fields(options)}
        return {name: value for name, value in given.items() if value != getattr(type(options), name)}

    def reference(self) -> float:
        """The reference return.

        Raises:
            ValueError: it is neither given nor known of the figure.
        """
        if self.reference_return is None:
            raise ValueError(
                f"reference_return is needed by {self.method}: the return of an episode that counts as mastered; "
                "of this figure none is known"
            )
        return self.reference_return

    def resolved(self, reference_return: float | None) -> "RandomizationConfig":
        """The same with the figure's reference return written out, where one is known and needed."""
        if self.method in CURRICULA and self.reference_return is None:
            return replace(self, reference_return=reference_return)
        return self

    @property
    def label(self) -> str:
        """Short name for paths and tables: its own, or the method and what differs from its defaults."""
        if self.name:
            return self.name
        options = self._changed(self.method) if self.method in _OPTIONS else {}
        settings = "".join(f"-{name}{value:g}" for name, value in options.items())
        if self.draws:
            return f"{self.method}[{';'.join(draw.replace(' ', '') for draw in self.draws)}]{settings}"
        default = RandomizationConfig.width
        plain = self.width == default or self.method == "none"
        return (self.method if plain else f"{self.method}{self.width:g}") + settings


def make_randomizer(config: RandomizationConfig, defaults: Sequence[str], seed: int) -> Randomizer | None:
    """The randomizer of a configuration; ``defaults`` are the figure's randomised parameters.

    Raises:
        ValueError: a parameter is drawn twice, or a curriculum lacks its reference return or ranges around nominal.
    """
    build = RANDOMIZERS[config.method]
    if build is None:
        return None
    spread = Uniform(1 - config.width, 1 + config.width)
    draws = [parse_draw(text) for text in config.draws] or [Draw(name, "*", spread) for name in defaults]
    return build(draws, seed, config)
