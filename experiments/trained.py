"""The physics that runs were trained on at their end, to be drawn beside how they do elsewhere."""

from collections.abc import Sequence

import numpy as np

import envs
from envs.domains import domain_model
from envs.parameters import operate, physical_parameters
from experiments.curricula import read_curriculum
from experiments.identify import IDENTIFIED, read_identified
from experiments.rounds import read_looks
from experiments.run import Run
from experiments.sweep_grid import Grid
from randomization import Draw, FixedRandomizer, make_randomizer, parse_draw
from randomization.distributions import LogUniform, Uniform
from randomization.doraemon import SHOWN

Ranges = dict[tuple[str, str], tuple[float, float]]
"""Smallest and largest operand of each (parameter, operation)."""


def ranges(run: Run) -> Ranges:
    """What was drawn when training ended: of fixed randomisation all, of what moved or was identified the last.

    Raises:
        ValueError: a file of the run is damaged.
    """
    if (run.directory / IDENTIFIED).exists():
        return _reach(read_identified(run.directory / IDENTIFIED).draws)
    if looks := read_looks(run):
        return _reach(looks[-1]["draws"])
    randomizer = make_randomizer(run.config.randomization, run.config.task.randomized, seed=0)
    if randomizer is None:
        return {}
    if isinstance(randomizer, FixedRandomizer):
        return _reach(randomizer.draws)
    bounds = randomizer.bounds()
    last = read_curriculum(run).groupby("quantity")["value"].last()
    return {
        key: (last.get(f"{key[0]}/low", low), last.get(f"{key[0]}/high", high)) for key, (low, high) in bounds.items()
    }


def _reach(draws: Sequence[Draw | str]) -> Ranges:
    """Ends of fixed draws; of those with tails the quantiles that DORAEMON logs of its own."""
    found = {}
    for draw in (parse_draw(each) if isinstance(each, str) else each for each in draws):
        even = isinstance(draw.distribution, Uniform | LogUniform)
        low, high = draw.distribution.support if even else draw.distribution.quantile(np.array(SHOWN))
        found[draw.name, draw.operation] = float(low), float(high)
    return found


def trained_on(runs: Sequence[Run], grid: Grid) -> list[list[float]]:
    """Of each axis the smallest and the largest operand that a method's runs were trained on, medians over seeds."""
    found = [_reaches(run, grid) for run in runs]
    return [[float(low), float(high)] for low, high in np.median(np.array(found), axis=0)]


def _reaches(run: Run, grid: Grid) -> list[tuple[float, float]]:
    model = domain_model(envs.task_of(run.config.figure), run.config.domain)
    own = {name: parameter.nominal for name, parameter in physical_parameters(model).items()}
    drawn = ranges(run)
    found = []
    for axis in grid.axes:
        reach: list[float] = []
        for name in axis.names:
            values = [own[name]]
            for (drawn_name, operation), ends in drawn.items():
                if drawn_name == name:
                    values = [float(operate(operation, own[name], end)) for end in ends]
            reach += grid.as_operands(name, axis, values)
        found.append((min(reach), max(reach)))
    return found
