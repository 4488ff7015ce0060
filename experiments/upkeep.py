"""What happens beside learning: checkpoints, progress, and a clean stop when asked to."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

import envs
from agents import Normalizer, agent_state, policy_state
from experiments.checkpoints import save_checkpoint
from experiments.run import Run
from pipelines import memory_of

Report = Callable[[int, int, float, float], None]
"""Called with steps done, steps in all, steps per second, and the recent mean training return."""


class Interrupted(Exception):
    """The user asked to stop; the run was saved."""


class Upkeep(BaseCallback):
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
        """The agent of ``run`` sees ``simulation`` through ``view`` and ``env``; ``elapsed`` seconds are behind it."""
        super().__init__()
        self.run, self.env, self.view, self.simulation, self.report = run, env, view, simulation, report
        self.stop = False
        """Whether to save and stop before the next rollout."""
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


@contextlib.contextmanager
def stopped_by_signals(upkeep: Upkeep) -> Iterator[None]:
    """SIGINT and SIGTERM ask for a stop after the update; a second one stops at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if upkeep.stop:
            raise KeyboardInterrupt
        upkeep.stop = True
        print("stopping after this update; press again to stop at once", file=sys.stderr)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
