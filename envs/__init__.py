"""Physics and tasks: figures, domains, the batched and the single environment.

Importing this package registers ``simgap/<Figure>-v0`` with Gymnasium for every figure.
"""

import os
import sys
from collections.abc import Sequence

# MuJoCo decides at its import how to make OpenGL contexts; EGL needs no display and falls back to software.
if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", "egl")

import gymnasium

from envs.ant import Ant
from envs.anymal_c import AnymalC
from envs.batched import BatchedEnv
from envs.domains import Domain, domain_model, parse_domain
from envs.half_cheetah import HalfCheetah
from envs.hopper import Hopper
from envs.inverted_pendulum import InvertedPendulum
from envs.options import figure_text, file_form, make_task, split_figure
from envs.parameters import physical_parameters
from envs.randomizer import Randomizer
from envs.simulator import Simulator
from envs.single import SingleEnv
from envs.task import Task
from envs.walker2d import Walker2d

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
    "figure_text",
    "file_form",
    "make",
    "make_simulator",
    "make_vec",
    "parse_domain",
    "physical_parameters",
    "task_of",
]

FIGURES: dict[str, type[Task]] = {
    "hopper": Hopper,
    "inverted_pendulum": InvertedPendulum,
    "walker2d": Walker2d,
    "half_cheetah": HalfCheetah,
    "ant": Ant,
    "anymal_c": AnymalC,
}


def task_of(figure: str, **options: object) -> Task:
    """The task of a figure: ``hopper``, or with options as ``ant[contact_forces=all, forward_reward_weight=2]``.

    Args:
        figure: a key of :data:`FIGURES`, perhaps with options, which are the fields of its task.
        options: more of them.

    Raises:
        ValueError: the figure or an option is not known, an option is given twice or cannot have its value.
    """
    name, written = split_figure(figure)
    if name not in FIGURES:
        raise ValueError(f"unknown figure {name!r}; accepted: {', '.join(FIGURES)}")
    twice = sorted({*written} & {*options})
    if twice:
        raise ValueError(f"figure {figure!r}: option {twice[0]} is given twice")
    return make_task(FIGURES[name], figure, {**written, **options})


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
        figure: a key of :data:`FIGURES`, perhaps with options; see :func:`task_of`.
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


def make(
    figure: str,
    domain: str = "nominal",
    horizon: int = 1000,
    mass_only: bool = False,
    camera: str = "track",
    render_mode: str | None = None,
    **options: object,
) -> SingleEnv:
    """One simulation of a figure behind Gymnasium's interface; see :func:`make_vec` and :func:`task_of`."""
    return SingleEnv(task_of(figure, **options), domain, horizon, mass_only, camera, render_mode)


for _figure in FIGURES:
    _name = "".join(word.capitalize() for word in _figure.split("_"))
    gymnasium.register(f"simgap/{_name}-v0", entry_point="envs:make", kwargs={"figure": _figure})
