"""Commands on predicted rewards: fit-reward."""

from pathlib import Path
from typing import Annotated

import tyro

from experiments.plain import parse_config, to_plain
from experiments.reward_config import RewardConfig

DEFAULTS = RewardConfig()


def fit_reward(
    directory: tyro.conf.Positional[Path],
    reward: Annotated[RewardConfig, tyro.conf.arg(name="")] = DEFAULTS,
    config: Path | None = None,
) -> None:
    """Train a network that predicts rewards, and see whether it ranks policies as their true returns do.

    The same command again continues. The report is README.md in the directory.

    Args:
        directory: Directory for the predictor, e.g. runs/reward/hopper.
        reward: The predictor.
        config: YAML file with the predictor's configuration; options given beside it win.
    """
    from experiments.fit_reward import fit_reward as fit
    from experiments.info import print_reward
    from experiments.progress import FitProgress
    from experiments.reward_report import write_reward_report

    reward = parse_config(RewardConfig, to_plain(reward), "command line")
    with FitProgress(str(directory)) as progress:
        fit(reward, directory, progress.update)
    report = write_reward_report(directory)
    print_reward(directory)
    print(f"report: {report}")
