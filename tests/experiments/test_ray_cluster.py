import socket

import pytest

from experiments.ray_cluster import join


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def test_a_cluster_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port()}"
    expected = rf"^no Ray cluster answers at {address}; accepted: HOST:PORT, auto, or none to start one here$"
    with pytest.raises(ValueError, match=expected), join(address):
        pass
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ValueError, match=expected), join(""):
        pass
    with pytest.raises(ValueError, match=r"^address 'cluster'; accepted: HOST:PORT of"), join("cluster"):
        pass
