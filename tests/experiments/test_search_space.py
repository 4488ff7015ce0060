from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from experiments.plain import parse_config
from experiments.search_parameters import Parameter
from experiments.search_space import SEARCHES, SearchSpace, read_space

RATE, GAMMA = "agent.hyperparameters.learning_rate", "agent.hyperparameters.gamma"
LAYERS = "agent.hyperparameters.policy_kwargs.net_arch"
SPACE: dict[str, Any] = {
    "name": "s",
    "title": "t",
    "description": "d",
    "base": {"agent": {"hyperparameters": {"n_epochs": 3}}, "steps": 1000, "num_envs": 4},
    "parameters": {RATE: {"range": [1e-4, 1e-2], "log": True}, "steps": {"integers": [500, 2000], "step": 500}},
}


def written(place: Path, **changes: Any) -> str:
    file = place / "space.yaml"
    file.write_text(yaml.safe_dump(SPACE | changes))
    return str(file)


def test_a_space_is_read_and_its_distributions_are_optunas(tmp_path: Path) -> None:
    parameters = {
        RATE: {"range": [1e-4, 1e-2], "log": True},
        GAMMA: {"range": [0.9, 0.99], "step": 0.03},
        "steps": {"integers": [500, 2000], "step": 500},
        LAYERS: {"choices": [[64, 64], [128]]},
        "randomization.method": {"choices": ["none", "uniform"]},
    }
    space = read_space(written(tmp_path, parameters=parameters))
    of = optuna.distributions
    assert {key: parameter.distribution() for key, parameter in space.parameters.items()} == {
        RATE: of.FloatDistribution(1e-4, 1e-2, log=True),
        GAMMA: of.FloatDistribution(0.9, 0.99, step=0.03),
        "steps": of.IntDistribution(500, 2000, step=500),
        LAYERS: of.CategoricalDistribution(["[64, 64]", "[128]"]),
        "randomization.method": of.CategoricalDistribution(["none", "uniform"]),
    }
    assert space.longest == 2000
    assert space.judged_in == "source"
    drawn = {RATE: 3e-3, "steps": 1500, LAYERS: space.parameters[LAYERS].value("[128]")}
    config = space.config(drawn, "trial-0003", seed=1001)
    assert config.agent.hyperparameters == {
        "n_epochs": 3,
        "learning_rate": 3e-3,
        "policy_kwargs": {"net_arch": [128]},
    }
    assert (config.steps, config.num_envs, config.study, config.seed) == (1500, 4, "trial-0003", 1001)
    assert space.config({}).steps == 1000  # the base is not what a trial's values are written into


def test_numbers_that_yaml_takes_for_text_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "{name: s, title: t, description: d, base: {steps: 1000}, parameters: "
        "{agent.hyperparameters.learning_rate: {range: [1e-4, 1e-2], log: true}}}"
    )
    assert read_space(str(file)).parameters[RATE].range == [1e-4, 1e-2]


@pytest.mark.parametrize("file", sorted(SEARCHES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_search_that_ships_can_be_begun(file: Path) -> None:
    space = read_space(file.stem)
    assert space.name == file.stem
    trained_in = {"hopper-a2c": "nominal", "hopper-ppo": "source", "hopper-small": "source"}
    assert space.judged_in == space.config({}).domain == trained_in[space.name]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"parameters": {}}, "parameters is empty; a search needs at least one"),
    ({"parameters": {"stepz": {"integers": [1, 2]}}}, "parameters.stepz = 1: stepz: unknown key (accepted: study, fig"),
    (
        {"parameters": {"agent.hyperparameters.gama": {"range": [0.5, 1]}}},
        "gama = 0.5: agent: unknown hyperparameter 'gama'",
    ),
    (
        {"parameters": {GAMMA: {"range": [0.9, 1.2]}}},
        f"parameters.{GAMMA} = 1.2: agent: hyperparameter gamma is 1.2; it mu",
    ),
    (
        {"parameters": {GAMMA: {"rnge": [0.9, 1]}}},
        f"parameters.{GAMMA}.rnge: unknown key (accepted: choices, range, integ",
    ),
    (
        {"parameters": {GAMMA: {"range": [0.9, "x"]}}},
        f"parameters.{GAMMA}.range.1: Input should be a valid number, found 'x'",
    ),
    ({"parameters": {GAMMA: {"range": [0.9, 0.2]}}}, "range is [0.9, 0.2]; it must be [low, high] with low below high"),
    ({"parameters": {GAMMA: {"range": [0.9]}}}, "range is [0.9]; it must be [low, high] with low below high"),
    (
        {"parameters": {GAMMA: {"range": [0.9, 0.95], "step": 0.03}}},
        "step is 0.03; it must divide range [0.9, 0.95] into equal",
    ),
    ({"parameters": {GAMMA: {"range": [0.9, 0.95], "step": -0.05}}}, "step is -0.05; it must divide"),
    ({"parameters": {GAMMA: {"range": [0, 0.5], "log": True}}}, "range starts at 0.0; with log it must be above 0"),
    (
        {"parameters": {GAMMA: {"range": [0.1, 0.5], "log": True, "step": 0.1}}},
        "accepted: either log or step, not both",
    ),
    (
        {"parameters": {"steps": {"integers": [1, 4.5]}}},
        "parameters.steps.integers.1: Input should be a valid integer, found 4.5",
    ),
    ({"parameters": {"steps": {"integers": [1, 4], "step": 1.5}}}, "step is 1.5; it must divide integers [1, 4]"),
    ({"parameters": {"steps": {"range": [1, 4]}}}, "parameters.steps = 1.0: steps: Input should be a valid integer"),
    ({"parameters": {"steps": {"choices": []}}}, "choices is []; it must have at least one value, and none twice"),
    (
        {"parameters": {"steps": {"choices": [5, 5]}}},
        "choices is [5, 5]; it must have at least one value, and none twice",
    ),
    ({"parameters": {"steps": {"choices": [5, 6], "log": True}}}, "log and step are for a range or integers"),
    (
        {"parameters": {"steps": {"choices": [5], "range": [1, 2]}}},
        "needs one of choices, range, integers; found choices, range",
    ),
    ({"parameters": {"steps": {}}}, "parameters.steps: needs one of choices, range, integers; found none"),
    ({"parameters": {"steps": [5, 6]}}, "parameters.steps: Input should be an object, found [5, 6]"),
    (
        {"parameters": {"steps.x": {"choices": [5]}}},
        "parameters.steps.x = 5: steps is 1000 in base; accepted: a mapping above x",
    ),
    ({"parameters": {"seed": {"choices": [5]}}}, "parameters.seed: cannot be searched: a trial trains with seeds 1000"),
    (
        {"parameters": {"horizon": {"choices": [5]}}},
        "parameters.horizon: cannot be searched: returns of different horizons",
    ),
    (
        {"parameters": {"agent.name": {"choices": ["ppo", "dqn"]}}},
        "parameters.agent.name = 'dqn': agent: unknown agent 'dqn'",
    ),
    (
        {"parameters": {"agent.hyperparameters.batch_size": {"choices": [64, 1]}}},
        "batch_size = 1: ppo refuses its hyperpar",
    ),
    ({"base": {"seed": 3}}, "base.seed: cannot be set: a trial trains with seeds 1000"),
    ({"base": {"figure": "unicorn"}}, "base: unknown figure 'unicorn'; accepted: hopper"),
    ({"base": [3]}, "base: Input should be an object, found [3]"),
    ({"objective": "best"}, "unknown objective 'best'; accepted: mean, iqm, stable, motion"),
    ({"sampler": "luck"}, "unknown sampler 'luck'; accepted: tpe, tpe_multivariate, random, gp, nsgaii"),
    ({"pruner": "axe"}, "unknown pruner 'axe'; accepted: none, median, percentile, halving, hyperband"),
    ({"domain": "mars"}, "cannot read 'mars' (accepted: first a name of nominal, source, target"),
    ({"trials": 0}, "trials is 0; it must be from 1"),
    ({"seeds": 0}, "seeds is 0; it must be from 1"),
    ({"episodes": 0}, "episodes is 0; it must be from 1"),
    ({"seed": -1}, "seed is -1; it must be from 0"),
    ({"name": "a/b"}, "name 'a/b' must be letters"),
    ({"trails": 3}, "trails: unknown key (accepted: name, title, description, base, parameters, trials"),
]


@pytest.mark.parametrize(("changes", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_a_bad_space_is_one_line_with_the_offending_key(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = written(tmp_path, **changes)
    with pytest.raises(ValueError, match=r"^\S*space\.yaml: ") as caught:
        read_space(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_search_names_those_that_ship() -> None:
    with pytest.raises(
        ValueError, match="unknown search 'nothing'; accepted: hopper-a2c, hopper-ppo, hopper-small, or"
    ):
        read_space("nothing")


def test_choices_that_are_no_plain_values_come_back_as_they_were() -> None:
    parameter = Parameter(choices=[[64, 64], {"a": 1}, True, None, 0.5])
    labels = ["[64, 64]", '{"a": 1}', True, None, 0.5]
    assert list(parameter.distribution().choices) == labels  # type: ignore[attr-defined]  # it is categorical
    assert [parameter.value(each) for each in labels] == parameter.choices


def test_a_stored_space_is_read_back_equal() -> None:
    from experiments.plain import to_plain

    space = parse_config(SearchSpace, SPACE, "a file")
    assert parse_config(SearchSpace, to_plain(space), "a database") == space
