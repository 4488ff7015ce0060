"""A connection to a Ray cluster, or one that is started here and ends with the command."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from envs.cores import cores


@contextlib.contextmanager
def join(address: str, workers: int = 0) -> Iterator[str]:
    """Be part of the cluster at ``address`` (empty: RAY_ADDRESS, or else a new one here, of ``workers`` CPUs, 0: all).

    Yields:
        HOST:PORT of its head.

    Raises:
        ValueError: Ray is not installed, the cluster does not answer, has another version or no CPU.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    os.environ.setdefault("RAY_worker_niceness", "0")  # what else runs here is no more urgent; Ray's own choice is 15
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a task without a GPU keeps CUDA's variable
    try:
        import ray
    except ImportError:
        raise ValueError("--executor ray needs Ray: pip install -c constraints.txt -e '.[cluster]'") from None
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address not in ("local", "auto") and not answers(address):
        raise ValueError(f"no Ray cluster answers at {address}; accepted: HOST:PORT, auto, or none to start one here")
    own: dict[str, Any] = {"num_cpus": workers or cores(), "include_dashboard": False} if address == "local" else {}
    try:
        with _own_sigterm():
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **own)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"Ray cluster {address}: {reason:.200}; accepted: one that runs (RAY_AUTH_MODE=token if it wants a token)"
        ) from None
    try:
        head = str(ray.get_runtime_context().gcs_address)
        if not cpus():
            raise ValueError(f"the Ray cluster at {head} has no CPU; accepted: one with some")
        yield head
    finally:
        ray.shutdown()


def cpus() -> int:
    """How many CPUs the cluster that this process is part of has now."""
    import ray

    return int(ray.cluster_resources().get("CPU", 0))


def answers(address: str) -> bool:
    """Whether something listens at HOST:PORT.

    Raises:
        ValueError: that is not what it says.
    """
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit()):
        raise ValueError(f"address {address!r}; accepted: HOST:PORT of a Ray cluster, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=3).close()
    except (OSError, OverflowError):
        return False
    return True


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Ray would end this process by SystemExit when it is asked to, and go on doing so when it is shut down."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
