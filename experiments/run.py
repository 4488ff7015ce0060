"""The run directory: one configuration, one seed, everything that came of it.

::

    runs/<study>/<figure>-<domain>-<pipeline>-<randomisation>-<agent>/seed-003/
      config.yaml         complete and resolved
      provenance.json     versions, commit, command, machine of every start
      metrics.jsonl       a row per logged update
      checkpoints/<step>/ see experiments.checkpoints
      episodes.csv        a row per evaluation episode
      learning_curve.png  return over steps
      curriculum.png      how the randomisation moved, where it did
      tensorboard/        event files
      identified.json     what data of the target said of its parameters, and what they cost; target.npz: the data
      done.json           written last
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.checkpoints import list_checkpoints
from experiments.config import RunConfig
from experiments.files import locked, read_json, read_json_lines, read_yaml, write_json, write_text
from experiments.plain import differences, parse_config, to_yaml
from experiments.provenance import provenance
from experiments.start import find_start

RUNS = Path("runs")
RESULTS = Path("results")


@dataclass(frozen=True)
class Run:
    """A run's configuration and where it lives."""

    config: RunConfig
    directory: Path

    @property
    def name(self) -> str:
        """Cell and seed, as in the path."""
        return f"{self.directory.parent.name}/{self.directory.name}"

    @property
    def cell(self) -> dict[str, Any]:
        """What tables say of the run: its cell, and its seed."""
        config = self.config
        return {
            "study": config.study,
            "figure": config.figure,
            "horizon": config.horizon,
            "pipeline": config.sees.name,
            "randomization": config.method,
            "agent": config.agent.name,
            "steps": config.steps,
            "train_domain": config.domain,
            "seed": config.seed,
        }

    @property
    def metrics(self) -> Path:
        """Rows logged during training."""
        return self.directory / "metrics.jsonl"

    @property
    def episodes(self) -> Path:
        """Rows of evaluation episodes."""
        return self.directory / "episodes.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.directory / "checkpoints"

    @property
    def done(self) -> bool:
        """Whether training has finished."""
        return (self.directory / "done.json").exists()

    def result(self) -> dict[str, Any]:
        """What ``done.json`` says: steps, wall-clock seconds, diverged episodes, and target episodes and steps used."""
        file = self.directory / "done.json"
        result = {"target_episodes": 0, "target_steps": 0, **read_json(file)}
        for key in ("steps", "wall_s", "diverged_episodes", "target_episodes", "target_steps"):
            if not isinstance(result.get(key), int | float):
                raise ValueError(f"{file}: {key} is {result.get(key)!r}; accepted: a number")
        return result

    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl``; empty before the first.

        Raises:
            ValueError: the file is damaged.
        """
        rows = read_json_lines(self.metrics)
        for number, row in enumerate(rows, start=1):
            if not isinstance(row.get("step"), int) or not all(isinstance(v, int | float) for v in row.values()):
                raise ValueError(f"{self.metrics}, line {number}: damaged; accepted: numbers, and a whole one as step")
        return rows

    def starts(self) -> list[dict[str, Any]]:
        """What ``provenance.json`` says of every start; empty before the first.

        Raises:
            ValueError: the file is damaged.
        """
        file = self.directory / "provenance.json"
        starts = read_json(file).get("starts") if file.exists() else []
        if not isinstance(starts, list) or not all(isinstance(start, dict) for start in starts):
            raise ValueError(f"{file}: holds no list of starts; remove it to begin a new one")
        return starts

    def latest_checkpoint(self) -> Path:
        """The newest checkpoint.

        Raises:
            ValueError: there is none yet.
        """
        checkpoints = list_checkpoints(self.checkpoints)
        if not checkpoints:
            raise ValueError(f"{self.directory}: no checkpoint yet; train it first with simgap train")
        return checkpoints[-1]

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this directory; released even by a kill.

        Raises:
            ValueError: another process holds it.
        """
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(self.directory / ".lock", wait=False))
            except BlockingIOError:
                raise ValueError(f"{self.directory}: another process is training here") from None
            yield


def create_run(config: RunConfig, root: Path = RUNS) -> Run:
    """Make the run's directory, or take the one that holds the same configuration.

    Raises:
        ValueError: the directory holds another configuration, the algorithm refuses its hyperparameters, there is
            no estimator of this figure, or nothing to start from.
    """
    given, config = config, config.resolved()
    run = Run(config, root / config.path)
    file = run.directory / "config.yaml"
    if not file.exists():
        # Hyperparameters, a device or an estimator that are refused end here, before anything is on disk.
        config.make_agent()
        if config.start:
            config = replace(config, start=str(find_start(config)))
            run = Run(config, run.directory)
        if config.pipeline == "pose":
            config.pose.directory(config.task.name)
        write_text(file, to_yaml(config))
        return run
    stored = open_run(run.directory)
    if stored.config == given:  # complete when it was written: defaults that came later are none of its business
        return stored
    if config.start and Path(stored.config.start).is_relative_to(config.start):
        run = Run(replace(config, start=stored.config.start), run.directory)  # one of the checkpoints that it stood for
    if differing := differences(stored.config, run.config):
        raise ValueError(
            f"{run.directory}: holds a run with {differing}; accepted: the same configuration, or another --study"
        )
    return run


def open_run(directory: Path) -> Run:
    """An existing run.

    Raises:
        ValueError: there is no run, or its configuration cannot be read.
    """
    file = directory / "config.yaml"
    if not file.is_file():
        raise ValueError(f"{directory}: not a run directory (it has no config.yaml)")
    return Run(parse_config(RunConfig, read_yaml(file), str(file)), directory)


def find_runs(paths: list[Path]) -> list[Run]:
    """Every run at or below ``paths``, in order.

    Raises:
        ValueError: there is none.
    """
    if not paths:
        raise ValueError("no run is given; accepted: run directories, or folders of them")
    found = {file.parent: None for path in paths for file in sorted(path.rglob("config.yaml"))}
    # What is below a run is no run: Weights & Biases keeps a config.yaml of its own there.
    found = {directory: None for directory in found if found.keys().isdisjoint(directory.parents)}
    if not found:
        raise ValueError(f"no run found in {', '.join(map(str, paths))}; a run directory has a config.yaml")
    return [open_run(directory) for directory in found]


def check_memoryless(run: Run) -> None:
    """Raise ``ValueError`` where the run's policy cannot be asked about single observations."""
    if run.config.agent.name == "recurrent_ppo":
        raise ValueError(f"{run.directory}: recurrent_ppo remembers what it saw; accepted: agents without a memory")


def record_provenance(run: Run, **facts: Any) -> None:
    """Add this start of the run to ``provenance.json``."""
    write_json(run.directory / "provenance.json", {"starts": [*run.starts(), {**provenance(), **facts}]})
