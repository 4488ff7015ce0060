"""From a trained run to a log of the target, to draws, to training with them: as a user types it."""

from pathlib import Path

import pytest

from experiments.cli import main
from experiments.run import Run, find_runs
from experiments.target_log import read_log


def test_log_identify_train_and_the_budget_goes_all_the_way(
    own_run: Run, place: Path, tiny_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for number, episodes in enumerate(("2", "1")):
        main(["log-target", str(own_run.directory), f"{number}.npz", "--episodes", episodes])
    steps = sum(read_log(place / f"{number}.npz").steps for number in (0, 1))
    search = ["--search", "torso_mass * uniform(0.5, 2)"]
    main(["identify", "sysid", "0.npz", "1.npz", "--file", "found.yaml", "--threads", "1", *search])
    out = capsys.readouterr().out
    assert "budget: 2 episodes" in out
    assert "torso_mass *" in out
    assert "1.395" in out  # 3.534 kg in the target, 2.534 kg in the source
    assert f"target budget: 3 episodes, {steps} steps" in out
    main(["train", "--config", "found.yaml", "--runs", "new", *tiny_options])
    (run,) = find_runs([place / "new"])
    assert run.directory.parent.name == "hopper-source-state-sysid-draws-ppo"
    assert (run.result()["target_episodes"], run.result()["target_steps"]) == (3, steps)
