"""Settings that are one of a few names."""

from collections.abc import Sequence

CAMERAS = ("track", "rail")


def check_choices(settings: object, **accepted: Sequence[str]) -> None:
    """Raise ``ValueError`` unless each named field of ``settings`` has one of its accepted values."""
    for field, values in accepted.items():
        found = getattr(settings, field)
        if found not in values:
            raise ValueError(f"unknown {field} {found!r}; accepted: {', '.join(values)}")
