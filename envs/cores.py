"""Which processor cores this process may use."""

import os


def core_numbers() -> list[int]:
    """The processor cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def cores() -> int:
    """How many processor cores this process may use."""
    return len(core_numbers())
