from pathlib import Path

import pytest

from experiments.executors import ExecutorConfig, LocalExecutor, open_executor


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (ExecutorConfig(address="auto"), r"^--address is for a cluster; accepted: with --executor ray$"),
        (ExecutorConfig(store="file:///x"), r"^--store is for a cluster; accepted: with --executor ray$"),
        (
            ExecutorConfig("ray", store="memory://x"),
            r"^store memory://x: only this process sees it; accepted: one that",
        ),
        (
            ExecutorConfig("ray", store="nope://x"),
            r"^store nope://x: Protocol not known: nope; accepted: an fsspec URL",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(where: ExecutorConfig, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message), open_executor(where, tmp_path):
        pass


def test_this_machine_needs_no_cluster(tmp_path: Path) -> None:
    with open_executor(ExecutorConfig(), tmp_path) as executor:
        assert isinstance(executor, LocalExecutor)
