"""Tables on disk: the columns of each CSV file, read strictly with one clear line per fault."""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

SETTING = ["study", "figure", "horizon", "pipeline", "agent", "steps"]
"""What two cells must share to be compared as methods."""
CELL = ["study", "figure", "horizon", "pipeline", "randomization", "agent", "steps", "train_domain"]
"""Columns that identify a cell: runs that differ in their training seed only."""
CHOSEN = ["figure", "pipeline", "randomization", "agent", "train_domain"]
"""Columns by which a study's goals and comparisons choose among its cells."""


class Column(NamedTuple):
    """How a CSV column is read: ``parse`` raises ValueError, ``accepts`` says what is right."""

    parse: Callable[[str], object]
    accepts: str


def check_chosen(cell: Mapping[str, Any], key: str, *more: str) -> None:
    """Raise ``ValueError`` unless ``cell`` names only columns that cells are chosen by, or one of ``more``."""
    for column in cell:
        if column not in (*CHOSEN, *more):
            raise ValueError(f"{key}: unknown column {column!r}; accepted: {', '.join((*CHOSEN, *more))}")


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError
    return int(text)


def _positive(text: str) -> int:
    if not _count(text):
        raise ValueError
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _number_or_missing(text: str) -> float:
    return math.nan if text.strip().lower() in ("", "nan") else _number(text)


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


def _flag_or_count(text: str) -> int:
    return int(_flag(text)) if text.lower() in ("true", "false") else _count(text)


NAME = Column(_name, "a name")
COUNT = Column(_count, "a whole number of 0 or more")
POSITIVE = Column(_positive, "a whole number of 1 or more")
NUMBER = Column(_number, "a finite number")
FLAG = Column(_flag, "True or False")

EPISODES: Mapping[str, Column] = {
    "study": NAME,
    "figure": NAME,
    "horizon": POSITIVE,
    "pipeline": NAME,
    "randomization": NAME,
    "agent": NAME,
    "steps": COUNT,
    "train_domain": NAME,
    "eval_domain": NAME,
    "seed": COUNT,
    "episode": COUNT,
    "return": NUMBER,
    "length": COUNT,
    "terminated": FLAG,
    "diverged": FLAG,
}
CURVES: Mapping[str, Column] = {
    "figure": NAME,
    "randomization": NAME,
    "train_domain": NAME,
    "pipeline": NAME,
    "agent": NAME,
    "seed": COUNT,
    "step": COUNT,
    "return": Column(_number_or_missing, "a finite number or empty"),
}
CURRICULA: Mapping[str, Column] = {
    **{name: column for name, column in CURVES.items() if name != "return"},
    "quantity": NAME,
    "value": NUMBER,
}
RUNS: Mapping[str, Column] = {
    "cell": NAME,
    "figure": NAME,
    "pipeline": NAME,
    "randomization": NAME,
    "agent": NAME,
    "train_domain": NAME,
    "seed": COUNT,
    "steps": COUNT,
    "wall_s": NUMBER,
    "steps_per_s": NUMBER,
    "diverged": Column(_flag_or_count, "a whole number of 0 or more, True or False"),
    "target_episodes": COUNT,
    "target_steps": COUNT,
}
SWEEP: Mapping[str, Column] = {
    **{name: EPISODES[name] for name in (*CELL, "seed")},
    "policy": NAME,
    "base": NAME,
    "cell": COUNT,
    "x": NUMBER,
    "y": Column(_number_or_missing, "a finite number or empty"),
    "domain": NAME,
    "episodes": POSITIVE,
    "return": NUMBER,
    "std": NUMBER,
    "worst": NUMBER,
    "length": NUMBER,
    "diverged": COUNT,
}


def read_table(path: Path, schema: Mapping[str, Column]) -> pd.DataFrame:
    """Read a CSV file whose header names exactly the schema's columns, in any order.

    Raises:
        ValueError: one line naming the file, line and column, and what would be accepted, if the
            file is missing, empty, truncated, not text, or holds a value the schema refuses.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if sorted(header) != sorted(schema):
                found = ",".join(header)[:200] or "nothing"
                raise ValueError(f"{path}: line 1 must name the columns {','.join(schema)}; found {found!r}")
            rows = [_parse(path, reader.line_num, header, fields, schema) for fields in reader]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); expected a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV text file in UTF-8 ({error})") from error
    if not rows:
        raise ValueError(f"{path}: has a header but no rows; at least one row is expected")
    return pd.DataFrame(rows, columns=header)[list(schema)]


def _parse(path: Path, line: int, header: list[str], fields: list[str], schema: Mapping[str, Column]) -> list[object]:
    if len(fields) != len(header):
        raise ValueError(
            f"{path}: line {line} has {len(fields)} fields where {len(header)} are expected; "
            "the file looks truncated or damaged"
        )
    values = []
    for name, text in zip(header, fields, strict=True):
        try:
            values.append(schema[name].parse(text))
        except (ValueError, KeyError):
            accepts = schema[name].accepts
            raise ValueError(f"{path}: line {line}, column {name}: {text[:60]!r} is not {accepts}") from None
    return values
