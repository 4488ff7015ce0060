"""What policies observe, do and earn: recorded steps of random, trained and disturbed policies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.files import write_with
from experiments.individuals import trained
from experiments.reward_config import RewardConfig
from experiments.run import Run

Array = npt.NDArray[Any]

MAX_ENVS = 64
"""Simulations that are recorded at a time; fewer where episodes would not come to their ends."""


@dataclass(frozen=True)
class Transitions:
    """``m`` environment steps."""

    observations: Array
    """Unnormalised, before the step: float32 ``(m, entries)``."""
    actions: Array
    """As the simulation took them: float32 ``(m, actuators)``."""
    rewards: Array
    """float32 ``(m,)``."""
    episodes: Array
    """Which steps belong together, counted over all of them: ``(m,)``."""
    kinds: Array
    """Index of the kind of policy that acted, ``(m,)``; see ``RewardConfig.kinds``."""

    def save(self, file: Path) -> None:
        """Write them as arrays in one .npz."""
        write_with(file, lambda temporary: np.savez(temporary, **vars(self)))


def load_transitions(file: Path) -> Transitions:
    """Read what :meth:`Transitions.save` wrote.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return Transitions(**{name: arrays[name] for name in arrays.files})
    except Exception as error:  # zip, zlib and NumPy raise many kinds
        raise ValueError(f"{file}: cannot be read ({' '.join(str(error).split())}); remove it to record anew") from None


def stream(seed: int, *keys: int) -> int:
    """Seed of the simulations' starts for each use of them."""
    return int(np.random.default_rng([seed, *keys]).integers(2**31))


def record(
    config: RewardConfig, runs: Sequence[Run], domain: str, tell: Callable[[int, str], object] = lambda done, kind: None
) -> Transitions:
    """The same number of steps of every kind of policy, shared evenly by ``runs``, without randomisation.

    ``tell`` is called now and then with the number of steps recorded so far and what acts.

    Raises:
        ValueError: as :func:`experiments.individuals.trained`, or an unknown domain.
    """
    policies = [trained(run) for run in runs]
    share = config.points // (len(config.kinds) * len(runs))
    levels = dict(zip(config.kinds[2:], config.noise, strict=True))
    columns: list[tuple[Array, ...]] = []
    episodes, done = 0, 0
    for kind, name in enumerate(config.kinds):
        for number, (run, policy) in enumerate(zip(runs, policies, strict=True)):
            rng = np.random.default_rng([config.seed, kind, number])
            simulation = run.config.make_env(int(np.clip(share // run.config.horizon, 2, MAX_ENVS)), 0, domain)
            simulation.seed(stream(config.seed, 1, kind, number))
            space: Any = simulation.action_space
            half = (space.high - space.low) / 2
            observations: Any = simulation.reset()
            current = episodes + np.arange(len(observations))
            episodes += len(observations)
            for step in range(-(-share // len(observations))):
                if name == "random":
                    actions = rng.uniform(space.low, space.high, (len(observations), len(half)))
                else:
                    actions = policy.act(observations[None])[0]
                    if name in levels:
                        actions = actions + levels[name] * half * rng.standard_normal(actions.shape)
                actions = np.clip(actions, space.low, space.high).astype(np.float32)
                seen = observations.astype(np.float32)
                observations, rewards, dones, _ = simulation.step(actions)
                kinds = np.full(len(seen), kind)
                columns.append((seen, actions, rewards.astype(np.float32), current, kinds))
                fresh = np.flatnonzero(dones)
                current = current.copy()
                current[fresh] = episodes + np.arange(len(fresh))
                episodes += len(fresh)
                done += len(seen)
                if step % 50 == 0:
                    tell(done, name)
            simulation.close()
    return Transitions(*(np.concatenate(column) for column in zip(*columns, strict=True)))
