"""Options of a figure's task, written after its name: ``ant[contact_forces=all, forward_reward_weight=2]``.

They are the fields of the task's dataclass. The canonical text has them sorted, without those at their defaults.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from envs.task import Task

_TEXT = re.compile(r"^\s*(?P<name>\w+)\s*(\[(?P<options>[^\[\]]*)\])?\s*$")


def split_figure(text: str) -> tuple[str, dict[str, str]]:
    """The name of a figure and its options as they are written.

    Raises:
        ValueError: not of the form ``name`` or ``name[option=value, ...]``, or an option twice.
    """
    match = _TEXT.match(text)
    if match is None:
        raise ValueError(
            f"cannot read figure {text!r}; accepted: a name, perhaps with options, as hopper[minimum_speed=0.5]"
        )
    options: dict[str, str] = {}
    for part in (match["options"] or "").split(",") if match["options"] is not None else ():
        key, equals, value = (word.strip() for word in part.partition("="))
        if not (key and equals and value):
            raise ValueError(f"figure {text!r}: cannot read option {part.strip()!r}; accepted: option=value")
        if key in options:
            raise ValueError(f"figure {text!r}: option {key} is given twice")
        options[key] = value
    return match["name"], options


def make_task(kind: type[Task], figure: str, options: Mapping[str, object]) -> Task:
    """A task with ``options``: of their own types, or as text.

    Raises:
        ValueError: one line naming ``figure`` and the option: unknown, of the wrong type or impossible.
    """
    types = option_types(kind)
    values = {}
    try:
        for name, value in options.items():
            if name not in types:
                raise ValueError(f"unknown option {name!r} (accepted: {', '.join(sorted(types))})")
            values[name] = _read(name, types[name], value)
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"figure {figure!r}: {error}") from None


def option_types(kind: type[Task]) -> dict[str, Any]:
    """The options of a figure's task and their types: ``float``, ``str`` or a ``Literal`` of words."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}  # type: ignore[arg-type]  # figures are dataclasses


def _read(name: str, kind: Any, value: object) -> object:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{name} is {value!r}; accepted: {', '.join(get_args(kind))}")
        return value
    if kind is str:
        return str(value)
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)  # type: ignore[arg-type]  # what is no number ends here
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; accepted: a number") from None


def check_options(task: Task, *not_negative: str) -> None:
    """Raise ValueError unless numbers are finite or at their default, and those named are 0 or more."""
    for field in fields(task):  # type: ignore[arg-type]  # figures are dataclasses
        value = getattr(task, field.name)
        if not field.init or not isinstance(value, float | int) or value == field.default:
            continue
        if not math.isfinite(value) or (field.name in not_negative and value < 0):
            bound = "finite and 0 or more" if field.name in not_negative else "finite"
            raise ValueError(f"{field.name} is {value:g}; it must be {bound}")


def figure_text(task: Task) -> str:
    """The canonical text of a figure with its options."""
    given = [
        f"{field.name}={_write(getattr(task, field.name))}"
        for field in sorted(fields(task), key=lambda field: field.name)  # type: ignore[arg-type]  # as above
        if field.init and getattr(task, field.name) != field.default
    ]
    return f"{task.name}[{', '.join(given)}]" if given else task.name


def _write(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def file_form(figure: str) -> str:
    """A canonical text as part of a file's name: brackets are patterns to shells and ``glob``, a slash is a folder."""
    return figure.replace(" ", "").replace("/", "_").replace("[", ",").removesuffix("]")
