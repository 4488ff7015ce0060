"""The ``simgap`` command line: reading words, and telling errors in one line."""

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import tyro
import yaml
from rich.console import Console

from agents import AgentConfig
from experiments.commands import COMMANDS
from experiments.config import RunConfig
from experiments.files import read_yaml
from experiments.plain import parse_config
from experiments.pose_config import PoseConfig
from experiments.reward_config import RewardConfig
from experiments.start import start_config
from synth_data.sample import SynthConfig

CONFIGURED: dict[str, tuple[Any, str]] = {
    "train": (RunConfig, "run"),
    "synth": (SynthConfig, "dataset"),
    "fit-pose": (PoseConfig, "pose"),
    "fit-reward": (RewardConfig, "reward"),
}
"""Commands that take a whole configuration from a file, and what their parameter for it is called."""
# Short forms of the options that are typed most.
ALIASES = {"--agent": "--agent.name", "--randomization": "--randomization.method"}


def _constructors(given: dict[str, Any]) -> tyro.constructors.ConstructorRegistry:
    """How words become values that tyro does not read, or not as strictly.

    ``--agent.hyperparameters`` takes ``key=value``, each value read as YAML, beside those ``given``; a path is no URL,
    which would else become a folder named ``s3:``.
    """
    registry = tyro.constructors.ConstructorRegistry()

    def read(words: list[str]) -> dict[str, Any]:
        values = dict(given)
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise ValueError(f"{word!r} is not key=value")
            try:
                values[key] = _value(value)
            except yaml.YAMLError:
                raise ValueError(f"{word!r} is no YAML after the =; accepted: such as 3, true or [64, 64]") from None
        return values

    def read_path(words: list[str]) -> Path:
        if "://" in words[0]:
            raise NotADirectoryError(f"{words[0]!r} is a URL; accepted: a path (an object store goes to --store)")
        return Path(words[0])

    @registry.primitive_rule
    def paths(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Path] | None:
        if info.type is not Path:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="PATH",
            instance_from_str=read_path,
            is_instance=lambda value: isinstance(value, Path),
            str_from_instance=lambda value: [str(value)],
        )

    @registry.primitive_rule
    def hyperparameters(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[dict[str, Any]] | None:
        if info.type != dict[str, Any]:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs="*",
            metavar="KEY=VALUE",
            instance_from_str=read,
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda value: [f"{key}={item}" for key, item in value.items()],
        )

    return registry


def _value(text: str) -> Any:
    """What stands after the ``=``; YAML 1.1 takes 1e-3 for text."""
    try:
        return float(text) if "e" in text.lower() else yaml.safe_load(text)
    except ValueError:
        return yaml.safe_load(text)


def _deferred(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """``command`` as tyro sees it, but only noted instead of carried out."""

    @wraps(command)
    def note(*args: Any, **options: Any) -> Callable[[], None]:
        return partial(command, *args, **options)

    return note


def _parse(words: list[str]) -> Callable[[], None]:
    """What the words ask for, ready to be called.

    Raises:
        ValueError: one line: what cannot be read, instead of tyro's box.
    """
    commands = dict(COMMANDS)
    given: dict[str, Any] = {}
    if words[:1] == ["train"] and "--start" in words[:-1] and "--config" not in words:
        start = words[words.index("--start") + 1]
        default = replace(start_config(Path(start)), start=start)
        if "--agent.name" in words:  # another agent's hyperparameters would be refused before its name is
            default = replace(default, agent=AgentConfig(default.agent.name))
        given = default.agent.hyperparameters
        commands["train"] = partial(commands["train"], run=default)
    if words[:1] and words[0] in CONFIGURED and "--config" in words[:-1]:
        kind, argument = CONFIGURED[words[0]]
        file = Path(words[words.index("--config") + 1])
        default = parse_config(kind, read_yaml(file), str(file))
        if isinstance(default, RunConfig):
            given = default.agent.hyperparameters
        commands[words[0]] = partial(commands[words[0]], **{argument: default})
    boxes = io.StringIO()
    try:
        with _constructors(given), contextlib.redirect_stderr(boxes):
            action: Callable[[], None] = tyro.extras.subcommand_cli_from_dict(
                {name: _deferred(command) for name, command in commands.items()},
                prog="simgap",
                description="Measure the sim-to-real gap of learned locomotion policies, and close it.",
                args=words,
            )
    except NotADirectoryError as error:  # of a ValueError tyro tells only that a list could not be read
        raise ValueError(str(error)) from None
    except SystemExit as stop:
        if not stop.code:
            raise
        # A heading, then the message between rules; drawn with plain characters where UTF-8 is not to be had.
        lines = [line.strip("│ ") for line in boxes.getvalue().splitlines() if line.strip("│╰╯─- ")][1:]
        text = " ".join(lines).split(" For full helptext")[0]
        text = re.sub(r"^Error parsing __tyro-dummy-inner__\.\w+\.", "", text)
        raise ValueError(f"{text} (see simgap {' '.join([*words[:1], '--help'])})") from None
    return action


def _separate(words: list[str]) -> Iterator[str]:
    """The words with short forms written out, and ``--config=FILE`` and ``--start=RUN`` as two."""
    for word in words:
        option, equals, value = word.partition("=")
        if equals and option in (*ALIASES, "--config", "--start"):
            yield from (ALIASES.get(option, option), value)
        else:
            yield ALIASES.get(word, word)


def main(arguments: list[str] | None = None) -> None:
    """Run ``simgap`` and exit: 0 when all went well, 1 on an error, 2 on bad input, 130 when interrupted."""
    from experiments.upkeep import Interrupted

    words = list(_separate(sys.argv[1:] if arguments is None else arguments))
    if words[:2] == ["synth", "preview"]:
        words[:2] = ["synth-preview"]
    console = Console(stderr=True)

    def complain(text: str) -> None:
        console.print(f"simgap: {text}", highlight=False, markup=False, soft_wrap=True)

    try:
        _parse(words)()
    except Interrupted as stop:
        complain(str(stop))
        sys.exit(130)
    except KeyboardInterrupt:
        complain("interrupted; the same command continues")
        sys.exit(130)
    except (ValueError, OSError, RuntimeError) as error:
        complain(f"error: {' '.join(str(error).split())}")
        sys.exit(2 if isinstance(error, ValueError) else 1)
