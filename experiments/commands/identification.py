"""Commands on data of the target: log-target, identify."""

from pathlib import Path
from typing import Literal

import tyro

from experiments.run import open_run


def log_target(
    run: tyro.conf.Positional[Path], file: tyro.conf.Positional[Path], domain: str = "target", episodes: int = 5
) -> None:
    """Record what a run's policy does in a target domain, for simgap identify; its budget is kept with it.

    Args:
        run: Run directory.
        file: The .npz to write.
        domain: Domain to act in, e.g. 'target, actuator_delay=2, sensor_noise=0.01'.
        episodes: Whole episodes, of the run's horizon.
    """
    from experiments.target_log import log_target as log
    from experiments.target_log import write_log

    logged = log(open_run(run), domain, episodes)
    write_log(logged, file)
    print(f"log: {file} ({len(logged.states)} transitions; budget: {logged.episodes} episodes, {logged.steps} steps)")


def identify(
    method: tyro.conf.Positional[Literal["dropo", "sysid"]],
    logs: tyro.conf.Positional[list[Path]],
    file: Path = Path("identified.yaml"),
    domain: str = "source",
    search: tuple[str, ...] = (),
    covariance: Literal["diagonal", "full"] = "diagonal",
    seed: int = 0,
    threads: int = 0,
) -> None:
    """Fit physical parameters to logs of a target; simgap train --config FILE then trains with what was found.

    Args:
        method: dropo: mean and spread of each parameter. sysid: the one set that predicts best.
        logs: Files of simgap log-target.
        file: The YAML file to write: draws, the data's budget, and as comments the report of the fit.
        domain: Domain to train in, whose parameters are fitted.
        search: Parameters and ranges, e.g. 'torso_mass * uniform(0.5, 2)'; none for every mass from half to twice.
        covariance: Of predicted next states in DROPO's likelihood.
        seed: Seed of the fit.
        threads: Threads for physics, 0 for all cores.
    """
    import envs
    from envs.cores import cores
    from experiments.identify import fit, write_identified
    from experiments.info import print_identified
    from experiments.progress import FitProgress
    from experiments.target_log import join, read_log
    from randomization.identification import parse_search

    if threads < 0:
        raise ValueError(f"threads is {threads}; it must be 0 (all cores) or more")
    log = join([read_log(each) for each in logs])
    ranges = parse_search(search or envs.default_search(log.figure))
    with FitProgress(str(file)) as shown:
        found = fit(
            method,
            log,
            domain,
            ranges,
            seed,
            num_threads=threads or cores(),
            covariance=covariance,
            progress=lambda done, total: shown.update("fitting", done, total, f"generation {done} of {total}"),
        )
    write_identified(found, log, domain, file)
    print_identified(found)
    print(f"identified: {file} (train with simgap train --config {file})")
