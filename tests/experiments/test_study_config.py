import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.study_config import STUDIES, read_study
from tests.experiments.test_study import STUDY


def test_studies_that_ship_can_be_read() -> None:
    names = sorted(path.stem for path in STUDIES.glob("*.yaml"))
    assert "demo" in names
    for name in names:
        study = read_study(name)
        assert study.name == name
        assert len({config.path for config in study.runs()}) == sum(
            cell.get("seeds", study.seeds) for cell in study.cells
        )
    accepted = f"{', '.join(names)}, or the path of a .yaml file"
    with pytest.raises(ValueError, match=re.escape(f"unknown study 'nope'; accepted: {accepted}")):
        read_study("nope")
    with pytest.raises(ValueError, match=r"unknown study 'absent\.yaml'"):
        read_study("absent.yaml")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"cells": [{}, {}]}, "cells: two of them are the same run little/hopper-source-state-none-ppo/seed-000"),
    ({"cells": []}, "cells is empty; a study needs at least one cell"),
    ({"cells": [{}, {"figure": "unicorn"}]}, "study little, cells[1]: unknown figure 'unicorn'; accepted: hopper"),
    ({"cells": [{"agent": {"nam": "x"}}]}, "study little, cells[0]: agent.nam: unknown key"),
    ({"base": {"stepps": 3}}, "study little, cells[0]: stepps: unknown key"),
    (
        {"cells": [{"sights": ["touch"]}]},
        "cells[0]: unknown sight 'touch' of state; accepted: state, error-model, estimator, two-",
    ),
    ({"cells": [{"seeds": 9}]}, "cells[0]: seeds is 9; it must be from 1 to the study's 2"),
    ({"seeds": 0}, "seeds is 0; it must be 1 or more"),
    ({"episodes": -1}, "episodes is -1; it must be 1 or more"),
    ({"seeds": "3"}, "seeds: Input should be a valid integer, found '3'"),
    ({"name": "../x"}, "name '../x' must be letters, digits"),
    ({"name": ".."}, "name '..' must be letters, digits"),
    ({"goal": 1}, "goal: unknown key (accepted: name, title, description, base, cells, source, target, seeds"),
    ({"goals": [{"text": "x"}]}, "goals.0.randomization: "),
    (
        {"comparisons": [{"name": "c", "title": "", "caption": "", "rows": [{"text": "r", "cell": {"agnt": "ppo"}}]}]},
        "cell: unknown column 'agnt'; accepted: figure, pipeline, randomization, agent, train_domain",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[str(changes) for changes, _ in REFUSED])
def test_a_faulty_study_is_refused_in_one_line(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_study(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cells_goals_and_comparisons_may_name_a_figure(tmp_path: Path) -> None:
    ant = "ant[forward_reward_weight=2.0,contact_forces=all]"
    goal = {"text": "t", "randomization": "none", "train_domain": "source", "eval_domain": "source", "at_least": 1}
    row = {"text": "r", "cell": {"figure": ant, "randomization": "none"}}
    changes = {
        "cells": [{}, {"figure": ant, "horizon": 20}],
        "goals": [{**goal, "figure": ant}, goal],
        "comparisons": [{"name": "c", "title": "t", "caption": "c", "rows": [row]}],
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes))
    study = read_study(str(path))
    canonical = "ant[contact_forces=all, forward_reward_weight=2]"
    assert [(run.figure, run.horizon) for run in study.runs()[:2]] == [("hopper", 50), (canonical, 20)]
    assert [goal.figure for goal in study.goals] == [canonical, ""]
    assert study.comparisons[0].rows[0].cell == {"figure": canonical, "randomization": "none"}
    path.write_text(yaml.safe_dump(STUDY | {"goals": [{**goal, "figure": "unicorn"}]}))
    with pytest.raises(ValueError, match=r"study.yaml: goals.0: unknown figure 'unicorn'; accepted: hopper, "):
        read_study(str(path))


@pytest.mark.parametrize(("text", "message"), [("a: [", "not valid YAML"), ("", "holds a NoneType"), ("{}", "name: ")])
def test_a_file_that_is_no_study(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.yml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_study(str(tmp_path / "s.yml"))
