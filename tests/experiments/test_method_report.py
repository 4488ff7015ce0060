from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.method_report import MOST_METHODS, methods_part
from experiments.statistics import summarize

STUDY = {"source": "source", "target": "target"}


def episodes_of(scores: dict[str, list[float]], **changes: Any) -> pd.DataFrame:
    cell = {"study": "s", "figure": "hopper", "horizon": 500, "pipeline": "state", "agent": "ppo", "steps": 1}
    rows = [
        {**cell, "randomization": name, "train_domain": "source", "eval_domain": domain, "seed": seed}
        | {"episode": 0, "return": value, "length": 500, "terminated": False, "diverged": False, **changes}
        for name, values in scores.items()
        for seed, value in enumerate(values)
        for domain in ("source", "target")
    ]
    return pd.DataFrame(rows)


def test_every_method_stands_against_every_other() -> None:
    seeds = np.arange(10.0)
    episodes = episodes_of({"none": list(1000 + seeds), "adr": list(1000.5 + seeds), "wide": list(1500 + seeds)})
    figures, table, first = methods_part(STUDY, episodes, summarize(episodes))
    assert first == []
    assert list(figures) == ["profiles", "improvement"]
    assert table is not None
    said = {row[0]: (row[1][0], row[2], row[3][0]) for row in table["rows"]}
    assert said == {
        "source · no randomisation against source · adr": ("0", "no", "45\u202f%"),
        "source · no randomisation against source · wide": ("\u2212500", "yes", "0\u202f%"),
        "source · adr against source · wide": ("\u2212500", "yes", "0\u202f%"),
    }
    numbers = [text.get_text() for text in figures["improvement"]["figure"].axes[0].texts]
    assert numbers == ["45", "0", "55", "0", "100", "100"]
    bold = [text.get_weight() for text in figures["improvement"]["figure"].axes[0].texts]
    assert bold == ["normal", "bold", "normal", "bold", "bold", "bold"]
    lines = {line.get_label(): line.get_ydata() for line in figures["profiles"]["figure"].axes[0].get_lines()}
    assert list(lines) == ["source · no randomisation", "source · adr", "source · wide"]
    assert all((values[0], values[-1]) == (1.0, 0.0) for values in lines.values())


def test_of_many_methods_the_answer_says_who_comes_first_and_by_how_much_more_than_noise() -> None:
    few = {"none": [1000.0, 1001], "adr": [1100.0, 1101], "wide": [1498.0, 1499], "epopt": [900.0]}
    episodes = episodes_of({**few, "dropo": [1480.0, 1502, 1520]})
    *_, first = methods_part(STUDY, episodes, summarize(episodes))
    assert first == [
        "In target, source · dropo earns most: 1501 (95\u202f% interval 1480 to 1520). "
        "That is more than source · no randomisation, source · adr, by differences larger than their intervals. "
        "No difference is shown from source · wide. One seed gives no interval for source · epopt."
    ]


def test_a_policy_of_the_target_is_never_first_but_compared_with() -> None:
    scores = {"none": [900.0, 901], "adr": [1000.0, 1001], "wide": [1100.0, 1101], "dropo": [1500.0, 1501]}
    oracle = episodes_of({"none": [1800.0, 1801]}).replace({"train_domain": {"source": "target"}})
    episodes = pd.concat([episodes_of(scores), oracle])
    *_, first = methods_part(STUDY, episodes, summarize(episodes))
    assert first[0].startswith("In target, source · dropo earns most, oracles aside: 1500 ")
    assert first[0].endswith(
        "That is more than source · no randomisation, source · adr, source · wide, by differences larger than their "
        "intervals. That is less than target · no randomisation, by differences larger than their intervals."
    )


def test_methods_with_long_names_can_be_told_apart_in_the_matrix() -> None:
    names = ["limb masses by half and friction", "limb masses by half and gears"]
    episodes = episodes_of({name: [1.0, 2.0] for name in names})
    figures, *_ = methods_part(STUDY, episodes, summarize(episodes))
    labels = [label.get_text() for label in figures["improvement"]["figure"].axes[0].get_yticklabels()]
    assert [" ".join(label.split()) for label in labels] == [f"{i} source · {name}" for i, name in enumerate(names, 1)]


@pytest.mark.parametrize(
    "episodes",
    [
        episodes_of({"none": [1.0, 2.0]}),
        episodes_of({f"m{i}": [1.0, 2.0] for i in range(MOST_METHODS + 1)}),
        pd.concat([episodes_of({"none": [1.0, 2.0]}), episodes_of({"wide": [1.0, 2.0]}, horizon=1000)]),
    ],
    ids=["one", "too-many", "two-horizons"],
)
def test_nothing_is_compared_that_cannot_be(episodes: pd.DataFrame) -> None:
    assert methods_part(STUDY, episodes, summarize(episodes)) == ({}, None, [])
