"""Training one run: from its configuration to ``done.json``, resumable at any moment."""

from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

import envs
from agents import (
    RMA,
    DAgger,
    Normalizer,
    build_on,
    inherit,
    load_agent_state,
    load_random_state,
    normalize,
)
from envs.cores import cores
from experiments.checkpoints import list_checkpoints, load_section
from experiments.config import RunConfig
from experiments.curricula import write_curriculum
from experiments.files import locked, write_json
from experiments.identify import identify_first
from experiments.identify_config import search_of
from experiments.metrics import MetricsFile, truncate_metrics, write_learning_curve
from experiments.rounds import Rounds, first_distribution
from experiments.run import RUNS, Run, create_run, record_provenance
from experiments.start import begin
from experiments.teacher import Taught, load_teacher
from experiments.upkeep import Report, Upkeep, stopped_by_signals
from experiments.wandb_output import Wandb, WandbOutput
from pipelines import memory_of
from randomization import FixedRandomizer
from randomization.identification import IN_ROUNDS, ONCE


def train(
    config: RunConfig,
    root: Path = RUNS,
    num_threads: int = 0,
    report: Report | None = None,
    wandb: Wandb = "off",
) -> Run:
    """Train ``config``, or continue it from its last checkpoint, or do nothing when it is done.

    Args:
        config: the run.
        root: directory of all runs.
        num_threads: threads for physics, 0 for all cores. Networks use one: they are too small for more.
        report: called about twice a second with the progress.
        wandb: whether to log to Weights & Biases too: offline into the run's directory, or online.

    Raises:
        ValueError: the configuration, a damaged file or a directory in use; one line says what.
        Interrupted: SIGINT or SIGTERM came; everything up to the last update is saved.
    """
    if num_threads < 0:
        raise ValueError(f"threads is {num_threads}; it must be 0 (all cores) or more")
    run = create_run(config, root)
    config = run.config
    if run.done:
        return run
    with run.lock():
        torch.set_num_threads(1)
        record_provenance(run, num_threads=num_threads)
        draws, spent = _draws(run, num_threads)
        simulation = config.make_env(config.num_envs, num_threads, draws=draws)
        view = config.observe(simulation)
        env = normalize(config.agent, view, training=True)
        agent = config.make_agent(env)
        checkpoints = list_checkpoints(run.checkpoints)
        if isinstance(agent, DAgger):
            _learn_from(load_teacher(run), agent, env)
        saved = load_section(checkpoints[-1], "training") if checkpoints else None
        steps = int(checkpoints[-1].name) if checkpoints else 0
        truncate_metrics(run, steps)
        outputs: list[KVWriter] = [
            MetricsFile(run.metrics),
            TensorBoardOutputFormat(str(run.directory / "tensorboard")),
        ]
        if wandb != "off":
            outputs.append(WandbOutput(run, wandb))
        agent.set_logger(Logger(None, outputs))
        elapsed = 0.0
        if checkpoints:
            elapsed = _restore(checkpoints[-1], agent, env, view, simulation, saved)
        elif config.start:
            elapsed = begin(config, agent, env)
        callback = Upkeep(run, env, view, simulation, elapsed, report)
        rounds = None
        if config.identify.method in IN_ROUNDS:
            assert isinstance(simulation.randomizer, FixedRandomizer)
            rounds = Rounds(run, simulation.randomizer, callback.save_checkpoint, num_threads or cores())
        try:
            with stopped_by_signals(callback):
                agent.learn(
                    config.steps - agent.num_timesteps,
                    CallbackList([rounds, callback] if rounds else [callback]),
                    log_interval=_log_interval(agent),
                    reset_num_timesteps=not (checkpoints or config.start),
                )
        except torch.OutOfMemoryError as error:
            raise ValueError(f"{run.name}: out of memory on {config.device} ({error})") from None
        finally:
            agent.logger.close()
            env.close()
        callback.save_checkpoint()
        write_learning_curve(run)
        write_curriculum(run)
        looked = rounds.spent() if rounds else (0, 0)
        result = {
            "steps": agent.num_timesteps,
            "wall_s": round(callback.elapsed(), 2),
            "diverged_episodes": simulation.diverged_episodes,
            "target_episodes": spent[0] + looked[0],
            "target_steps": spent[1] + looked[1],
        }
        with locked(run.directory / ".episodes.lock", wait=True):
            run.episodes.unlink(missing_ok=True)  # of a policy that was not trained to its end
            write_json(run.directory / "done.json", result)
    return run


def _draws(run: Run, num_threads: int) -> tuple[tuple[str, ...], tuple[int, int]]:
    """What identification says is drawn at first, if it says anything, and the target's episodes and steps it took."""
    config, identify = run.config, run.config.identify
    spent = identify.episodes_spent, identify.steps_spent
    if identify.method in ONCE:
        found = identify_first(run, num_threads or cores())
        return found.draws, (spent[0] + found.episodes, spent[1] + found.steps)
    if identify.method in IN_ROUNDS:
        return first_distribution(config).draws(search_of(config)), spent
    return (), spent


def _learn_from(taught: Taught, student: DAgger, env: VecEnv) -> None:
    """The teacher's networks and statistics are the student's start, as far as they fit what the student sees."""
    student.teacher = taught.act
    if isinstance(student, RMA):
        assert isinstance(env, Normalizer)
        assert taught.normalizer is not None  # rma and ppo normalise what they observe
        build_on(student, env, taught.policy, taught.normalizer["observation"])
    elif inherit(student, taught.policy) and isinstance(env, Normalizer) and taught.normalizer is not None:
        env.adopt(taught.normalizer["observation"])


def _log_interval(agent: BaseAlgorithm) -> int:
    """SB3 counts episodes for off-policy algorithms and updates for all others."""
    return 50 if isinstance(agent, OffPolicyAlgorithm) else 1


def _restore(
    checkpoint: Path,
    agent: BaseAlgorithm,
    env: VecEnv,
    view: VecEnv,
    simulation: envs.BatchedEnv,
    saved: Any,
) -> float:
    """Continue from ``saved``; returns the seconds of training up to there."""
    try:
        load_agent_state(agent, saved["agent"])
        simulation.load_state_dict(saved["simulation"])
        if memory := memory_of(view):
            memory.load_state_dict(saved["pipeline"])
        if isinstance(env, Normalizer):
            env.load_state_dict(saved["normalizer"])
        load_random_state(agent, saved["agent"])
        if agent.num_timesteps != int(checkpoint.name):
            raise ValueError(f"holds the state after {agent.num_timesteps} steps; accepted: as its name says")
        return float(saved["elapsed"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{checkpoint}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return f"has no {error}" if isinstance(error, KeyError) else str(error)
