"""Peak memory of one ``simgap train``, in a process of its own: ``python -m benchmarks.memory ENVS STEPS THREADS``."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path


def training_memory(num_envs: int, steps: int, threads: int) -> float:
    """Peak resident memory in GB (1e9 bytes) of a process that only trains PPO on the randomised source."""
    command = [sys.executable, "-m", __name__, str(num_envs), str(steps), str(threads)]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(child.stdout.split()[-1]) / 1e9


def _train(num_envs: int, steps: int, threads: int) -> None:
    from experiments.commands.runs import train
    from experiments.config import RunConfig
    from randomization import RandomizationConfig

    with tempfile.TemporaryDirectory() as runs:
        config = RunConfig(num_envs=num_envs, steps=steps, randomization=RandomizationConfig("uniform"))
        train(config, runs=Path(runs), threads=threads)


def _peak() -> int:
    """Bytes. Not ru_maxrss: a child inherits its parent's peak in that."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    _train(*map(int, sys.argv[1:]))
    print(_peak())
