"""Runs another module and ends with its parent: ``python -m experiments.leash PARENT MODULE WORD…``.

A worker of Ray that is killed cannot end its children. One that went on would write beside its successor.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends when the parent dies; an exec keeps it."""


def main(parent: int, words: list[str]) -> None:
    """Become ``python -m words…``, to be killed when ``parent`` ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL):
        sys.exit(f"error: prctl failed ({os.strerror(ctypes.get_errno())})")
    if os.getppid() != parent:
        sys.exit("error: the parent ended first")
    os.execv(sys.executable, [sys.executable, "-m", *words])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
