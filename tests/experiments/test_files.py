import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments import files
from experiments.files import (
    append_json_line,
    read_json,
    read_json_lines,
    write_directory,
    write_json,
    write_text,
    write_with,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_whole_into_folders_that_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "text.txt"
    write_text(path, "über\nzwei\n")
    assert path.read_bytes() == "über\nzwei\n".encode()
    write_text(path, "new")
    assert path.read_text() == "new"
    assert names(path.parent) == ["text.txt"]


def test_the_temporary_file_keeps_the_suffix_that_writers_look_at(tmp_path: Path) -> None:
    seen: list[str] = []

    def write(temporary: Path) -> None:
        seen.append(temporary.suffix)
        assert temporary.parent == tmp_path
        assert not (tmp_path / "video.mp4").exists()
        temporary.write_bytes(b"x")

    write_with(tmp_path / "video.mp4", write)
    assert seen == [".mp4"]
    assert names(tmp_path) == ["video.mp4"]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_a_failure_in_the_middle_leaves_the_old_file_alone(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})

    def write(temporary: Path) -> None:
        temporary.write_text('{"a": ')
        raise error

    with pytest.raises(type(error)):
        write_with(path, write)
    assert read_json(path) == {"a": 1}
    assert names(tmp_path) == ["value.json"]


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str, **_: Any) -> int:
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*table\.csv'") as caught:
        write_text(tmp_path / "table.csv", "a,b\n1,2\n")
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_a_file_that_cannot_be_flushed_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"a\.txt"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_real_limit_on_file_size_is_met_cleanly(tmp_path: Path) -> None:
    """The kernel itself refuses the write, as it does on a full disk; in a process of its own, as it is for good."""
    code = """
import resource, sys
from pathlib import Path
from experiments.files import append_json_line, write_directory, write_text
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for action in (
    lambda: write_text(folder / "text.txt", "x" * 5000),
    lambda: write_directory(folder / "d", lambda d: (d / "a.bin").write_bytes(bytes(5000))),
    lambda: append_json_line(folder / "rows.jsonl", {"text": "x" * 5000}),
):
    try:
        action()
    except OSError as error:
        print(error)
"""
    write_text(tmp_path / "text.txt", "old")
    append_json_line(tmp_path / "rows.jsonl", {"step": 1})
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        f"[Errno {errno.EFBIG}] File too large: '{tmp_path / name}'" for name in ("text.txt", "d", "rows.jsonl")
    ]
    assert names(tmp_path) == ["rows.jsonl", "text.txt"]
    assert (tmp_path / "text.txt").read_text() == "old"
    assert read_json_lines(tmp_path / "rows.jsonl") == [{"step": 1}]  # the row that was cut does not count


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        (temporary / "a").write_text("1")
        assert not (tmp_path / "d").exists()

    def fail(temporary: Path) -> None:
        (temporary / "a").write_text("1")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        write_directory(tmp_path / "d", fail)
    assert names(tmp_path) == []
    write_directory(tmp_path / "d", write)
    assert names(tmp_path) == ["d"]
    assert names(tmp_path / "d") == ["a"]


def test_json_comes_back_and_damage_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    value = {"a": [1, 2.5, None, True], "b": {"c": "ü"}}
    write_json(path, value)
    assert read_json(path) == value
    for text, reason in (('{"a": ', "not a readable JSON file"), ("[1]", "holds a list; accepted: a JSON object")):
        path.write_text(text)
        with pytest.raises(ValueError, match=reason) as caught:
            read_json(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="not a readable JSON file"):
        read_json(tmp_path / "absent.json")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a readable JSON file"):
        read_json(path)


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert read_json_lines(path) == []
    rows = [{"step": i, "value": i / 7, "text": "a\u2028b"} for i in range(5)]
    for row in rows:
        append_json_line(path, row)
    assert read_json_lines(path) == rows
    assert path.read_text() == "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("cut", ["{", '{"step": 3', '{"step": 3, "a": 1}'])
def test_a_last_line_cut_by_a_kill_is_dropped(tmp_path: Path, cut: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n' + cut)
    assert read_json_lines(path) == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize(
    ("damaged", "line"),
    [('{"step": 1}\n{"st\n{"step": 3}\n', 2), ('garbage\n{"step": 2}\n', 1), ('{"step": 1}\n[2]\n', 2), ("\n", 1)],
)
def test_any_other_damaged_line_is_named(tmp_path: Path, damaged: str, line: int) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(damaged)
    with pytest.raises(ValueError, match=rf"rows\.jsonl, line {line}: damaged; accepted: one JSON object a line$"):
        read_json_lines(path)


def test_binary_rubbish_is_not_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xff\xfe\x81\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl: not a text file"):
        read_json_lines(path)


def test_directories_are_flushed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(files, "_sync", lambda path: flushed.append(path.name))
    write_directory(tmp_path / "d", lambda d: (d / "a").write_text("1"))
    assert flushed == ["a", tmp_path.name]
