"""What only training knows: teachers who see more than their students, and physical parameters that are shown."""

from typing import TYPE_CHECKING

from experiments.identify_config import search_of
from randomization import make_randomizer

if TYPE_CHECKING:
    from experiments.config import RunConfig

TAUGHT = ("dagger", "rma")
"""Agents that learn from a teacher."""


def check_teacher(config: "RunConfig") -> None:
    """Raise ``ValueError`` where an agent lacks the teacher that it learns from, or what this teacher sees."""
    name = config.agent.name
    taught = name in TAUGHT
    if taught != bool(config.teacher):
        raise ValueError(
            f"agent {name} learns from a teacher; accepted: --teacher with a run on the "
            + ("state" if name == "dagger" else "pipeline privileged")
            if taught
            else f"teacher {config.teacher!r} is for agents {' and '.join(TAUGHT)} alone, not for {name}"
        )
    critics = {"pixels": config.pixels.critic, "pose": config.pose.critic, "history": config.history.critic}
    critic = critics.get(config.pipeline)
    if name == "dagger" and critic not in ("state", "parameters"):
        raise ValueError(
            "agent dagger needs the true state for its teacher beside what it sees itself; accepted: --pipeline "
            "pose --pose.critic state, --pipeline pixels --pixels.critic state, or --pipeline history "
            "--history.critic parameters"
        )
    if name == "rma" and not (critic == "parameters" and config.history.length and config.privileged.latent):
        raise ValueError(
            "agent rma infers from history what its teacher's encoder makes of the parameters; accepted: "
            "--pipeline history --history.critic parameters, history.length and privileged.latent of 1 or more"
        )


def check_shown(config: "RunConfig") -> None:
    """Raise ``ValueError`` where physical parameters are to be shown that are not drawn."""
    if not shows_parameters(config):
        return
    drawn = _drawn(config)
    if not drawn:
        raise ValueError(
            f"pipeline {config.pipeline} is to show the drawn physical parameters, but nothing is drawn; "
            "accepted: a randomization.method other than none"
        )
    given = _given(config)
    for name in given:
        if name not in drawn or given.count(name) > 1:
            raise ValueError(f"{config.pipeline}.parameters has {name!r}; accepted: each once, of {', '.join(drawn)}")


def shows_parameters(config: "RunConfig") -> bool:
    """Whether the agent or its critic sees physical parameters."""
    return config.pipeline == "privileged" or (config.pipeline == "history" and config.history.critic == "parameters")


def shown_parameters(config: "RunConfig") -> tuple[str, ...]:
    """Those that are shown, in their order; none where the pipeline shows none."""
    return (_given(config) or _drawn(config)) if shows_parameters(config) else ()


def _given(config: "RunConfig") -> tuple[str, ...]:
    return config.history.parameters if config.pipeline == "history" else config.privileged.parameters


def _drawn(config: "RunConfig") -> tuple[str, ...]:
    """Parameters that are drawn in training; where identification decides on that, those that it looks for."""
    if config.identify.method != "none":
        return tuple(name for name, _ in search_of(config).drawn)
    randomizer = make_randomizer(config.judging, config.task.randomized, seed=0)
    return tuple(name for name, _ in randomizer.bounds()) if randomizer else ()
