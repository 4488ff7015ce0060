"""Where nominal lies in the largest ranges of a curriculum."""

import math
import re

import numpy as np
import pytest

from randomization import parse_draw
from randomization.ranges import nominal_positions


def test_nominal_is_where_the_operand_changes_nothing() -> None:
    draws = [
        parse_draw(text)
        for text in (
            "thigh_mass * uniform(0.7, 1.3)",
            "torso_mass + uniform(-0.5, 1.5)",
            "foot_friction * loguniform(0.25, 2)",
            "gravity * uniform(1, 2)",
        )
    ]
    places = nominal_positions(draws, "adr")
    assert places == pytest.approx([0.5, 0.25, math.log(4) / math.log(8), 0.0])
    found = [draw.distribution.quantile(np.array([place]))[0] for draw, place in zip(draws, places, strict=True)]
    assert found == pytest.approx([1, 0, 1, 1])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            "leg_mass * truncnormal(1, 0.1, 0, 2)",
            "adr: the draw of leg_mass is no range; accepted: the largest one, as uniform(",
        ),
        ("leg_mass = uniform(1, 2)", "adr: the draw of leg_mass sets it, and nominal is where adr starts; accepted: "),
        (
            "leg_mass * uniform(1.1, 2)",
            "adr: the draw of leg_mass goes from 1.1 to 2; accepted: a range with nominal, 1,",
        ),
        (
            "leg_mass + uniform(1, 2)",
            "adr: the draw of leg_mass goes from 1 to 2; accepted: a range with nominal, 0, in",
        ),
        (
            "leg_mass * uniform(1, 1)",
            "adr: the draw of leg_mass goes from 1 to 1; accepted: a range with nominal, 1, in",
        ),
    ],
)
def test_a_draw_that_is_no_range_around_nominal_is_refused(draw: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        nominal_positions([parse_draw(draw)], "adr")
