import math
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents import AGENTS, AgentConfig, WorstEpisodes
from experiments.config import MAX_ENVS, RunConfig, seed_streams
from experiments.files import read_yaml
from experiments.plain import parse_config, to_plain, to_yaml
from experiments.privileged import TAUGHT
from pipelines import HistoryPipeline, PixelsPipeline, PosePipeline, PrivilegedPipeline
from randomization import AutoDR, AutoDRConfig, DoraemonConfig, EPOptConfig, RandomizationConfig

DRAWS = ("torso_mass + uniform(-0.5, 0.5)", "foot_friction*loguniform(0.5,2)", "gravity = truncnormal(9.8, 0.1, 9, 10)")
CONFIGS = {
    "defaults": RunConfig(),
    **{agent: RunConfig(agent=AgentConfig(agent)).resolved() for agent in AGENTS if agent not in TAUGHT},
    "dagger": RunConfig(agent=AgentConfig("dagger"), teacher="t", pipeline="pose", pose=PosePipeline(critic="state")),
    "rma": RunConfig(
        agent=AgentConfig("rma"),
        teacher="t",
        pipeline="history",
        history=HistoryPipeline(length=50, critic="parameters", parameters=("leg_mass",)),
        privileged=PrivilegedPipeline(latent=3),
        randomization=RandomizationConfig("uniform"),
    ),
    "pixels": RunConfig(pipeline="pixels", pixels=PixelsPipeline(size=64, gray=False)),
    "hyperparameters": RunConfig(
        agent=AgentConfig(
            "ppo",
            {
                "learning_rate": "linear(1e-3, 1e-5)",
                "ent_coef": 1e-7,
                "clip_range_vf": None,
                "normalize_advantage": False,
                "policy_kwargs": {"net_arch": {"pi": [64, 32], "vf": []}, "activation_fn": "relu"},
            },
        )
    ),
    "draws": RunConfig(randomization=RandomizationConfig("uniform", draws=DRAWS)),
    "width": RunConfig(randomization=RandomizationConfig("uniform", width=0.1), mass_only=True),
    **{
        method: RunConfig(randomization=RandomizationConfig(method)).resolved()
        for method in ("adr", "doraemon", "epopt")
    },
    "options": RunConfig(randomization=RandomizationConfig("adr", adr=AutoDRConfig(step=0.05), reference_return=900.0)),
    "domain": RunConfig(domain="source, torso_mass+1, foot_friction*0.5", horizon=1000, seed=999_999, device="cuda:1"),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_configuration_comes_back_from_yaml_equal(config: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    back = parse_config(RunConfig, read_yaml(path), str(path))
    assert back == config
    assert to_plain(back) == to_plain(config)
    assert list(read_yaml(path)) == list(RunConfig.__dataclass_fields__)  # complete, in the order of the fields


def test_plain_data_is_plain() -> None:
    plain = to_plain(CONFIGS["draws"])
    told = {"method": "uniform", "width": 0.3, "draws": list(DRAWS), "name": "", "reference_return": None}
    methods = {"adr": AutoDRConfig, "doraemon": DoraemonConfig, "epopt": EPOptConfig}
    assert plain["randomization"] == told | {name: asdict(kind()) for name, kind in methods.items()}
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain


def test_resolving_writes_every_default_out_and_keeps_what_is_given() -> None:
    config = RunConfig(agent=AgentConfig("sac", {"batch_size": 7}), num_envs=3).resolved()
    spec = AGENTS["sac"]
    assert (config.steps, config.num_envs) == (spec.steps, 3)
    assert config.agent.hyperparameters == {**spec.hyperparameters, "batch_size": 7}
    assert config.resolved() == config


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({}, "linear(1e-3, 1e-4)"),
        ({"pipeline": "history"}, "linear(3e-4, 1e-4)"),
        ({"pipeline": "pixels"}, "linear(3e-4, 1e-4)"),
        ({"pipeline": "pixels", "pixels": PixelsPipeline(supervised=True)}, "linear(1e-3, 1e-4)"),
    ],
    ids=["state", "history", "images", "encoder fitted to the state"],
)
def test_the_agents_defaults_are_those_for_what_it_learns_from(changes: dict[str, Any], rate: str) -> None:
    assert RunConfig(**changes).resolved().agent.hyperparameters["learning_rate"] == rate


ACCEPTED_AGENTS = f"accepted: {', '.join(AGENTS)}"
REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"foo": 1},
        "f: foo: unknown key (accepted: study, figure, domain, horizon, pipeline, pixels, pose, history, privileged, ",
    ),
    ({"agent": {"nam": "ppo"}}, "f: agent.nam: unknown key (accepted: name, hyperparameters)"),
    ({"randomization": {"lo": 1}}, "f: randomization.lo: unknown key (accepted: method, width, draws, "),
    (
        {"randomization": {"adr": {"lo": 1}}},
        "f: randomization.adr.lo: unknown key (accepted: boundary, episodes, widen,",
    ),
    (
        {"randomization": {"method": "adr", "adr": {"step": 0.0}}},
        "f: randomization.adr: adr.step is 0; it must be above 0 and at most 1",
    ),
    ({"randomization": {"method": "uniform", "adr": {"step": 0.2}}}, "adr.step is set but method is 'uniform'"),
    (
        {"randomization": {"method": "adr", "draws": ["foot_mass=uniform(5,6)"]}},
        "f: adr: the draw of foot_mass sets it, and nominal is where adr starts; accepted: operations + and *",
    ),
    (
        {"randomization": {"method": "doraemon", "draws": ["foot_mass*truncnormal(1,0.1,0.5,2)"]}},
        "f: doraemon: the draw of foot_mass is no range; accepted: the largest one, as uniform(low, high)",
    ),
    (
        {"randomization": {"method": "epopt"}, "agent": {"name": "sac"}},
        "f: agent sac cannot learn from the worst episodes alone, as randomization.method epopt does; accepted: ppo",
    ),
    (
        {"randomization": {"method": "epopt"}, "agent": {"name": "recurrent_ppo"}},
        "f: agent recurrent_ppo cannot learn from the worst episodes alone",
    ),
    (
        {"randomization": {"method": "epopt"}, "agent": {"name": "ppo", "hyperparameters": {"n_steps": 128}}},
        "f: hyperparameter n_steps is 128; randomization.method epopt compares whole episodes: accepted: the horizon",
    ),
    ({"figure": "unicorn"}, "f: unknown figure 'unicorn'; accepted: hopper"),
    ({"pipeline": "smell"}, "f: unknown pipeline 'smell'; accepted: state, pixels, pose"),
    ({"device": "tpu"}, "f: unknown device 'tpu'; accepted: cpu, cuda, cuda:N"),
    ({"agent": {"name": "dqn"}}, f"f: agent: unknown agent 'dqn'; {ACCEPTED_AGENTS}"),
    ({"agent": "ppo"}, "f: agent: "),
    ({"domain": "mars"}, "(accepted: first a name of nominal, source, target; then shifts such as torso_mass+1"),
    ({"domain": "source, torso_mas+1"}, "unknown physical parameter 'torso_mas', did you mean 'torso_mass'?"),
    ({"domain": "torso_mass=-1"}, "torso_mass = -1 is not physical"),
    ({"domain": "torso_mass+nan"}, "is not finite"),
    ({"study": ".."}, "f: study '..' must be letters, digits"),
    ({"study": "a/b"}, "f: study 'a/b' must be letters, digits"),
    ({"study": ""}, "f: study '' must be letters, digits"),
    ({"steps": "1000"}, "f: steps: Input should be a valid integer, found '1000'"),
    ({"steps": 1e3}, "f: steps: Input should be a valid integer, found 1000.0"),
    ({"steps": None}, "f: steps: Input should be a valid integer, found None"),
    ({"steps": math.nan}, "f: steps: Input should be a valid integer, found nan"),
    ({"seed": True}, "f: seed: Input should be a valid integer, found True"),
    ({"mass_only": "yes"}, "f: mass_only: Input should be a valid boolean, found 'yes'"),
    ({"study": 5}, "f: study: Input should be a valid string, found 5"),
    ({"steps": -1}, "f: steps is -1; it must be from 0 to 1000000000000"),
    ({"horizon": 0}, "f: horizon is 0; it must be from 1 to 1000000"),
    ({"num_envs": -4}, "f: num_envs is -4; it must be from 0 to 100000"),
    ({"num_envs": MAX_ENVS + 1}, "f: num_envs is 100001; it must be from 0 to 100000"),
    ({"checkpoint_every": 0}, "f: checkpoint_every is 0; it must be from 1"),
    ({"seed": -1}, "f: seed is -1; it must be from 0 to 1000000"),
    ({"seed": 10**6 + 1}, "f: seed is 1000001; it must be from 0 to 1000000"),
    (
        {"randomization": {"method": "magic"}},
        "f: randomization: unknown randomisation 'magic'; accepted: none, uniform",
    ),
    ({"randomization": {"method": "uniform", "width": 1.0}}, "width is 1; it must be at least 0 and below 1"),
    ({"randomization": {"method": "uniform", "width": math.nan}}, "width is nan; it must be at least 0 and below 1"),
    ({"randomization": {"method": "uniform", "width": math.inf}}, "width is inf; it must be at least 0 and below 1"),
    ({"randomization": {"draws": ["gravity*uniform(1,2)"]}}, "draws are given but method is 'none'"),
    ({"randomization": {"method": "uniform", "draws": "gravity"}}, "f: randomization.draws: "),
    ({"randomization": {"method": "uniform", "draws": ["gravity"]}}, "cannot read draw 'gravity'; accepted: parameter"),
    ({"randomization": {"method": "uniform", "draws": ["gravity*beta(1,2)"]}}, "accepted: uniform(low, high)"),
    ({"randomization": {"method": "uniform", "draws": ["gravity*uniform(1,nan)"]}}, "every argument must be finite"),
    ({"randomization": {"method": "uniform", "draws": ["gravity*uniform(1,inf)"]}}, "every argument must be finite"),
    ({"randomization": {"method": "uniform", "draws": ["gravity*uniform(2,1)"]}}, "low 2 is above high 1"),
    (
        {"randomization": {"method": "uniform", "draws": ["foot_mass*uniform(-1,1)"]}},
        "foot_mass = -5.089 is not physical",
    ),
    ({"randomization": {"method": "uniform", "draws": ["foot_mass+uniform(-9,1)"]}}, "is not physical"),
    ({"randomization": {"method": "uniform", "draws": ["moon*uniform(1,2)"]}}, "unknown physical parameter 'moon'"),
    (
        {"randomization": {"method": "uniform", "draws": ["gravity*uniform(1,2)", "gravity=uniform(1,2)"]}},
        "gravity drawn twice",
    ),
    (
        {"randomization": {"method": "uniform", "draws": [f"gravity * uniform(1, 2.{'0' * 170})"]}},
        "name has 224 characters; it must have at most 200: give the draws a short randomization.name, or shift",
    ),
    (
        {"agent": {"name": "ppo", "hyperparameters": {"learning_rat": 1}}},
        "unknown hyperparameter 'learning_rat' of ppo, did you mean 'learning_rate'? (accepted: learning_rate,",
    ),
    ({"agent": {"name": "ppo", "hyperparameters": {"seed": 1}}}, "unknown hyperparameter 'seed' of ppo"),
    (
        {"agent": {"name": "ppo", "hyperparameters": {"learning_rate": "fast"}}},
        "accepted: a number, or linear(start, end)",
    ),
    (
        {"agent": {"name": "ppo", "hyperparameters": {"gamma": math.inf}}},
        "hyperparameter gamma is inf; it must be finite",
    ),
    ({"agent": {"name": "ppo", "hyperparameters": {"policy_kwargs": {"activation_fn": "os"}}}}, "accepted: tanh, relu"),
    ({"agent": {"name": "ppo", "hyperparameters": [1]}}, "f: agent.hyperparameters: "),
]


@pytest.mark.parametrize(("data", "message"), REFUSED, ids=[str(data) for data, _ in REFUSED])
def test_what_cannot_be_is_refused_in_one_line(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^f: ") as caught:
        parse_config(RunConfig, data, "f")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_faults_are_counted() -> None:
    with pytest.raises(ValueError, match=r"^f: horizon: .* \(and 2 more\)$"):
        parse_config(RunConfig, {"steps": "x", "seed": "y", "horizon": "z"}, "f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds a NoneType; accepted: a mapping of keys"),
        ("- 1\n", "holds a list; accepted: a mapping of keys"),
        ("steps: [1\n", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("&a steps: &b [*b]\n", "cannot be read"),
        ("2020-01-01: 1\n", "cannot be read"),
        ("study: 2020-01-01\nsteps: 2020-01-01\n", "steps: Input should be a valid integer, found '2020-01-01'"),
    ],
)
def test_a_file_that_is_no_configuration(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"c\.yaml: ") as caught:
        parse_config(RunConfig, read_yaml(path), str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"c\.yaml: cannot be read \(No such file or directory\)$"):
        read_yaml(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(ValueError, match=r"c\.yaml: cannot be read"):
        read_yaml(tmp_path / "c.yaml")


def test_seed_streams_never_meet() -> None:
    """With as many environments as are allowed, no environment seed is used twice, in training or evaluation."""
    starts = sorted(start for seed in [*range(50), 999_999, 10**6] for start in seed_streams(seed))
    assert all(later - earlier >= MAX_ENVS for earlier, later in pairwise(starts))
    assert seed_streams(0) == (0, 500_000)
    assert seed_streams(3) == (3_000_000, 3_500_000)


def test_the_environments_take_their_seeds_from_the_streams(tiny: Callable[..., RunConfig]) -> None:
    config = tiny(seed=2, randomization={"method": "uniform"})
    training, evaluation = config.make_env(3, 1), config.make_env(3, 1, "target")
    assert training._seeds == [2_000_000, 2_000_001, 2_000_002]
    assert evaluation._seeds == [2_500_000, 2_500_001, 2_500_002]
    assert training.randomizer is not None
    assert evaluation.randomizer is None
    assert training.horizon == evaluation.horizon == 50


def test_the_path_follows_from_the_configuration() -> None:
    config = replace(CONFIGS["draws"], study="s", domain="source, torso_mass + 1", seed=7)
    draws = "torso_mass+uniform(-0.5,0.5);foot_friction*loguniform(0.5,2);gravity=truncnormal(9.8,0.1,9,10)"
    assert config.path == Path(f"s/hopper-source,torso_mass+1-state-uniform[{draws}]-ppo/seed-007")
    assert RunConfig().path == Path("default/hopper-source-state-none-ppo/seed-000")


def test_a_curriculum_judges_by_the_figures_reference_return() -> None:
    given = RunConfig(horizon=1000, randomization=RandomizationConfig("adr"))
    assert given.resolved().randomization.reference_return == 3500
    assert given.resolved().resolved() == given.resolved()
    assert given.resolved().path == given.path
    built = given.make_env(1, 1).randomizer
    assert isinstance(built, AutoDR)
    assert built.reference_return == 3500
    own = RunConfig(randomization=RandomizationConfig("adr", reference_return=800.0))
    assert own.resolved().randomization.reference_return == 800


def test_without_a_known_reference_return_a_curriculum_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.config.REFERENCE_RETURN", {})
    with pytest.raises(ValueError, match=r"^f: reference_return is needed by doraemon: the return of an episode that"):
        parse_config(RunConfig, {"randomization": {"method": "doraemon"}}, "f")


def test_rollouts_of_epopt_hold_whole_episodes() -> None:
    config = RunConfig(randomization=RandomizationConfig("epopt")).resolved()
    assert config.agent.hyperparameters["n_steps"] == 512
    assert config.resolved() == config
    agent = config.make_agent()
    assert isinstance(agent, WorstEpisodes)
    assert agent.epsilon == 0.1
    assert isinstance(plain := RunConfig().resolved().make_agent(), WorstEpisodes)
    assert plain.epsilon is None
