"""The house's layout: who may import whom, and that every module lives in a listed package.

The code is read, never run: an import inside a function or under ``TYPE_CHECKING`` counts too.
"""

import ast
import fnmatch
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

HOUSE = frozenset(
    {
        "agents",
        "benchmarks",
        "envs",
        "experiments",
        "pipelines",
        "randomization",
        "synth_data",
        "vision",
    }
)

ALLOWED: dict[str, frozenset[str]] = {
    "agents": frozenset(),
    "benchmarks": HOUSE,
    "envs": frozenset(),
    "experiments": HOUSE,
    "pipelines": frozenset({"envs", "randomization", "vision"}),
    "randomization": frozenset(),
    "synth_data": frozenset({"envs", "randomization", "vision"}),
    "vision": frozenset(),
}

# Libraries that exactly one module may import. For bpy (GPL) it is a condition of our licence.
SOLE_IMPORTER = {"bpy": "synth_data/blender.py", "mmpose": "vision/mmpose.py"}

IMPORT_FUNCTIONS = {"__import__", "import_module", "find_spec"}

# Files that a module opens at run time, so a wheel must carry them.
DATA_SUFFIXES = frozenset({".css", ".j2", ".js", ".json", ".xml", ".yaml"})


def source_files(root: Path, suffixes: frozenset[str] = frozenset({".py"})) -> list[Path]:
    """Relative paths of the project's own files: no dot folders, environments or outputs."""

    def walk(folder: Path) -> Iterator[Path]:
        for entry in sorted(folder.iterdir()):
            if entry.is_symlink() or entry.name.startswith("."):
                continue
            if entry.is_dir():
                output = folder == root and entry.name in {"build", "dist", "runs"}
                if not output and not (entry / "pyvenv.cfg").exists():
                    yield from walk(entry)
            elif entry.suffix in suffixes:
                yield entry.relative_to(root)

    return list(walk(root))


def imported_modules(tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything that a module of `package` imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(level=0):
                yield node.lineno, node.module or ""
            case ast.ImportFrom():
                # Two dots in a top-level package reach its siblings: `from .. import envs`.
                base = package[: max(len(package) - node.level + 1, 0)]
                for alias in node.names:
                    yield node.lineno, ".".join((*base, *filter(None, [node.module]), alias.name))
            case ast.Call(args=[ast.Constant(value=str(name)), *_]):
                function = node.func
                called = getattr(function, "attr", None) or getattr(function, "id", None)
                if called in IMPORT_FUNCTIONS:
                    yield node.lineno, name


def search_path_uses(tree: ast.Module) -> Iterator[int]:
    """Lines that touch ``sys.path``, under any name that ``sys`` was given, or use ``site``."""
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "sys"
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr="path") if name in names:
                yield node.lineno
            case ast.ImportFrom(module="sys", names=aliases):
                if any(alias.name == "path" for alias in aliases):
                    yield node.lineno
            case ast.Attribute(attr="addsitedir") | ast.Name(id="addsitedir"):
                yield node.lineno


def violations(root: Path) -> list[str]:
    """Every breach of the house's directions below `root`, one line each."""
    found = []
    for path in source_files(root):
        tree = ast.parse((root / path).read_text(encoding="utf-8"), filename=str(path))
        room = path.parts[0]
        if room == "results":
            found.append(f"{path}: results/ holds outputs, no code")
        for line in search_path_uses(tree):
            found.append(f"{path}:{line}: touches sys.path")
        for line, module in imported_modules(tree, path.parent.parts):
            top = module.partition(".")[0]
            if room in ALLOWED and top in HOUSE - {room} - ALLOWED[room]:
                found.append(f"{path}:{line}: {room} must not import {top}")
            if room in ALLOWED and top in {"tests", "results"}:
                found.append(f"{path}:{line}: {room} must not import {top}")
            if path.as_posix() != SOLE_IMPORTER.get(top, path.as_posix()):
                found.append(f"{path}:{line}: only {SOLE_IMPORTER[top]} may import {top}")
    return found


def stray_files(root: Path, packages: list[str]) -> list[str]:
    """Python files outside the listed packages and tests/, which an installed simgap would lack."""
    listed = {Path(package.replace(".", "/")) for package in packages}
    return [str(path) for path in source_files(root) if path.parent not in listed and path.parts[0] != "tests"]


@pytest.fixture(scope="module")
def packaging() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        config: dict[str, Any] = tomllib.load(file)["tool"]["setuptools"]
    return config


def test_the_directions_of_the_house_hold() -> None:
    assert violations(ROOT) == []


def test_listed_packages_exist(packaging: dict[str, Any]) -> None:
    packages = packaging["packages"]
    folders = [ROOT / package.replace(".", "/") for package in packages]
    assert [folder.name for folder in folders if not (folder / "__init__.py").is_file()] == []
    assert {package.partition(".")[0] for package in packages} <= HOUSE


def test_every_module_is_in_a_listed_package(packaging: dict[str, Any]) -> None:
    assert stray_files(ROOT, packaging["packages"]) == []


def test_data_files_are_packaged(packaging: dict[str, Any]) -> None:
    packaged = [
        f"{package}/{pattern}" for package, patterns in packaging["package-data"].items() for pattern in patterns
    ]
    data = [path.as_posix() for path in source_files(ROOT, DATA_SUFFIXES) if path.parts[0] in HOUSE]
    assert [path for path in data if not any(fnmatch.fnmatch(path, p) for p in packaged)] == []


@pytest.mark.parametrize(
    ("path", "code", "complaint"),
    [
        ("envs/a.py", "import pipelines.state", "envs must not import pipelines"),
        ("envs/a.py", "from randomization import uniform", "envs must not import randomization"),
        ("randomization/a.py", "def f():\n    import envs", "randomization must not import envs"),
        (
            "vision/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import synth_data",
            "vision must not import synth_data",
        ),
        ("synth_data/a.py", "from agents.make import X", "synth_data must not import agents"),
        ("pipelines/a.py", "import numpy, agents.ppo", "pipelines must not import agents"),
        ("agents/a.py", "from .. import envs", "agents must not import envs"),
        ("agents/deep/a.py", "from ...envs import x", "agents must not import envs"),
        (
            "agents/a.py",
            "import importlib\nimportlib.import_module('envs.hopper')",
            "agents must not import envs",
        ),
        ("agents/a.py", "__import__('experiments')", "agents must not import experiments"),
        ("experiments/a.py", "import tests.helpers", "experiments must not import tests"),
        ("results/a.py", "", "no code"),
        ("experiments/a.py", "import sys\nsys.path.insert(0, '.')", "touches sys.path"),
        ("tests/a.py", "import sys as s\ns.path += ['.']", "touches sys.path"),
        ("envs/a.py", "from sys import path", "touches sys.path"),
        ("envs/a.py", "import site\nsite.addsitedir('.')", "touches sys.path"),
        ("experiments/a.py", "import bpy", "only synth_data/blender.py may import bpy"),
        ("tests/a.py", "from mmpose.apis import x", "only vision/mmpose.py may import mmpose"),
    ],
)
def test_the_checker_sees_a_breach(tmp_path: Path, path: str, code: str, complaint: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(code, encoding="utf-8")
    found = violations(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(path)
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("envs/a.py", "import os.path, sys, numpy\nfrom . import task\nprint(sys.argv)"),
        ("envs/deep/a.py", "from .. import task\nfrom ..task import Task"),
        ("pipelines/a.py", "import envs.task\nfrom vision import camera, metrics"),
        ("synth_data/blender.py", "import bpy"),
        ("vision/mmpose.py", "import mmpose"),
        ("experiments/a.py", "import agents, benchmarks, envs, pipelines, synth_data"),
        ("benchmarks/a.py", "from experiments.config import RunConfig"),
        ("tests/a.py", "import envs, tests.helpers"),
        (".venv/lib/a.py", "import sys\nsys.path.append('.')"),
        ("runs/a.py", "import sys\nsys.path.append('.')"),
    ],
)
def test_the_checker_accepts_what_is_allowed(tmp_path: Path, path: str, code: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(code, encoding="utf-8")
    assert violations(tmp_path) == []


def test_the_checker_sees_a_module_outside_the_packages(tmp_path: Path) -> None:
    for name in ("envs/a.py", "envs/deep/b.py", "setup_helper.py", "tests/envs/test_a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert stray_files(tmp_path, ["envs"]) == ["envs/deep/b.py", "setup_helper.py"]
