"""What is drawn: a physical parameter, what the draw does to its nominal value, and from which distribution.

One draw is written ``parameter operation distribution``, for example ``thigh_mass * uniform(0.7, 1.3)``. The
operation is ``=`` (set), ``+`` (add) or ``*`` (scale) and always acts on the nominal value of the domain that is
trained in, never on an earlier draw.
"""

import re
from dataclasses import dataclass

from randomization.distributions import Distribution, parse_distribution

_DRAW = re.compile(r"^\s*(?P<name>[A-Za-z_]\w*)\s*(?P<operation>[=+*])\s*(?P<distribution>.+)$")


@dataclass(frozen=True)
class Draw:
    """One randomised parameter."""

    name: str
    """Physical parameter, as :mod:`envs.parameters` names it."""
    operation: str
    """``=``, ``+`` or ``*``."""
    distribution: Distribution


def parse_draw(text: str) -> Draw:
    """Read one draw.

    Raises:
        ValueError: not of the form ``parameter operation distribution``, or the distribution cannot be read.
    """
    match = _DRAW.match(text)
    if match is None:
        raise ValueError(
            f"cannot read draw {text!r}; accepted: parameter, then = + or *, then a distribution, "
            "for example 'thigh_mass * uniform(0.7, 1.3)'"
        )
    try:
        distribution = parse_distribution(match["distribution"])
    except ValueError as error:
        raise ValueError(f"draw {text!r}: {error}") from None
    return Draw(match["name"], match["operation"], distribution)
