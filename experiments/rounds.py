"""Methods that look at the target between rounds of training: SimOpt and BayRn.

A run's own steps are split into equal rounds. After each but the last, the policy as it is then plays a few whole
episodes in the target, what they say changes the draws, and training goes on with the same policy. ``rounds.json``
keeps every look, so that a run that continues from a checkpoint never pays for the same one twice.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

import envs
from experiments.config import RunConfig
from experiments.evaluate import load_folded
from experiments.files import read_json, write_json
from experiments.harvest import Rollout
from experiments.identify import describe
from experiments.identify_config import search_of
from experiments.run import Run
from experiments.start import begun_at
from experiments.target_log import play_target
from randomization import FixedRandomizer, bayrn, parse_draw, simopt
from randomization.identification import Array, Gaussian, Search

FILE = "rounds.json"
START_STD = 0.15
"""Of SimOpt's first distribution, as a share of the search range."""

Look = dict[str, Any]


def first_distribution(config: RunConfig) -> Gaussian:
    """What the first round draws from: around the nominal parameters."""
    nominal = search_of(config).nominal
    if config.identify.method == "bayrn":
        return bayrn.gaussian(bayrn.start(nominal))
    return Gaussian(nominal, np.full(len(nominal), START_STD))


def read_looks(run: Run) -> list[Look]:
    """The looks at the target so far.

    Raises:
        ValueError: the file is damaged.
    """
    file = run.directory / FILE
    if not file.exists():
        return []
    looks = read_json(file).get("looks")
    keys = {"step", "episodes", "steps", "returns", "point", "draws"}
    if not isinstance(looks, list) or not all(isinstance(look, dict) and keys <= set(look) for look in looks):
        raise ValueError(f"{file}: damaged; accepted: the looks at the target that a run wrote")
    return looks


class Rounds(BaseCallback):
    """Changes the draws at the boundaries of rounds."""

    def __init__(self, run: Run, randomizer: FixedRandomizer, save: Callable[[], None], num_threads: int) -> None:
        """``save`` writes a checkpoint of the policy as it is now."""
        super().__init__()
        self.run, self.randomizer, self.save, self.num_threads = run, randomizer, save, num_threads
        self.looks = read_looks(run)
        self._round = 0

    def _on_rollout_start(self) -> None:
        config = self.run.config
        rounds, begun = config.identify.rounds, begun_at(config)
        done, steps = self.model.num_timesteps - begun, config.steps - begun
        while self._round < rounds - 1 and done * rounds >= steps * (self._round + 1):
            if self._round == len(self.looks):
                if self.looks and self.looks[-1]["step"] == self.model.num_timesteps:
                    raise ValueError(
                        f"{self.run.name}: identify.rounds is {rounds}, but nothing is learned between the looks at "
                        f"{self.model.num_timesteps} steps; accepted: fewer, or more steps"
                    )
                self.save()
                with _untouched_generators():
                    self.looks.append(self._look())
                write_json(self.run.directory / FILE, {"looks": self.looks})
            self.randomizer.draws = tuple(parse_draw(text) for text in self.looks[self._round]["draws"])
            self._round += 1

    def _on_step(self) -> bool:
        return True

    def spent(self) -> tuple[int, int]:
        """Episodes and steps of the target so far."""
        return sum(look["episodes"] for look in self.looks), sum(look["steps"] for look in self.looks)

    def _look(self) -> Look:
        config, identify = self.run.config, self.run.config.identify
        rollout = play_target(self.run, identify.domain, identify.episodes, played=self.spent()[0])
        find = _bayrn if identify.method == "bayrn" else self._simopt
        point, found = find(config, rollout, self.looks)
        return {
            "step": self.model.num_timesteps,
            "episodes": identify.episodes,
            "steps": int(rollout.running.sum()),
            "returns": rollout.returns.tolist(),
            "point": point.tolist(),
            "parameters": describe(found, search_of(config)),
            "draws": list(found.draws(search_of(config))),
        }

    def _simopt(self, config: RunConfig, rollout: Rollout, looks: Sequence[Look]) -> tuple[Array, Gaussian]:
        belief = Gaussian(*np.split(np.array(looks[-1]["point"]), 2)) if looks else first_distribution(config)
        search, rng = search_of(config), np.random.default_rng((config.seed, len(looks)))
        real = rollout.states[1 : simopt.STEPS + 1].transpose(1, 0, 2)
        running = rollout.running[1 : simopt.STEPS + 1].T
        if not running.any():
            return np.concatenate((belief.mean, belief.std)), belief  # every episode ended at once: nothing to compare
        scale = np.maximum(real[running].std(axis=0), 1e-9)
        simulate = _simulate(self.run, search, rollout.states[0], real.shape[1], self.num_threads)
        for _ in range(simopt.UPDATES):
            samples = belief.quantile(rng.random((simopt.SAMPLES, len(belief.mean))))
            costs = simopt.discrepancy(simulate(samples), real, running, scale)
            belief = simopt.update(belief, samples, costs)
        return np.concatenate((belief.mean, belief.std)), belief


def _bayrn(config: RunConfig, rollout: Rollout, looks: Sequence[Look]) -> tuple[Array, Gaussian]:
    """After each look the next proposal, but after the last the best of those tried."""
    points = [bayrn.start(search_of(config).nominal), *(np.array(look["point"]) for look in looks)]
    returns = [float(np.mean(look["returns"])) for look in looks] + [float(np.mean(rollout.returns))]
    tried = list(zip(points, returns, strict=True))
    last = len(tried) == config.identify.rounds - 1
    point = bayrn.best(tried) if last else bayrn.propose(tried, config.seed)
    return point, bayrn.gaussian(point)


def _simulate(run: Run, search: Search, starts: Array, steps: int, num_threads: int) -> Callable[[Array], Array]:
    """States after each step of the run's policy from ``starts`` under parameters in unit coordinates."""
    config = run.config
    simulator = envs.make_simulator(config.figure, config.domain, search.drawn, config.mass_only, num_threads)
    agent = load_folded(run)

    def simulate(unit: Array) -> Array:
        memory: Any = None

        def act(observations: Array, step: int) -> Any:
            nonlocal memory
            begins = np.full(len(observations), step == 0)
            actions, memory = agent.predict(observations, memory, episode_start=begins, deterministic=True)
            return actions

        return simulator.trajectories(search.operands(unit), starts, steps, act)

    return simulate


@contextmanager
def _untouched_generators() -> Iterator[None]:
    """Making another agent seeds the global generators that training draws from."""
    state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        yield
    np.random.set_state(state)  # noqa: NPY002
