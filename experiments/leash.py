"""Runs another module and ends with its parent: ``python -m experiments.leash PARENT SIGNAL MODULE WORD…``.

A command, or a worker of Ray, that is killed cannot end its children, and one that went on would write beside its
successor.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends when the parent dies; an exec keeps it."""


def command(number: int, words: Iterable[str | Path]) -> list[str]:
    """What to start for ``python -m words…`` that gets the signal ``number`` when this process ends."""
    return [sys.executable, "-m", "experiments.leash", str(os.getpid()), str(int(number)), *map(str, words)]


def main(parent: int, number: int, words: list[str]) -> None:
    """Become ``python -m words…``, which gets the signal ``number`` when ``parent`` ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number):
        sys.exit(f"error: prctl failed ({os.strerror(ctypes.get_errno())})")
    if os.getppid() != parent:
        sys.exit("error: the parent ended first")
    os.execv(sys.executable, [sys.executable, "-m", *words])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
