"""What the report of a study reads, checked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments import goals
from experiments.config import NAME, NAME_WORDS
from experiments.files import read_json, read_yaml
from experiments.tables import check_chosen

Fields = Mapping[str, type | tuple[type, ...]]
STUDY_FIELDS: Fields = {
    "name": str,
    "title": str,
    "description": str,
    "source": str,
    "target": str,
    "seeds": int,
    "episodes": int,
    "base": dict,
}
GOAL_FIELDS: Fields = {"text": str}
COMPARISON_FIELDS: Fields = {"name": str, "title": str, "caption": str, "rows": list}
ROW_FIELDS: Fields = {"text": str, "cell": dict}
PROVENANCE_FIELDS: Fields = {
    "command": str,
    "machine": str,
    "cpu": str,
    "cores": int,
    "python": str,
    "versions": dict,
    "commit": str,
    "wall_s": (int, float),
    "started": str,
    "missing": list,
    "taken_over": dict,
    "trained_on": list,
}


def read_study(path: Path) -> dict[str, Any]:
    """``study.yaml`` of a study's results.

    Raises:
        ValueError: it is damaged; one line naming the place.
    """
    study = _checked(path, read_yaml(path), STUDY_FIELDS)
    for key in ("goals", "cells", "comparisons"):
        study[key] = study.get(key) or []
        _checked(path, study, {key: list})
    study["tuning"] = [line.strip() for line in str(study.get("tuning") or "").splitlines() if line.strip()]
    for place, goal in enumerate(study["goals"]):
        _checked(path, goal, GOAL_FIELDS, f"goals[{place}].")
        try:
            goals.check_goal(goal)
        except ValueError as error:
            raise ValueError(f"{path}: goals[{place}].{error}") from None
    for place, comparison in enumerate(study["comparisons"]):
        _checked(path, comparison, COMPARISON_FIELDS, f"comparisons[{place}].")
        if not re.fullmatch(NAME, comparison["name"]):  # it becomes a file's name
            raise ValueError(f"{path}: comparisons[{place}].name {comparison['name']!r} must be {NAME_WORDS}")
        for row in comparison["rows"]:
            _checked(path, row, ROW_FIELDS, f"comparisons[{place}].rows: ")
            check_chosen(row["cell"], f"{path}: comparisons[{place}].rows: cell")
    return study


def read_provenance(path: Path) -> dict[str, Any]:
    """``provenance.json`` of a study's results, whole where an older version wrote it.

    Raises:
        ValueError: it is damaged; one line naming the place.
    """
    whole: dict[str, Any] = {"missing": [], "taken_over": {}, "trained_on": []}
    return _checked(path, {**whole, **read_json(path)}, PROVENANCE_FIELDS)


def _checked(
    path: Path,
    content: object,
    fields: Fields,
    prefix: str = "",
) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{path}: {prefix or 'the file '}must map the keys {', '.join(fields)}")
    for key, kind in fields.items():
        if not isinstance(content.get(key), kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            names = {str: "text", int: "a whole number", float: "a number", dict: "a mapping", list: "a list"}
            found = repr(content[key])[:60] if key in content else "nothing"
            raise ValueError(f"{path}: {prefix}{key} must be {names[kinds[-1]]}; found {found}")
    return content
