"""Training one run: from its configuration to ``done.json``, resumable at any moment."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

import envs
from agents import (
    RMA,
    DAgger,
    Normalizer,
    agent_state,
    build_on,
    inherit,
    load_agent_state,
    load_random_state,
    normalize,
    policy_state,
)
from envs.cores import cores
from experiments.checkpoints import list_checkpoints, load_section, save_checkpoint
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
from experiments.wandb_output import Wandb, WandbOutput
from pipelines import memory_of
from randomization import FixedRandomizer
from randomization.identification import IN_ROUNDS, ONCE

Report = Callable[[int, int, float, float], None]
"""Called with steps done, steps in all, steps per second, and the recent mean training return."""


class Interrupted(Exception):
    """The user asked to stop; the run was saved."""


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
        callback = _Progress(run, env, view, simulation, elapsed, report)
        rounds = None
        if config.identify.method in IN_ROUNDS:
            assert isinstance(simulation.randomizer, FixedRandomizer)
            rounds = Rounds(run, simulation.randomizer, callback.save_checkpoint, num_threads or cores())
        try:
            with _signals(callback):
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


class _Progress(BaseCallback):
    """Saves checkpoints between rollouts, reports progress, and stops cleanly when asked to."""

    def __init__(
        self,
        run: Run,
        env: VecEnv,
        view: VecEnv,
        simulation: envs.BatchedEnv,
        elapsed: float,
        report: Report | None,
    ) -> None:
        super().__init__()
        self.run, self.env, self.view, self.simulation, self.report = run, env, view, simulation, report
        self.stop = False
        self._earlier, self._started = elapsed, time.monotonic()
        self._reported = 0.0

    def elapsed(self) -> float:
        """Seconds spent training, over all starts."""
        return self._earlier + time.monotonic() - self._started

    def save_checkpoint(self) -> None:
        """Write the state between two rollouts."""
        agent, memory = agent_state(self.model), memory_of(self.view)
        normalizer = self.env.state_dict() if isinstance(self.env, Normalizer) else None
        training = {
            "agent": agent,
            "simulation": self.simulation.state_dict(),
            "pipeline": memory.state_dict() if memory else None,
            "normalizer": normalizer,
            "elapsed": self.elapsed(),
        }
        policy = {**policy_state(agent), "normalizer": normalizer}
        sections = {"policy": policy, "training": training}
        save_checkpoint(self.run.checkpoints, self.model.num_timesteps, sections)
        self._saved_at = self.model.num_timesteps

    def _on_training_start(self) -> None:
        self._first_step = self._saved_at = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        steps, total = self.model.num_timesteps, self.run.config.steps
        if self.stop:
            self.save_checkpoint()
            raise Interrupted(f"stopped at {steps:,} of {total:,} steps and saved; the same command continues")
        if steps - self._saved_at >= self.run.config.checkpoint_every:
            self.save_checkpoint()

    def _on_step(self) -> bool:
        now = time.monotonic()
        if self.report is not None and now - self._reported > 0.5:
            self._reported = now
            done = self.model.num_timesteps
            speed = (done - self._first_step) / max(now - self._started, 1e-9)
            returns = [episode["r"] for episode in self.model.ep_info_buffer or ()]
            mean = float(np.mean(returns)) if returns else float("nan")
            self.report(done, self.run.config.steps, speed, mean)
        return True

    def _on_rollout_end(self) -> None:
        self.logger.record("rollout/diverged_episodes", self.simulation.diverged_episodes)
        if self.simulation.randomizer is not None:
            for name, value in self.simulation.randomizer.metrics().items():
                self.logger.record(f"randomization/{name}", value)


class _signals:
    """Turns SIGINT and SIGTERM into a request to stop; a second one stops at once."""

    def __init__(self, callback: _Progress) -> None:
        self.callback = callback
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.callback.stop:
            raise KeyboardInterrupt
        self.callback.stop = True
        print("stopping after this update; press again to stop at once", file=sys.stderr)
