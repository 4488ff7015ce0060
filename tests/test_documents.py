"""What the documents tell users to type can be typed, and where they point to there is something."""

import ast
import functools
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from experiments import cli
from experiments.commands import COMMANDS
from experiments.config import RunConfig

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r'\]\(([^)#\s]+)[^)]*\)|src="([^"]+)"')


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


TYPED = [
    pytest.param(shlex.split(line, comments=True)[2:], id=f"{document.name}: {line[2:60]}")
    for document in DOCUMENTS
    for block in blocks(document, "console")
    for line in block.splitlines()
    if line.startswith("$ simgap ")
]
SNIPPETS = [
    pytest.param(block, id=f"{document.name}-{number}")
    for document in DOCUMENTS
    for number, block in enumerate(blocks(document, "python"))
]


@pytest.mark.parametrize("words", TYPED)
def test_the_command_line_understands_it(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    carried_out: list[str] = []
    # Runs and files of the reader's own.
    monkeypatch.setattr(cli, "start_config", lambda start: RunConfig())
    monkeypatch.setattr(cli, "read_yaml", lambda file: {})

    def note(name: str, command: Any) -> Any:
        return functools.wraps(command)(lambda *args, **options: carried_out.append(name))

    monkeypatch.setattr(cli, "COMMANDS", {name: note(name, command) for name, command in COMMANDS.items()})
    cli.main(words)
    assert carried_out == ["synth-preview" if words[:2] == ["synth", "preview"] else words[0]]


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_imports_what_there_is(code: str) -> None:
    names = [
        (node.module, alias.name)
        for node in ast.parse(code).body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    ]
    plain = [alias.name for node in ast.parse(code).body if isinstance(node, ast.Import) for alias in node.names]
    assert names or plain
    assert all(importlib.import_module(name) for name in plain)
    assert all(hasattr(importlib.import_module(module), name) for module, name in names)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = [one or other for one, other in LINK.findall(document.read_text())]
    missing = [each for each in targets if "://" not in each and not (document.parent / each).exists()]
    assert not missing
