import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray

from experiments.config import RunConfig
from experiments.executors import LOG, ExecutorConfig, Task, open_executor
from experiments.plain import parse_config
from experiments.ray_executor import RayExecutor, _progress
from experiments.ray_task import Killed, Plan, _marks, _run, work
from experiments.run import Run, create_run
from experiments.search import search
from experiments.search_space import SearchSpace
from experiments.sweep import run_sweep
from experiments.sweep_grid import Grid, parse_axis

SPACE: dict[str, Any] = {
    "name": "spread",
    "title": "t",
    "description": "d",
    "base": {
        "steps": 256,
        "horizon": 50,
        "num_envs": 4,
        "agent": {"hyperparameters": {"n_steps": 16, "batch_size": 32, "n_epochs": 1}},
    },
    "parameters": {"agent.hyperparameters.gamma": {"range": [0.9, 0.99]}},
    "trials": 2,
    "episodes": 3,
    "objective": "iqm",
    "sampler": "random",
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of one machine with two CPUs that lives as long as the tests of this file."""
    words = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--port=0", "--num-cpus=2"]
    environment = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_niceness": "0",
        "PYTHONUNBUFFERED": "1",
    }
    # Not detached: its processes end with this one.
    started = subprocess.Popen(
        [*words, "--include-dashboard=false", "--block"], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert started.stdout is not None
    found = next(line.split("'")[1] for line in started.stdout if "--address=" in line)
    yield found
    started.terminate()
    started.wait()
    started.stdout.close()


def task(directory: Path, *words: str, **options: Any) -> Task:
    directory.mkdir(parents=True, exist_ok=True)
    return Task(words, directory / "log.txt", directory, **options)


def finish(process: Any) -> int:
    started = time.monotonic()
    while process.poll() is None:
        assert time.monotonic() - started < 200
        time.sleep(0.1)
    return int(process.returncode)


def wait_for(happened: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < 200
        time.sleep(0.05)


def working_in(directory: Path) -> list[Path]:
    """The processes whose working directory this is, but for this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.name != str(os.getpid()) and (process / "cwd").readlink() == directory:
                found.append(process)
    return found


def module(directory: Path, code: str) -> str:
    """A module in the working directory of tasks; its name."""
    (directory / "given_words.py").write_text(code)
    return "given_words"


def test_exit_status_output_and_input_come_back(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    name = module(tmp_path, "import os, sys; print(sys.stdin.read(), os.environ['OMP_NUM_THREADS']); sys.exit('bad')")
    with open_executor(ExecutorConfig("ray", address), tmp_path) as executor:
        assert executor.slots() == 2
        process = executor.start(task(tmp_path / "a", name, given=b"said"))
        assert (finish(process), process.pid) == (1, 0)
    assert (tmp_path / "a" / "log.txt").read_text() == "said 1\nbad\n"
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) == before  # Ray would leave one of its own


def test_a_process_that_is_killed_is_begun_again(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = module(tmp_path, "import os; print('begun', flush=True); os.kill(os.getpid(), 9)")
    with open_executor(ExecutorConfig("ray", address), tmp_path) as executor:
        processes = [executor.start(task(tmp_path / str(retries), name, retries=retries)) for retries in (0, 2)]
        assert [finish(process) for process in processes] == [-9, -9]
    for retries in (0, 2):
        lines = (tmp_path / str(retries) / "log.txt").read_text().splitlines()
        assert lines == ["begun"] * (1 + retries) + ["error: killed by signal 9"]


def test_who_is_asked_to_stop_may_save_first(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module(
        tmp_path,
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), print('saved', flush=True), sys.exit(3)))\n"
        "print('ready', flush=True)\ntime.sleep(600)",
    )
    name = f"stops_{tmp_path.parent.name.replace('-', '_')}"
    with open_executor(ExecutorConfig("ray", address, f"file://{tmp_path}/store"), tmp_path) as executor:
        (tmp_path / name).mkdir()
        shutil.copy(tmp_path / "given_words.py", tmp_path / name)
        process = executor.start(Task((f"{name}.given_words",), tmp_path / name / LOG, tmp_path / name))
        # What it prints is in the store only later, so wait for the log of the scratch folder.
        wait_for(lambda: any(log.read_text() for log in Path(tempfile.gettempdir()).glob(f"simgap-*/{name}/{LOG}")))
        process.terminate()
        assert process.wait() == 3
    assert (tmp_path / name / LOG).read_text() == "ready\nsaved\n"


def test_a_task_that_is_cancelled_at_once_leaves_no_process(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = module(tmp_path, "import sys, time; print('ready', flush=True); time.sleep(600)")
    with open_executor(ExecutorConfig("ray", address), tmp_path) as executor:
        processes = [executor.start(task(tmp_path / str(number), name)) for number in range(6)]
        for delay, process in zip((0, 0, 0.3, 0.5, 0.7, 0.9), processes, strict=True):
            time.sleep(delay)
            process.terminate()
        assert [process.wait() for process in processes] == [-15] * 6
    assert working_in(tmp_path) == []


def test_a_sweep_on_a_cluster_has_the_same_cells(address: str, ppo_run: Run, tmp_path: Path) -> None:
    grid = Grid("hopper", "source", (parse_axis("torso_mass=-0.5:1:3"),))
    tables = []
    for name, where in (
        ("here", ExecutorConfig()),
        ("there", ExecutorConfig("ray", address)),
        ("stored", ExecutorConfig("ray", address, f"file://{tmp_path}/store")),
    ):
        directory = tmp_path / name / "runs" / ppo_run.config.path
        shutil.copytree(ppo_run.directory, directory)
        report = run_sweep([Run(ppo_run.config, directory)], grid, 2, output=tmp_path / name / "sweep", where=where)
        tables.append((report.parent / "sweep.csv").read_bytes())
        assert (directory / "sweep.txt").exists() == (name != "here")  # somewhere else it was judged
    assert tables[0] == tables[1] == tables[2]


def test_a_search_on_a_cluster_has_the_same_trials(address: str, tmp_path: Path) -> None:
    space = parse_config(SearchSpace, SPACE, "space")
    tables = []
    for name, where in (("here", ExecutorConfig()), ("there", ExecutorConfig("ray", address, f"file://{tmp_path}/s"))):
        report, failures = search(space, 0, "", tmp_path / name / "runs", tmp_path / name / "results", 2, where)
        assert failures == []
        table = pd.read_csv(report.parent / "trials.csv")
        tables.append(table[["number", "state", "score", "agent.hyperparameters.gamma"]])
    pd.testing.assert_frame_equal(*tables)


def test_a_directory_outside_the_root_does_not_go_through_a_store(tmp_path: Path) -> None:
    from experiments.store import Store

    executor = RayExecutor("10.0.0.1:6379", tmp_path / "runs", Store(f"file://{tmp_path}/store"))
    with pytest.raises(
        ValueError, match=r"teacher: not below .*runs, so it does not go through the store; accepted: a"
    ):
        executor.start(task(tmp_path / "runs" / "a", "x", needs=(tmp_path / "teacher",)))


def test_a_copy_of_another_configuration_is_not_fetched_over_this_one(
    tiny: Callable[..., RunConfig], ppo_run: Run, tmp_path: Path
) -> None:
    from experiments.store import Store

    store = Store(f"file://{tmp_path}/store")
    run = create_run(tiny(), tmp_path / "runs")
    key = run.config.path.as_posix()
    store.push(key, ppo_run.directory)
    executor = RayExecutor("10.0.0.1:6379", tmp_path / "runs", store)
    executor._plan(task(run.directory, "x"))  # the same configuration, which is done there
    shutil.rmtree(run.directory)
    other = create_run(tiny(checkpoint_every=100), tmp_path / "runs")
    with pytest.raises(ValueError, match=rf"{key} holds a run of another configuration; accepted: the same one"):
        executor.start(task(other.directory, "x"))


def test_folders_that_vanish_while_they_are_listed_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, going = tmp_path / "checkpoints" / "000000000128", tmp_path / "checkpoints" / "tmp"
    kept.mkdir(parents=True)
    going.mkdir()
    listed = os.scandir

    def scandir(place: str) -> Any:
        found = listed(place)
        if Path(place).name == "checkpoints" and going.exists():
            going.rmdir()
        return found

    monkeypatch.setattr(os, "scandir", scandir)
    assert _marks(tmp_path) == {str(kept)}


def test_a_task_that_cannot_be_looked_at_leaves_no_process(tmp_path: Path) -> None:
    module(tmp_path, "import time; time.sleep(600)")

    def look() -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        _run(Plan(("given_words",), Path("log.txt"), tmp_path, b"", own_core=False), tmp_path, [], look)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    assert not any(b"given_words" in command for command in commands)


def test_progress_is_told_by_checkpoints(tiny: Callable[..., RunConfig], ppo_run: Run, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path)
    assert _progress(run.directory) == -1
    (run.checkpoints / "000000000128").mkdir(parents=True)
    (run.checkpoints / "000000000128" / "manifest.json").touch()
    assert _progress(run.directory) == 128
    assert _progress(ppo_run.directory) > ppo_run.config.steps


def test_a_task_says_how_its_process_was_killed(tmp_path: Path) -> None:
    module(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGABRT)")
    with pytest.raises(Killed, match=f"^killed by signal {signal.SIGABRT.value}$"):
        work(Plan(("given_words",), tmp_path / "log.txt", tmp_path, b"", own_core=False, place=str(tmp_path)))
