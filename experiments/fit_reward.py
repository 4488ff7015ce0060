"""Learning to predict rewards, and asking whether the predictions rank policies.

::

    <directory>/
      config.yaml         complete
      provenance.json     runs, versions, commit, command, machine
      transitions.npz     the recorded steps
      network.safetensors
      individuals.csv     a row per individual: what it earned, and every score
      metrics.json        how well rewards are predicted and individuals are ranked; written last
      README.md, figures/ the report
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from experiments.agreement import agree
from experiments.files import locked, read_json, read_yaml, write_json, write_text
from experiments.individuals import Individuals, play, sampled, together, trained
from experiments.plain import differences, parse_config, to_yaml
from experiments.provenance import provenance
from experiments.reward_config import RewardConfig
from experiments.reward_network import (
    CHUNK,
    RewardNetwork,
    fit_network,
    held_out,
    load_network,
    quality,
    save_network,
)
from experiments.run import Run, find_runs
from experiments.transitions import Transitions, load_transitions, record, stream

Array = npt.NDArray[Any]
Watch = Callable[[str, int, int, str], object]
"""Called with a stage, what is done of it, what there is in all, and a note."""

CONFIG, PROVENANCE, METRICS, INDIVIDUALS = "config.yaml", "provenance.json", "metrics.json", "individuals.csv"
TRUE, AGAIN, LENGTH, GENERATED, RECORDED = "true", "other starts", "length", "generated", "recorded"
LEAST = 3
"""Individuals, of fewer of which a ranking says nothing."""


def fit_reward(config: RewardConfig, directory: Path, watch: Watch = lambda *_: None) -> None:
    """Record, fit and rank; what is there already is kept, and once ``metrics.json`` is, nothing is done.

    Raises:
        ValueError: no run, one that cannot act here or is of another figure, too few individuals, or the directory
            holds something else.
    """
    runs, ranked = _runs(config)
    if not (directory / CONFIG).exists() and directory.exists() and any(directory.glob("[!.]*")):
        raise ValueError(f"{directory}: not empty, and not made by simgap fit-reward; accepted: a new directory")
    facts = {"policies": _identity(runs), "individuals": _identity(ranked)}
    if (directory / CONFIG).exists():
        _check_same(directory, config, facts)
    if (directory / METRICS).exists():
        return
    torch.set_num_threads(1)
    individuals = _individuals(config, ranked)
    domain = config.domain or runs[0].config.domain
    runs[0].config.make_env(1, 1, domain)  # an unknown domain ends here
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with locked(directory / ".lock", wait=False):
            write_text(directory / CONFIG, to_yaml(config))  # first: it says what the directory is
            write_json(directory / PROVENANCE, {**provenance(), **facts})
            _work(config, directory, runs, domain, individuals, watch)
    except BlockingIOError:
        raise ValueError(f"{directory}: another process is working in it") from None


def _work(
    config: RewardConfig,
    directory: Path,
    runs: Sequence[Run],
    domain: str,
    individuals: Individuals,
    watch: Watch,
) -> None:
    file = directory / "transitions.npz"
    if not file.exists():
        record(config, runs, domain, lambda done, kind: watch("recording", done, config.points, kind)).save(file)
    data = load_transitions(file)
    file = directory / "network.safetensors"
    if not file.exists():
        note = "mean squared error {:.4f} variances of the reward"
        tell = lambda epoch, loss: watch("fitting", epoch, config.epochs, note.format(loss))  # noqa: E731
        save_network(fit_network(config, data, tell), file)
    network = load_network(file, config.hidden)

    scores, between, prediction = _rank(config, runs[0], domain, individuals, data, network, watch)
    rng = np.random.default_rng([config.seed, 3])
    true = scores[TRUE].to_numpy()
    rankings = {name: asdict(agree(scores[name], true, rng)) for name in list(scores)[2:]}
    write_text(directory / INDIVIDUALS, scores.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_json(
        directory / METRICS,
        {
            "figure": runs[0].config.figure,
            "domain": domain,
            "horizon": runs[0].config.horizon,
            "points": len(data.rewards),
            "recorded": {name: int((data.kinds == kind).sum()) for kind, name in enumerate(config.kinds)},
            "prediction": prediction,
            "between": between,
            "rankings": rankings,
        },
    )


def read_reward_config(directory: Path) -> RewardConfig:
    """The configuration of what ``simgap fit-reward`` made.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    file = directory / CONFIG
    if not file.is_file():
        raise ValueError(f"{directory}: not made by simgap fit-reward (it has no {CONFIG})")
    return parse_config(RewardConfig, read_yaml(file), str(file))


def _runs(config: RewardConfig) -> tuple[list[Run], list[Run]]:
    """The runs to learn from, and those to rank."""
    if not config.policies:
        raise ValueError("no trained run is given; accepted: --policies with run directories, or folders of them")
    runs = find_runs([Path(name) for name in config.policies])
    ranked = find_runs([Path(name) for name in config.individuals]) if config.individuals else runs
    for run in (*runs, *ranked):
        if run.config.figure != runs[0].config.figure:
            raise ValueError(
                f"{run.directory}: a policy of {run.config.figure}; accepted: of {runs[0].config.figure}, as the first"
            )
    least = len(config.kinds) * len(runs)
    if config.points < least:
        raise ValueError(
            f"points is {config.points}; it must be {least} or more: a step of each of {len(runs)} runs in each of "
            f"{len(config.kinds)} kinds of policy"
        )
    if not any(run.config.agent.name == "cem" for run in ranked) and len(ranked) < LEAST:
        raise ValueError(
            f"{ranked[0].directory}: {len(ranked)} to rank, and none of agent cem; accepted: --individuals with a run "
            f"of agent cem, of which many are drawn, or {LEAST} runs or more"
        )
    return runs, ranked


def _individuals(config: RewardConfig, ranked: Sequence[Run]) -> Individuals:
    return together(
        [
            sampled(run, config.population, stream(config.seed, 4, number))
            if run.config.agent.name == "cem"
            else trained(run)
            for number, run in enumerate(ranked)
        ]
    )


def _identity(runs: Sequence[Run]) -> list[str]:
    """Each run's last checkpoint, with what its configuration calls it."""
    return [f"{run.config.study}/{run.name}/{run.latest_checkpoint().name}" for run in runs]


def _check_same(directory: Path, config: RewardConfig, facts: dict[str, list[str]]) -> None:
    differing = differences(read_reward_config(directory), config)
    # Not there if a kill came between the two.
    there = read_json(directory / PROVENANCE) if (directory / PROVENANCE).exists() else facts
    if not differing and any(there.get(name) != value for name, value in facts.items()):
        differing = "other checkpoints of these runs"
    if differing:
        raise ValueError(f"{directory}: holds a predictor with {differing}; accepted: the same, or a new directory")


def _rank(
    config: RewardConfig,
    run: Run,
    domain: str,
    individuals: Individuals,
    data: Transitions,
    network: RewardNetwork,
    watch: Watch,
) -> tuple[pd.DataFrame, dict[str, float], dict[str, dict[str, float]]]:
    """Scores of each individual, the share of each recorded score's variance that they explain, and R² of rewards."""
    horizon, count = run.config.horizon, len(individuals.names)
    played = []
    for key, stage in ((5, "judging"), (6, "judging on other starts")):
        simulation = run.config.make_env(count * config.episodes, 0, domain)
        simulation.seed(stream(config.seed, key))
        tell = lambda step, at=stage: watch(at, step, horizon, "steps")  # noqa: E731
        played.append(play(individuals, simulation, network.predict if key == 6 else None, tell))
        simulation.close()
    truth, again = played  # what ranks them is never of the episodes that the truth is known from
    scores = {TRUE: truth.returns, GENERATED: again.predicted, LENGTH: again.lengths, AGAIN: again.returns}
    table = pd.DataFrame({"individual": individuals.names, **{name: each.mean(1) for name, each in scores.items()}})

    chosen = held_out(data, config.seed)
    rng = np.random.default_rng([config.seed, 7])
    seen, between, prediction = [], {}, {}
    for kind, name in enumerate(config.kinds):
        rows = np.flatnonzero(data.kinds == kind)
        rows = rng.choice(rows, min(config.observations, len(rows)), replace=False)
        seen.append(_on_recorded(individuals, data.observations[rows], network))
        watch("ranking on recorded observations", kind + 1, len(config.kinds), name)
        judged = chosen & (data.kinds == kind)
        guesses = network.predict(data.observations[judged], data.actions[judged])
        prediction[name] = quality(data.rewards[judged], guesses)
    for name, guesses in {"all": np.concatenate(seen, axis=1), **dict(zip(config.kinds, seen, strict=True))}.items():
        table[f"{RECORDED}: {name}"] = guesses.mean(1)
        between[f"{RECORDED}: {name}"] = float(guesses.mean(1).var() / max(guesses.var(), 1e-12))
    prediction["individuals"] = quality(again.rewards, again.guesses)
    return table, between, prediction


def _on_recorded(individuals: Individuals, observations: Array, network: RewardNetwork) -> Array:
    """Predicted rewards ``(n, m)`` of what ``n`` individuals would do in ``m`` observations."""
    count = len(individuals.names)
    found = []
    for part in np.array_split(observations, -(-count * len(observations) // CHUNK)):
        repeated = np.repeat(part[None], count, axis=0)
        actions = individuals.act(repeated)
        guesses = network.predict(repeated.reshape(-1, part.shape[1]), actions.reshape(count * len(part), -1))
        found.append(guesses.reshape(count, len(part)))
    return np.concatenate(found, axis=1)
