"""Judging a trained policy: whole episodes in given domains, one row each."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

import envs
from agents import Normalizer, fold_normalizer, load_policy, normalize
from experiments.checkpoints import load_section
from experiments.config import MAX_ENVS
from experiments.files import locked, write_text
from experiments.run import Run
from experiments.sights import TRUE
from experiments.statistics import read_episodes
from experiments.tables import EPISODES

Row = dict[str, Any]

WINDOW = 0.5
"""Length of the pieces in which an episode is asked whether the figure gets ahead, s."""
GETS_AHEAD = 0.1
"""Mean forward speed from which on it does, m/s. Swaying on the spot stays below it, every gait above."""


@dataclass(frozen=True)
class Policy:
    """A trained agent with an environment it can act in."""

    agent: BaseAlgorithm
    env: VecEnv
    simulation: envs.BatchedEnv


LEAST = 16
"""Networks round otherwise for fewer observations at a time (seen on x86): fewer simulations are filled up to it."""


def load_trained(
    run: Run, domain: str, num_envs: int, num_threads: int = 0, sight: str = "", cells: envs.Randomizer | None = None
) -> Policy:
    """The policy of the run's last checkpoint and a fresh environment of ``domain``, never randomised.

    ``sight`` is what the policy sees it through; empty for its pipeline's own. ``cells`` shifts each simulation.

    Raises:
        ValueError: no checkpoint, a damaged one, one of another agent, or a sight that the pipeline does not have.
    """
    torch.set_num_threads(1)
    checkpoint = run.latest_checkpoint()
    saved = load_section(checkpoint, "policy")
    config = run.config
    simulation = config.make_env(num_envs, num_threads, domain, cells)
    env = normalize(config.agent, config.observe(simulation, sight or config.sees.sights[0]), training=False)
    # The algorithm checks its hyperparameters against the number of environments that it trained on.
    agent = config.make_agent()
    try:
        load_policy(agent, saved)
        if isinstance(env, Normalizer):
            env.load_state_dict(saved["normalizer"], returns=False)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    agent.policy.set_training_mode(False)
    return Policy(agent, env, simulation)


def load_folded(run: Run) -> BaseAlgorithm:
    """The agent of the run's last checkpoint by itself: its normaliser is folded in, so it takes raw observations.

    Raises:
        ValueError: no checkpoint, a damaged one, or one of another agent.
    """
    policy = load_trained(run, run.config.domain, num_envs=1, num_threads=1)
    with closing(policy.env):
        if isinstance(policy.env, Normalizer):
            fold_normalizer(policy.agent, policy.env)
    return policy.agent


def evaluate(
    run: Run, domains: Sequence[str], episodes: int = 50, num_threads: int = 0, sights: Sequence[str] = ()
) -> list[Row]:
    """Play ``episodes`` whole episodes in each domain with the deterministic policy of the last checkpoint.

    Each simulation plays exactly one episode, so short ones are not counted more often than long ones. The
    starts come from seeds that training never used and are the same in every domain. The policy sees each domain
    through each of ``sights``; none stands for its pipeline's own. The rows replace earlier ones of the same domains
    and sights in the run's ``episodes.csv``; where the sight is not the pipeline's own, it follows the pipeline's name
    there after an ``@``.

    Raises:
        ValueError: an impossible count, an unknown domain or sight, a damaged file, or training ended meanwhile.
    """
    if not 1 <= episodes <= MAX_ENVS:
        raise ValueError(f"episodes is {episodes}; it must be from 1 to {MAX_ENVS}")
    domains = list(dict.fromkeys(domains))
    if not domains:
        raise ValueError("no domain to judge in is given; accepted: one or more, such as source target")
    rows: list[Row] = []
    done = run.done
    sights = list(dict.fromkeys(sights or run.config.sees.sights[:1]))
    judged = [(domain, sight) for domain in domains for sight in sights]
    for domain, sight in judged:
        cell = {**run.cell, "pipeline": seen_as(run, sight), "eval_domain": domain}
        rows += [{**cell, **row} for row in play_domain(run, domain, episodes, num_threads, sight)]
    with locked(run.directory / ".episodes.lock", wait=True):  # another process may judge the run elsewhere
        if run.done != done:
            raise ValueError(f"{run.name}: its training ended while an earlier policy was judged; judge it again")
        kept: list[Row] = []
        if run.episodes.exists():
            earlier = read_episodes(run.episodes).to_dict("records")
            replaced = {(domain, seen_as(run, sight)) for domain, sight in judged}
            kept = [dict(row) for row in earlier if (row["eval_domain"], row["pipeline"]) not in replaced]
        table = pd.DataFrame(kept + rows, columns=list(EPISODES))
        write_text(run.episodes, table.to_csv(index=False, lineterminator="\n"))
    return rows


def sees_state(run: Run, sight: str = "") -> bool:
    """Whether nothing stands between simulation and policy: an episode depends on its start and domain alone."""
    return (sight or run.config.sees.sights[0]) == TRUE


def seen_as(run: Run, sight: str) -> str:
    """The pipeline in tables when the run is judged through ``sight``."""
    return run.config.sees.name if sight == run.config.sees.sights[0] else f"{run.config.sees.name}@{sight}"


def missing_domains(run: Run, domains: Sequence[str], episodes: int, sight: str = "") -> list[str]:
    """Those of ``domains`` in which the run has not been judged over exactly ``episodes`` through ``sight``.

    Raises:
        ValueError: the run's ``episodes.csv`` is damaged.
    """
    if not run.episodes.exists():
        return list(domains)
    rows = read_episodes(run.episodes)
    rows = rows[rows["pipeline"] == seen_as(run, sight or run.config.sees.sights[0])]
    counts = rows.groupby("eval_domain").size()
    return [domain for domain in domains if counts.get(domain, 0) != episodes]


def play_domain(run: Run, domain: str, episodes: int, num_threads: int = 0, sight: str = "") -> list[Row]:
    """``episodes`` whole episodes in ``domain``, as :func:`play_once` returns them."""
    simulations = max(episodes, LEAST) if sees_state(run, sight) else episodes
    policy = load_trained(run, domain, simulations, num_threads, sight)
    with closing(policy.env):
        return play_once(policy, episodes)


def play_once(policy: Policy, first: int | None = None) -> list[Row]:
    """One episode in each simulation, or in the ``first``: ``episode, return, length, terminated, diverged, moving``.

    ``moving`` is the share of an episode's whole pieces of ``WINDOW`` seconds in which the figure's first coordinate
    grew by ``GETS_AHEAD`` metres a second or more; 0 where the episode is shorter than one piece.
    """
    count, simulation = policy.env.num_envs, policy.simulation
    running = np.arange(count) < (count if first is None else first)
    starts = np.ones(count, bool)
    simulation.watched[:] = running
    observations: Any = policy.env.reset()
    memory: Any = None
    rows: dict[int, Row] = {}
    piece = max(1, round(WINDOW / simulation.dt))
    places, ahead, step = simulation.states()[:, 0], np.zeros(count, np.int64), 0
    while running.any():
        actions, memory = policy.agent.predict(observations, memory, episode_start=starts, deterministic=True)
        observations, _, dones, infos = policy.env.step(actions)
        starts = dones
        step += 1
        if step % piece == 0:
            reached = simulation.states()[:, 0]
            if simulation.ended is not None:  # where an episode ended, the next has begun
                reached[simulation.ended.ids] = simulation.ended.qpos[:, 0]
            ahead += reached - places >= GETS_AHEAD * piece * simulation.dt
            places = reached
        for i in np.flatnonzero(dones & running):
            info = infos[i]
            pieces = info["episode"]["l"] // piece
            rows[int(i)] = {
                "episode": int(i),
                "return": info["episode"]["r"],
                "length": info["episode"]["l"],
                "terminated": not info["TimeLimit.truncated"],
                "diverged": info["diverged"],
                "moving": float(ahead[i] / pieces) if pieces else 0.0,
            }
        running &= ~dones
        simulation.watched[:] = running
    return [rows[i] for i in sorted(rows)]
