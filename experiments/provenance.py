"""Where, when and with what numbers were made."""

import contextlib
import importlib.metadata
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from envs.cores import cores

_PACKAGES = ("simgap", "mujoco", "gymnasium", "stable-baselines3", "sb3-contrib", "torch", "numpy", "bpy")


def provenance() -> dict[str, Any]:
    """Where, when and with what something was computed."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "command": " ".join(["simgap", *sys.argv[1:]]),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "commit": _commit(),
        "machine": platform.platform(),
        "cpu": _cpu_name(),
        "cores": cores(),
        "python": platform.python_version(),
        "versions": versions,
    }


def trained_where(facts: Mapping[str, Any]) -> str:
    """What :func:`provenance` says of the machine and the source, in words."""
    return f"{facts.get('cpu')}, {facts.get('cores')} cores, commit {facts.get('commit')}"


def machines(trained: Iterable[str]) -> str:
    """Machines as :func:`trained_where` tells them, each once, with its commits."""
    commits: dict[str, list[str]] = {}
    for machine, _, commit in (where.partition(", commit ") for where in trained):
        commits.setdefault(machine, []).append(commit)
    return "; ".join(
        f"{machine}, {'commit' if len(of) == 1 else 'commits'} {', '.join(of)}" for machine, of in commits.items()
    )


def _commit() -> str:
    """The source's git commit, with a mark if files differ from it; empty outside a checkout."""
    folder = Path(__file__).parent
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
