"""What identification asks of a run, and where it looks."""

from typing import TYPE_CHECKING

import envs
from randomization.bayrn import FEWEST_ROUNDS
from randomization.identification import Search, parse_search

if TYPE_CHECKING:
    from experiments.config import RunConfig


def search_of(config: "RunConfig") -> Search:
    """Where identification looks: what it is told, or every mass from half to twice that of the domain."""
    return parse_search(config.identify.search or envs.default_search(config.figure))


def check(config: "RunConfig") -> None:
    """Refuse a run that cannot identify.

    Raises:
        ValueError: something else decides what is drawn, the method cannot use the pipeline, the search is outside what
            the physics takes, the method's simulations lack a part of the domain's, or there is no such target.
    """
    method = config.identify.method
    if method == "none":
        return
    if config.randomization.method != "none":
        raise ValueError(
            f"randomization.method is {config.randomization.method!r}, but identify.method {method} decides what is "
            "drawn; accepted: none"
        )
    if config.teacher:
        raise ValueError(
            f"agent {config.agent.name} draws as its teacher did; accepted with identify.method {method}: another"
        )
    if method == "simopt" and config.pipeline != "state":
        raise ValueError(f"simopt simulates policies on the state; accepted: pipeline state, not {config.pipeline}")
    if method == "bayrn" and config.identify.rounds < FEWEST_ROUNDS:
        raise ValueError(f"identify.rounds is {config.identify.rounds}; accepted with bayrn: {FEWEST_ROUNDS} or more")
    search = search_of(config)
    simulator = envs.make_simulator(config.figure, config.domain, search.drawn)
    simulator.check(search.low, search.high)
    if method != "bayrn":  # which simulates nothing but its training
        simulator.check_whole(observed=method == "simopt")
    config.make_env(1, 1, config.identify.domain)
