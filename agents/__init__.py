"""Algorithms by name, their construction and their complete state. No paths, no command line."""

from agents.asymmetric import STATE
from agents.config import AgentConfig
from agents.dagger import DAgger, Teacher, inherit
from agents.encoders import ENCODERS, ImageOptions
from agents.exploration import Exploration
from agents.export import fold_normalizer
from agents.frame_buffer import FrameReplayBuffer
from agents.latent import LatentOptions
from agents.make import Normalizer, make_agent, normalize
from agents.policies import image_policy
from agents.rma import RMA, build_on
from agents.specs import AGENTS, AgentSpec
from agents.state import (
    State,
    agent_state,
    load_agent_state,
    load_policy,
    load_random_state,
    policy_state,
    take_over,
)
from agents.worst_episodes import WorstEpisodes, rollout_steps

__all__ = [
    "AGENTS",
    "ENCODERS",
    "RMA",
    "STATE",
    "AgentConfig",
    "AgentSpec",
    "DAgger",
    "Exploration",
    "FrameReplayBuffer",
    "ImageOptions",
    "LatentOptions",
    "Normalizer",
    "State",
    "Teacher",
    "WorstEpisodes",
    "agent_state",
    "build_on",
    "fold_normalizer",
    "image_policy",
    "inherit",
    "load_agent_state",
    "load_policy",
    "load_random_state",
    "make_agent",
    "normalize",
    "policy_state",
    "rollout_steps",
    "take_over",
]
