"""What each ``simgap`` command does; its signature and docstring are its options and help."""

from collections.abc import Callable

from experiments.commands.datasets import fit_pose, preview, synth
from experiments.commands.identification import identify, log_target
from experiments.commands.rewards import fit_reward
from experiments.commands.runs import evaluate, export, info, play, train
from experiments.commands.speed import bench
from experiments.commands.studies import gallery, report, search, study

COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "evaluate": evaluate,
    "study": study,
    "search": search,
    "report": report,
    "gallery": gallery,
    "play": play,
    "info": info,
    "export": export,
    "log-target": log_target,
    "identify": identify,
    "synth": synth,
    "synth-preview": preview,
    "fit-pose": fit_pose,
    "fit-reward": fit_reward,
    "bench": bench,
}
