"""What randomisation by EPOpt asks of the agent: one that can leave out episodes, and rollouts of whole ones."""

from stable_baselines3.common.base_class import BaseAlgorithm

from agents import AGENTS, AgentConfig, WorstEpisodes, rollout_steps
from randomization import EPOptConfig


def check_agent(agent: AgentConfig, horizon: int) -> None:
    """Refuse an agent that cannot learn from the worst episodes of ``horizon`` steps alone.

    Raises:
        ValueError: it cannot, or its rollouts are too short.
    """
    if not issubclass(agent.spec().algorithm(), WorstEpisodes):
        able = ", ".join(name for name, spec in AGENTS.items() if issubclass(spec.algorithm(), WorstEpisodes))
        raise ValueError(
            f"agent {agent.name} cannot learn from the worst episodes alone, as randomization.method epopt does; "
            f"accepted: {able}"
        )
    steps = agent.hyperparameters.get("n_steps", horizon)
    if steps < horizon:
        raise ValueError(
            f"hyperparameter n_steps is {steps}; randomization.method epopt compares whole episodes: accepted: "
            f"the horizon, {horizon}, or more"
        )


def whole_episodes(given: AgentConfig, resolved: AgentConfig, horizon: int, num_envs: int) -> AgentConfig:
    """The resolved agent, its rollouts as long as an episode unless their length was given."""
    if "n_steps" in given.hyperparameters:
        return resolved
    steps = rollout_steps(horizon, num_envs, resolved.hyperparameters["batch_size"])
    return AgentConfig(resolved.name, {**resolved.hyperparameters, "n_steps": steps})


def learn_from_worst(agent: BaseAlgorithm, config: EPOptConfig, horizon: int) -> None:
    """Have the agent leave out all but the worst episodes."""
    assert isinstance(agent, WorstEpisodes)
    agent.learn_from_worst(config.epsilon, config.warmup, horizon)
