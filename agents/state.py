"""Everything an algorithm knows, as a tree of arrays, tensors and plain values.

A state taken between two rollouts and loaded into a fresh algorithm of the same configuration continues as if
nothing had happened: bit-identical for on-policy algorithms on a CPU.
"""

from collections import deque
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.frame_buffer import FrameReplayBuffer

State = dict[str, Any]

# What SB3 algorithms carry from one rollout to the next, beside networks and optimisers.
_COUNTERS = ("num_timesteps", "_n_updates", "_episode_num")
_ATTRIBUTES = (
    *_COUNTERS,
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
)


def agent_state(agent: BaseAlgorithm) -> State:
    """Networks, optimisers, counters, random generators, pending log values and the replay buffer.

    Tensors and arrays are the agent's own, not copies: write or copy the state before learning goes on.
    """
    state: State = {
        "algorithm": type(agent).__name__,
        "parameters": agent.get_parameters(),
        "variables": {name: getattr(agent, name) for name in _variables(agent)},
        "attributes": {name: getattr(agent, name) for name in (*_ATTRIBUTES, *_carried(agent))},
        "episodes": list(agent.ep_info_buffer or ()),
        "log": dict(agent.logger.name_to_value),
        "random": {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if agent.device.type == "cuda" else None,
            "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  # the generator that SB3 draws from
            "actions": agent.action_space.np_random.bit_generator.state,
        },
    }
    lstm = getattr(agent, "_last_lstm_states", None)
    if lstm is not None:
        state["lstm"] = {"pi": list(lstm.pi), "vf": list(lstm.vf)}
    if isinstance(agent, OffPolicyAlgorithm) and agent.replay_buffer is not None:
        state["replay"] = _replay_state(agent.replay_buffer)
    return state


def policy_state(state: State) -> State:
    """The part of :func:`agent_state` that acting needs."""
    return {"algorithm": state["algorithm"], "policy": state["parameters"]["policy"]}


def load_agent_state(agent: BaseAlgorithm, state: State) -> None:
    """Continue from :func:`agent_state`.

    Raises:
        ValueError: the state is of another algorithm, of networks of another shape or of another size of frame buffer.
    """
    take_over(agent, state)
    for name in _ATTRIBUTES:  # not whatever the state names: a checkpoint may be a stranger's
        setattr(agent, name, state["attributes"][name])
    agent.ep_info_buffer = deque(state["episodes"], maxlen=agent._stats_window_size)
    agent.ep_success_buffer = deque(maxlen=agent._stats_window_size)
    if "lstm" in state:
        kind = type(agent._last_lstm_states)  # type: ignore[attr-defined]  # RecurrentPPO alone has it
        pi, vf = (tuple(each.to(agent.device) for each in state["lstm"][name]) for name in ("pi", "vf"))
        agent._last_lstm_states = kind(pi, vf)  # type: ignore[attr-defined]


def take_over(agent: BaseAlgorithm, state: State) -> None:
    """What an agent has learned, of :func:`agent_state`: it goes on in episodes that begin anew.

    Raises:
        ValueError: as :func:`load_agent_state`.
    """
    _check_algorithm(agent, state)
    try:
        agent.set_parameters(state["parameters"], exact_match=True, device=agent.device)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"does not fit this agent: {_first_line(error)}") from error
    for name in _variables(agent):
        getattr(agent, name).data.copy_(state["variables"][name])
    for name in (*_COUNTERS, *_carried(agent)):
        setattr(agent, name, state["attributes"][name])
    if "replay" in state and isinstance(agent, OffPolicyAlgorithm):
        assert agent.replay_buffer is not None
        _load_replay_state(agent.replay_buffer, state["replay"])


def load_random_state(agent: BaseAlgorithm, state: State) -> None:
    """Restore the random generators and the pending log values: the last thing before learning goes on."""
    random = state["random"]
    torch.set_rng_state(random["torch"])
    if random["cuda"] is not None and agent.device.type == "cuda":
        torch.cuda.set_rng_state(random["cuda"])
    np.random.set_state(random["numpy"])  # noqa: NPY002
    agent.action_space.np_random.bit_generator.state = random["actions"]
    for name, value in state["log"].items():
        # A number comes out of a checkpoint as an array without dimensions.
        agent.logger.record(name, value.item() if isinstance(value, np.ndarray) else value)


def load_policy(agent: BaseAlgorithm, state: State) -> None:
    """Load what :func:`policy_state` kept, to act.

    Raises:
        ValueError: the policy is of another algorithm or shape.
    """
    _check_algorithm(agent, state)
    try:
        agent.policy.load_state_dict(state["policy"])
    except RuntimeError as error:
        raise ValueError(f"does not fit this agent: {_first_line(error)}") from error


def _replay_state(buffer: ReplayBuffer) -> State:
    if isinstance(buffer, FrameReplayBuffer):
        return buffer.state_dict()
    arrays = {name: array[: buffer.size()] for name, array in _arrays(buffer).items()}
    return {"arrays": arrays, "pos": buffer.pos, "full": buffer.full}


def _load_replay_state(buffer: ReplayBuffer, saved: State) -> None:
    if isinstance(buffer, FrameReplayBuffer):
        buffer.load_state_dict(saved)
        return
    arrays = _arrays(buffer)
    for name, array in saved["arrays"].items():
        arrays[name][: len(array)] = array
    buffer.pos, buffer.full = saved["pos"], saved["full"]


def _arrays(buffer: ReplayBuffer) -> dict[str, np.ndarray[Any, Any]]:
    """Every array of the buffer by its name; of a dict of them, by ``observations.state`` and so on."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in vars(buffer).items():
        entries = {f"{name}.{key}": entry for key, entry in value.items()} if isinstance(value, dict) else {name: value}
        arrays.update({key: entry for key, entry in entries.items() if isinstance(entry, np.ndarray)})
    return arrays


def _variables(agent: BaseAlgorithm) -> list[str]:
    """Tensors beside the networks: SAC's and TQC's entropy coefficient."""
    return agent._get_torch_save_params()[1]


def _carried(agent: BaseAlgorithm) -> tuple[str, ...]:
    """What an algorithm of ours has learned beside networks and optimisers."""
    return getattr(agent, "carried", ())


def _check_algorithm(agent: BaseAlgorithm, state: State) -> None:
    if state["algorithm"] != type(agent).__name__:
        raise ValueError(f"is of {state['algorithm']}, not of {type(agent).__name__}")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
