from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from optuna.trial import TrialState

from experiments.config import RunConfig
from experiments.files import read_json
from experiments.objectives import OBJECTIVES
from experiments.plain import parse_config
from experiments.search_charts import correlations, short_names
from experiments.search_parameters import Parameter
from experiments.search_report import collect, write_search_report
from experiments.search_space import SearchSpace
from experiments.search_study import claim, fail, open_study

GAMMA, LAYERS = "agent.hyperparameters.gamma", "agent.hyperparameters.policy_kwargs.net_arch"
SPACE = parse_config(
    SearchSpace,
    {
        "name": "s",
        "title": "A <search>",
        "description": "d",
        "base": {"steps": 1000, "horizon": 40},
        "parameters": {
            GAMMA: {"range": [0.9, 0.99]},
            LAYERS: {"choices": [[8], [16, 16]]},
            "steps": {"integers": [500, 1000]},
        },
        "trials": 20,
        "sampler": "random",
        "objective": "iqm",
    },
    "a file",
)


def searched(directory: Path, space: SearchSpace = SPACE) -> Path:
    """A search whose score is gamma alone, with one pruned and one failed trial."""
    url = f"sqlite:///{directory / 'study.db'}"
    study = open_study(space, url)
    while trial := claim(study, space):
        if trial.number == 3:
            trial.report(1.0, 50)
            study.tell(trial, state=TrialState.PRUNED)
        elif trial.number == 5:
            fail(study, trial, "error: no more of this")
        else:
            for place, name in enumerate(OBJECTIVES):
                trial.set_user_attr(name, 1000 * trial.params[GAMMA] + place)
            trial.set_user_attr("wall_s", 10.0)
            study.tell(trial, 1000 * trial.params[GAMMA] + 1)
    collect(space, study, url, directory / "s")
    return directory / "s"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = searched(tmp_path_factory.mktemp("search"))
    write_search_report(found)
    return found


def test_the_table_has_every_trial(directory: Path) -> None:
    table = pd.read_csv(directory / "trials.csv")
    assert table["number"].tolist() == list(range(20))
    assert table["state"].value_counts().to_dict() == {"complete": 18, "pruned": 1, "failed": 1}
    done = table[table["state"] == "complete"]
    assert done["score"].tolist() == pytest.approx((1000 * done[GAMMA] + 1).tolist())
    assert done["score"].tolist() == done["iqm"].tolist()
    assert table["reason"][5] == "error: no more of this"
    assert table["last_step"][3] == 50


def test_the_best_trial_is_a_configuration_to_train(directory: Path) -> None:
    table = pd.read_csv(directory / "trials.csv")
    best = table.loc[table["score"].idxmax()]
    text = (directory / "best.yaml").read_text()
    assert text.startswith(f"# Trial {best['number']} of simgap search s: simgap train --config best.yaml")
    config = parse_config(RunConfig, yaml.safe_load(text), "best.yaml")
    assert config.agent.hyperparameters["gamma"] == best[GAMMA]
    assert config.agent.hyperparameters["policy_kwargs"]["net_arch"] == yaml.safe_load(best[LAYERS])
    assert config.steps == best["steps"]
    assert (config.study, config.seed) == ("default", 0)


def test_what_decides_is_found(directory: Path) -> None:
    importances = read_json(directory / "importance.json")
    assert sum(importances.values()) == pytest.approx(1)
    assert max(importances, key=lambda key: importances[key]) == GAMMA
    table = pd.read_csv(directory / "trials.csv")
    ranks = correlations(table, SPACE.parameters)
    assert list(ranks) == ["score", "gamma", "net_arch = [8]", "net_arch = [16, 16]", "steps"]
    assert ranks.loc["score", "gamma"] == pytest.approx(1)
    assert ranks.loc["net_arch = [8]", "net_arch = [16, 16]"] == pytest.approx(-1)
    done = table[table["state"] == "complete"]
    expected = done[["score", "steps"]].corr(method="spearman").loc["score", "steps"]
    assert ranks.loc["score", "steps"] == pytest.approx(expected)


def test_the_pages_say_where_trials_were_judged(directory: Path) -> None:
    page, readme = (directory / "report.html").read_text(), (directory / "README.md").read_text()
    for name in ("history", "importance", "correlation", "slices"):
        assert (directory / "figures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert f"figures/{name}.png" in readme
    assert page.count("data:image/png;base64,") == 4
    assert "A &lt;search&gt;" in page
    assert "<li>Trial 5: error: no more of this</li>" in page
    for text in (page, readme):
        assert "the most of 20 trials: 18 complete, 1 pruned, 1 failed" in text
        assert "Each trial is judged on 100 episodes of 40 steps in source for its training seed" in text
        assert "the target budget is 0 episodes" in text
        assert "optuna-dashboard sqlite:///" in text
        assert "interquartile mean of the returns" in text


def test_a_target_that_settings_are_selected_on_is_declared(tmp_path: Path) -> None:
    found = searched(tmp_path, replace(SPACE, domain="target", trials=2, seeds=3))
    write_search_report(found)
    text = (found / "README.md").read_text()
    assert "in target for each of 3 training seeds" in text
    assert "selected on it, with a budget of 600 episodes there at most" in text
    assert "target budget is 0" not in text
    assert not (found / "figures" / "importance.png").exists()  # of two trials nothing can be said
    assert (found / "figures" / "history.png").exists()


def test_choices_of_numbers_and_of_nothing_are_found_again(tmp_path: Path) -> None:
    zero, none, flag = (f"agent.hyperparameters.{name}" for name in ("ent_coef", "target_kl", "normalize_advantage"))
    choices: dict[str, list[Any]] = {zero: [0, 0.01], none: [None, 0.02], flag: [True, False]}
    parameters = {GAMMA: SPACE.parameters[GAMMA], **{key: Parameter(choices=each) for key, each in choices.items()}}
    found = searched(tmp_path, replace(SPACE, parameters=parameters))
    write_search_report(found)
    trials = pd.read_csv(found / "trials.csv", dtype=str, keep_default_na=False)
    best = trials.loc[trials["score"].replace("", "-1").astype(float).idxmax()]
    config = parse_config(RunConfig, yaml.safe_load((found / "best.yaml").read_text()), "best.yaml")
    for key, values in choices.items():
        assert str(config.agent.hyperparameters[key.rpartition(".")[2]]) == best[key]
        assert set(trials[key]) == {str(value) for value in values}  # each of them was tried


def test_importance_is_of_the_trials_that_the_table_shows(directory: Path, tmp_path: Path) -> None:
    fewer = replace(SPACE, trials=14)
    url = f"sqlite:///{directory.parent / 'study.db'}"
    collect(fewer, open_study(fewer, url), url, tmp_path)
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 14
    assert read_json(tmp_path / "importance.json") != read_json(directory / "importance.json")


def test_a_report_needs_its_files_alone(directory: Path, tmp_path: Path) -> None:
    for name in ("space.yaml", "trials.csv", "importance.json", "provenance.json"):
        (tmp_path / name).write_bytes((directory / name).read_bytes())
    write_search_report(tmp_path)
    assert (tmp_path / "best.yaml").read_bytes() == (directory / "best.yaml").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="state"), r"trials\.csv: has no column state; accepted: number, state"),
        (lambda table: table[table["state"] == "failed"], "no trial was completed; trial 5: error: no more of this"),
    ],
)
def test_a_search_without_a_result_is_one_clear_line(
    change: Any, message: str, directory: Path, tmp_path: Path
) -> None:
    for name in ("space.yaml", "importance.json", "provenance.json"):
        (tmp_path / name).write_bytes((directory / name).read_bytes())
    change(pd.read_csv(directory / "trials.csv")).to_csv(tmp_path / "trials.csv", index=False)
    with pytest.raises(ValueError, match=message):
        write_search_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_names_are_as_short_as_can_be() -> None:
    assert short_names(["steps", "agent.hyperparameters.gamma", "a.b.c", "x.b.c", "c"]) == {
        "steps": "steps",
        "agent.hyperparameters.gamma": "gamma",
        "a.b.c": "a.b.c",
        "x.b.c": "x.b.c",
        "c": "c",
    }
