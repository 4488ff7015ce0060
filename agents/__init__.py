"""Algorithms by name, their construction and their complete state. No paths, no command line."""

from agents.config import AGENTS, AgentConfig, AgentSpec
from agents.export import fold_normalizer
from agents.make import Normalizer, make_agent, normalize
from agents.state import (
    State,
    agent_state,
    load_agent_state,
    load_policy,
    load_random_state,
    policy_state,
)

__all__ = [
    "AGENTS",
    "AgentConfig",
    "AgentSpec",
    "Normalizer",
    "State",
    "agent_state",
    "fold_normalizer",
    "load_agent_state",
    "load_policy",
    "load_random_state",
    "make_agent",
    "normalize",
    "policy_state",
]
