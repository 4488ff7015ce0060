from collections.abc import Callable
from pathlib import Path

import pytest

Complaint = Callable[[], str]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in an empty folder, on a wide terminal without a display."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return tmp_path


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Complaint:
    """Reads the one line on standard error."""

    def read() -> str:
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("simgap: error: ")
        return str(line)

    return read


@pytest.fixture
def tiny_options() -> list[str]:
    """Options of ``simgap train`` for a run of one update."""
    sizes = ["--steps", "64", "--num-envs", "4", "--horizon", "50", "--threads", "1"]
    return [*sizes, "--agent.hyperparameters", "n_steps=16", "batch_size=32", "n_epochs=1"]
