"""Configurations as plain data: read strictly, written, compared.

An unknown key, a wrong type or an impossible value is refused with the key's path and what would be accepted.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar, get_args

import pydantic
import yaml

Config = TypeVar("Config")


def parse_config(kind: type[Config], data: Any, source: str) -> Config:
    """Validate plain data into a configuration dataclass.

    Raises:
        ValueError: one line naming ``source``, the key's path and what is wrong with it.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{source}: holds a {type(data).__name__}; accepted: a mapping of keys")
    try:
        text = json.dumps(data, default=str)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: cannot be read ({error}); accepted: keys that are text, plain values") from None
    try:
        # As JSON, because pydantic is strict about types there and still takes lists for tuples.
        parsed: Config = _adapter(kind).validate_json(text, strict=True)  # type: ignore[arg-type]  # a class is hashable
        return parsed
    except pydantic.ValidationError as error:
        first, *others = error.errors()
        path = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "unexpected_keyword_argument":
            message = "unknown key"
            parent: Any = kind
            for part in first["loc"][:-1]:
                inner = get_args(parent)  # of a mapping or a list of dataclasses
                parent = inner[-1] if inner else getattr(parent, "__dataclass_fields__", {}).get(part)
                parent = getattr(parent, "type", parent)
            fields = getattr(parent, "__dataclass_fields__", {})
            message += f" (accepted: {', '.join(fields)})" if fields else ""
        elif first["type"] != "value_error":
            message += f", found {first['input']!r:.60}"
        more = f" (and {len(others)} more)" if others else ""
        raise ValueError(f"{source}: {f'{path}: ' if path else ''}{message}{more}") from None


@functools.cache
def _adapter(kind: type) -> pydantic.TypeAdapter[Any]:
    """Making one takes longer than reading with it."""
    return pydantic.TypeAdapter(kind)


def to_plain(config: Any) -> dict[str, Any]:
    """A configuration as plain data that :func:`parse_config` reads back to an equal one."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    result: dict[str, Any] = plain(asdict(config))
    return result


def to_yaml(config: Any) -> str:
    """A configuration as YAML."""
    return yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True, width=100)


def differences(there: Any, wanted: Any) -> str:
    """How two configurations of one kind differ, as ``key = 3, not 4 and 2 more``; empty if they do not."""
    old, new = flat(to_plain(there)), flat(to_plain(wanted))
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if not differing:
        return ""
    more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
    return f"{differing[0]} = {old.get(differing[0])!r}, not {new.get(differing[0])!r}{more}"


def flat(data: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping of dotted keys."""
    if not isinstance(data, dict) or not data:
        return {prefix: data}
    result: dict[str, Any] = {}
    for key, value in data.items():
        result.update(flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return result
