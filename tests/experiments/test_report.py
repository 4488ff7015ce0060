import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments.files import write_with
from experiments.report import write_report

LEVELS = {
    ("none", "source"): {"source": 1700.0, "target": 1000.0},
    ("uniform", "source"): {"source": 1650.0, "target": 1560.0},
    ("none", "target"): {"source": 1100.0, "target": 1800.0},
}
OFFSETS = np.array([-40.0, -10.0, 0.0, 10.0, 40.0])


def write_study(directory: Path, seeds: int = 5, gap: bool = True) -> Path:
    """A study whose IQMs are exactly LEVELS (symmetric seeds, two episodes each)."""
    domains = ["source", "target"] if gap else ["source"]
    cells = {key: level for key, level in LEVELS.items() if key[1] in domains}
    episodes, runs, curves = [], [], []
    for (randomization, train), level in cells.items():
        for seed in range(seeds):
            who: dict[str, Any] = {
                "figure": "hopper",
                "pipeline": "state",
                "randomization": randomization,
                "agent": "ppo",
            }
            who |= {"train_domain": train, "seed": seed}
            offset = OFFSETS[seed] if seeds > 1 else 0.0
            episodes += [
                who
                | {"study": "tiny", "horizon": 500, "steps": 2000}
                | {"eval_domain": domain, "episode": episode, "length": 500}
                | {"return": level[domain] + offset, "terminated": False, "diverged": False}
                for domain in domains
                for episode in range(2)
            ]
            runs.append(who | {"cell": f"hopper-{train}-{randomization}", "steps": 2000})
            runs[-1] |= {
                "wall_s": 125.0,
                "steps_per_s": 12345.6,
                "diverged": 0,
                "target_episodes": 0,
                "target_steps": 0,
            }
            curves += [who | {"step": s, "return": level[train] * s / 2000} for s in (0, 2000)]
    study: dict[str, Any] = {
        "name": "tiny",
        "title": "A <tiny> study",
        "description": "Two & a half cells.",
        "tuning": "Tuned on the source.\nAlso tried: <luck>.\n",
    }
    study |= {"source": "source", "target": domains[-1], "seeds": seeds, "episodes": 2}
    study |= {"base": {"figure": "hopper", "horizon": 500, "steps": 2000}}
    goal = {"randomization": "none", "train_domain": "source", "eval_domain": "source"}
    transfer = goal | {"randomization": "uniform", "eval_domain": domains[-1]}
    study["goals"] = [
        goal | {"text": "masters the source", "at_least": 1600},
        goal | {"text": "nearly there", "at_least": 1699, "limits": "Nothing, it is there."},
        transfer | {"text": "transfers", "at_least": 1900, "limits": "The torso is never drawn."},
        transfer | {"text": "unheard of", "randomization": "adr", "at_least": 1},
    ]
    provenance: dict[str, Any] = {
        "command": "simgap study tiny",
        "machine": "a laptop",
        "cpu": "some CPU",
    }
    provenance |= {"cores": 2, "python": "3.11.7", "versions": {"mujoco": "4.0.0"}}
    provenance |= {"commit": "abc1234", "wall_s": 3725.0, "started": "2030-01-02T03:04:05Z"}
    directory.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(episodes).to_csv(directory / "episodes.csv", index=False)
    pd.DataFrame(runs).to_csv(directory / "runs.csv", index=False)
    pd.DataFrame(curves).to_csv(directory / "curves.csv", index=False)
    (directory / "study.yaml").write_text(yaml.safe_dump(study))
    (directory / "provenance.json").write_text(json.dumps(provenance))
    return directory


def words(path: Path) -> str:
    text = re.sub(r"<style>.*?</style>|data:[^\"]+|<[^>]+>", " ", path.read_text(), flags=re.S)
    return " ".join(text.replace("\u202f", " ").split())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_study(tmp_path_factory.mktemp("results") / "tiny")
    (directory / "videos").mkdir()
    (directory / "videos" / "uniform-in-target.mp4").write_bytes(b"not really a video")
    write_report(directory)
    return directory


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of a report's time; the tests of its words do without."""
    monkeypatch.setattr("experiments.plots.save", lambda _, path: write_with(path, Path.touch))


def test_report_writes_the_promised_files_and_nothing_else(study: Path) -> None:
    found = {str(path.relative_to(study)) for path in study.rglob("*") if path.is_file()}
    inputs = {"study.yaml", "episodes.csv", "curves.csv", "runs.csv", "provenance.json"}
    derived = {"summary.csv", "gaps.csv", "report.html", "README.md"}
    figures = {f"figures/{name}.png" for name in ("returns", "gap", "learning", "profiles", "improvement")}
    assert found == inputs | derived | figures | {"videos/uniform-in-target.mp4"}
    assert list(pd.read_csv(study / "summary.csv")["iqm"]) == [1700, 1000, 1650, 1560, 1100, 1800]


def test_report_says_how_settings_were_chosen(study: Path) -> None:
    assert "How the settings were chosen Tuned on the source. Also tried: &lt;luck&gt;." in words(study / "report.html")
    text = (study / "README.md").read_text()
    assert "## How the settings were chosen\n\nTuned on the source.\n\nAlso tried: <luck>.\n" in text


def test_report_opens_with_the_answer(study: Path) -> None:
    text = words(study / "report.html")
    loss = "earns 1700 per 500-step episode in source and 1000 in target: it loses 700"
    gain = "In target that is 560 more than without randomisation (95 % interval"
    for expected in (loss, ", or 41 %.", gain, "70 % of the way to the oracle", "earns 1800 there"):
        assert expected in text
    assert text.index(loss) < text.index(gain) < text.index("What each policy earns")


def test_report_tables_goals_runs_and_provenance(study: Path) -> None:
    text = words(study / "report.html")
    for expected in (
        "source · uniform 1650 1560 90 90 to 90 5 % 70 %",
        "masters the source met goal ≥ 1600, reached 1700",
        "nearly there met, within the uncertainty",
        "transfers missed by 340 goal ≥ 1900",
        ") The torso is never drawn.",
        "unheard of not measured goal ≥ 1",
        "2 min 05 s 12,346",
        "15 training runs",
        "1 h 02 min, started 2030-01-02T03:04:05Z",
        "simgap study tiny",
        "a laptop: some CPU, 2 cores",
        "Python 3.11.7, mujoco 4.0.0",
        "abc1234",
        "A &lt;tiny&gt; study",
        "Two &amp; a half cells.",
        "uniform, judged in target",
        "Target budget, oracles aside: 0 episodes.",
    ):
        assert expected in text, expected
    readme = (study / "README.md").read_text()
    assert "What limits “transfers”: The torso is never drawn.\n" in readme
    assert "Nothing, it is there." not in text + readme


def test_report_is_self_contained(study: Path) -> None:
    html = (study / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(sources) == 6
    assert all(source.startswith("data:") for source in sources)
    for forbidden in ("http:", "https:", "//cdn", "<script", "<link", "@import", "url("):
        assert forbidden not in html
    assert str(study) not in html


def test_readme_has_the_answer_the_tables_and_the_command(study: Path) -> None:
    text = (study / "README.md").read_text().replace("\u202f", " ")
    for expected in (
        "# A <tiny> study",
        "it loses 700",
        "| source · uniform | 1650 | 1560 | 90 (90 to 90) | 5 % | 70 % (",
        "| transfers | ≥ 1900 | 1560 (",
        "    simgap study tiny",
        "took 1 h 02 min on a laptop (some CPU, 2 cores",
        "500 steps",
    ):
        assert expected in text, expected


def test_report_is_reproducible(study: Path) -> None:
    before = (study / "report.html").read_bytes()
    write_report(study)
    assert (study / "report.html").read_bytes() == before


@pytest.mark.usefixtures("blank_figures")
def test_one_seed_claims_nothing(tmp_path: Path) -> None:
    text = words(write_report(write_study(tmp_path, seeds=1)))
    assert "from one seed, so nothing can be claimed" in text
    assert "one seed gives no interval: no claim can be made" in text
    assert "Only 1 seed in the smallest cell" in text
    assert "nan" not in text.lower().replace("provenance", "")


@pytest.mark.usefixtures("blank_figures")
def test_overlap_is_said_when_the_interval_includes_zero(tmp_path: Path) -> None:
    write_study(tmp_path)
    episodes = pd.read_csv(tmp_path / "episodes.csv")
    episodes.loc[episodes["eval_domain"] == "target", "return"] = (
        1700 + OFFSETS[::-1][episodes["seed"][episodes["eval_domain"] == "target"]]
    )
    episodes.loc[0, "diverged"] = True
    episodes.to_csv(tmp_path / "episodes.csv", index=False)
    text = words(write_report(tmp_path))
    assert "which includes zero: no loss is shown" in text
    assert "this includes zero, so no claim can be made" in text
    assert "1 of 60 evaluation episodes ended because the physics diverged" in text


@pytest.mark.usefixtures("blank_figures")
def test_study_without_a_gap_curves_or_videos(tmp_path: Path) -> None:
    write_study(tmp_path, gap=False)
    (tmp_path / "curves.csv").unlink()
    text = words(write_report(tmp_path))
    assert "the policy earns 1700 per 500-step episode in source (95 % interval" in text
    assert "source → source no randomisation 1700" in text
    assert "source → source uniform 1650" in text
    assert "Share closed" not in text
    assert "How they learned" not in text
    assert pd.read_csv(tmp_path / "gaps.csv").empty


@pytest.mark.usefixtures("blank_figures")
def test_missing_runs_and_other_machines_are_named(tmp_path: Path) -> None:
    write_study(tmp_path)
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    provenance["missing"] = ["hopper-a/seed-003", "hopper-a/seed-004", "hopper-b/seed-004"]
    provenance["trained_on"] = [
        "some CPU, 2 cores, commit abc1234",
        "another CPU, 64 cores, commit abc1234",
        "some CPU, 2 cores, commit def5678",
    ]
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    text = words(write_report(tmp_path))
    assert "The study is not complete: 3 runs missing (2 of hopper-a, 1 of hopper-b)." in text
    assert "trained on some CPU, 2 cores, commits abc1234, def5678; another CPU, 64 cores, commit abc1234" in text
    del provenance["trained_on"][1:]
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    assert "trained on some CPU" not in words(write_report(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("study.yaml", None, r"study\.yaml: cannot be read"),
        ("study.yaml", "title: [", r"study\.yaml: not valid YAML"),
        ("study.yaml", "- a", r"study\.yaml: the file must map the keys name, title"),
        ("study.yaml", "name: 3", r"study\.yaml: name must be text; found 3"),
        ("provenance.json", None, r"provenance\.json: not a readable JSON file"),
        ("provenance.json", '{"command": "x"', r"provenance\.json: not a readable JSON file"),
        ("provenance.json", '{"command": "x"}', r"provenance\.json: machine must be text"),
        ("episodes.csv", "a,b\n1,2\n", r"episodes\.csv: line 1 must name the columns"),
        ("runs.csv", None, r"runs\.csv: cannot be read"),
        ("curves.csv", "\x00", r"curves\.csv: "),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    write_study(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=message) as raised:
        write_report(tmp_path)
    assert "\n" not in str(raised.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("study.yaml", {"goals": 5}, r"study\.yaml: goals must be a list; found 5"),
        ("study.yaml", {"cells": "x"}, r"study\.yaml: cells must be a list; found 'x'"),
        (
            "study.yaml",
            {"comparisons": [{"name": "../../x", "title": "", "caption": "", "rows": []}]},
            r"comparisons\[0\]\.name '\.\./\.\./x' must be letters",
        ),
        ("provenance.json", {"taken_over": ["x"]}, r"provenance\.json: taken_over must be a mapping; found \['x'\]"),
        ("provenance.json", {"missing": 2}, r"provenance\.json: missing must be a list; found 2"),
    ],
)
def test_a_strangers_study_is_checked(tmp_path: Path, name: str, changes: dict[str, Any], message: str) -> None:
    write_study(tmp_path)
    file = tmp_path / name
    file.write_text(json.dumps(yaml.safe_load(file.read_text()) | changes))  # YAML too
    with pytest.raises(ValueError, match=message):
        write_report(tmp_path)


@pytest.mark.usefixtures("blank_figures")
def test_report_prints_what_data_of_the_target_each_method_took(tmp_path: Path) -> None:
    write_study(tmp_path)
    runs = pd.read_csv(tmp_path / "runs.csv")
    uniform = runs["randomization"] == "uniform"
    runs.loc[uniform, ["target_episodes", "target_steps"]] = [5, 2400]
    runs.loc[uniform.idxmax(), "target_steps"] = 2410
    runs.to_csv(tmp_path / "runs.csv", index=False)
    text = words(write_report(tmp_path))
    assert "Target budget of a run, at most: uniform 5 episodes (2410 steps); every other method 0 episodes," in text
    assert "diverged target episodes target steps in source" in text
    readme = (tmp_path / "README.md").read_text()
    assert "Target budget of a run, at most: uniform 5 episodes (2410 steps)" in readme


@pytest.mark.usefixtures("blank_figures")
def test_settings_are_told_apart_when_a_study_has_several(tmp_path: Path) -> None:
    write_study(tmp_path)
    for name in ("episodes.csv", "runs.csv", "curves.csv"):
        frame = pd.read_csv(tmp_path / name)
        both = [frame, frame.assign(pipeline="pixels")]
        pd.concat(both).to_csv(tmp_path / name, index=False)
    text = words(write_report(tmp_path))
    short = "pixels, per 500-step episode in source and target: 1700 and 1000 with no randomisation (loses 700, 95 %"
    assert short in text
    assert (
        "; 1650 and 1560 with uniform (loses 90, 95 % interval 90 to 90), in target 560 more than without (95 %" in text
    )
    assert "; 1100 and 1800 trained in target." in text
    assert text.index("state, per 500-step episode") < text.index("uniform (loses") < text.index(short)
    assert "state · source · uniform 1650" in text
    assert "masters the source (pixels) met" in text


def test_figures_have_charts_of_their_own_and_their_horizon_beside_them(tmp_path: Path) -> None:
    write_study(tmp_path)
    ant = "ant[forward_reward_weight=2]"
    for name in ("episodes.csv", "runs.csv", "curves.csv"):
        frame = pd.read_csv(tmp_path / name)
        other = frame.assign(figure=ant)
        if "horizon" in frame:
            other = other.assign(horizon=1000)
        if "episode" in frame:
            other["return"] *= 2
        pd.concat([frame, other]).to_csv(tmp_path / name, index=False)
    plan = yaml.safe_load((tmp_path / "study.yaml").read_text())
    goal = {"randomization": "none", "train_domain": "source", "eval_domain": "source", "at_least": 3000}
    plan["goals"] = [goal | {"text": "walks", "figure": ant}, goal | {"text": "hops", "figure": "hopper"}]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plan))
    text = words(write_report(tmp_path))
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    of_ant = "ant,forward_reward_weight=2"
    assert drawn == {f"{kind}-{who}" for kind in ("returns", "gap", "learning") for who in ("hopper", of_ant)}
    for expected in (
        f"What each policy earns: {ant} Return per episode of 1000 steps.",
        "What each policy earns: hopper Return per episode of 500 steps.",
        f"Returns per episode of 500 (hopper) or 1000 ({ant}) steps; interquartile",
        "hopper, per 500-step episode in source and target: 1700 and 1000 with no randomisation (loses 700",
        f"{ant}, per 1000-step episode in source and target: 3400 and 2000 with no",
        "hopper · source · uniform 1650 1560 90 90 to 90 5 % 70 %",
        f"{ant} · source · uniform 3300 3120 180 180 to 180 5 % 70 %",
        "walks met goal ≥ 3000, reached 3400",
        "hops missed by 1300 goal ≥ 3000, reached 1700",
    ):
        assert expected in text, expected
    readme = (tmp_path / "README.md").read_text()
    assert f"![What each policy earns: {ant}](figures/returns-{of_ant}.png)" in readme
    assert "![What each policy earns: hopper](figures/returns-hopper.png)" in readme
    for returns in ("12,346 0 1660 960", "12,346 0 3320 1920"):  # of each figure's first seed
        assert text.count(returns) == 1
