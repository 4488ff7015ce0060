"""Physics and tasks: figures, domains, the batched and the single environment.

Importing this package registers ``simgap/<Figure>-v0`` with Gymnasium for every figure.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

# MuJoCo decides at its import how to make OpenGL contexts; EGL needs no display and falls back to software.
if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", "egl")

import gymnasium

from envs.batched import BatchedEnv, Randomizer
from envs.domains import Domain, domain_model, parse_domain
from envs.hopper import Hopper
from envs.parameters import physical_parameters
from envs.simulator import Simulator
from envs.single import SingleEnv
from envs.task import Task

__all__ = [
    "FIGURES",
    "BatchedEnv",
    "Domain",
    "Randomizer",
    "Simulator",
    "SingleEnv",
    "Task",
    "default_search",
    "domain_model",
    "make",
    "make_simulator",
    "make_vec",
    "parse_domain",
    "physical_parameters",
    "task_of",
]

FIGURES: dict[str, type[Task]] = {"hopper": Hopper}


def task_of(figure: str) -> Task:
    """The task of a figure with its default reward.

    Raises:
        ValueError: the figure is not known.
    """
    if figure not in FIGURES:
        raise ValueError(f"unknown figure {figure!r}; accepted: {', '.join(FIGURES)}")
    return FIGURES[figure]()


def make_vec(
    figure: str,
    num_envs: int,
    domain: str = "nominal",
    horizon: int = 1000,
    seed: int = 0,
    num_threads: int = 0,
    randomizer: Randomizer | None = None,
    mass_only: bool = False,
    camera: str = "track",
) -> BatchedEnv:
    """Many simulations of a figure behind Stable-Baselines3's VecEnv.

    Args:
        figure: a key of :data:`FIGURES`.
        num_envs: how many simulations.
        domain: a named domain, shifts, or both; see :mod:`envs.domains`.
        horizon: environment steps after which an episode is truncated.
        seed: environment ``i`` starts its generator from ``seed + i``.
        num_threads: threads for physics; 0 takes all cores. It never changes results.
        randomizer: draws physical parameters at each reset; see :mod:`randomization`.
        mass_only: shifts and draws of mass leave inertia untouched.
        camera: the camera that frames are taken from.

    Raises:
        ValueError: an unknown figure, domain or parameter, an impossible count, an unphysical value.
    """
    return BatchedEnv(task_of(figure), num_envs, domain, horizon, seed, num_threads, randomizer, mass_only, camera)


def make_simulator(
    figure: str, domain: str, drawn: Sequence[tuple[str, str]], mass_only: bool = False, num_threads: int = 1
) -> Simulator:
    """Simulations of a figure that start from given states; see :class:`envs.simulator.Simulator`."""
    return Simulator(task_of(figure), domain, drawn, mass_only, num_threads)


def default_search(figure: str) -> tuple[str, ...]:
    """Where identification looks unless told otherwise: every mass of the figure, from half to twice."""
    parameters = physical_parameters(domain_model(task_of(figure), "nominal")).values()
    return tuple(f"{each.name} * uniform(0.5, 2)" for each in parameters if each.quantity == "mass")


def make(figure: str, **kwargs: Any) -> SingleEnv:
    """One simulation of a figure behind Gymnasium's interface; see :class:`envs.single.SingleEnv`."""
    return SingleEnv(task_of(figure), **kwargs)


for _figure in FIGURES:
    _name = "".join(word.capitalize() for word in _figure.split("_"))
    gymnasium.register(f"simgap/{_name}-v0", entry_point="envs:make", kwargs={"figure": _figure})
