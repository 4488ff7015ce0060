import hashlib
import json
import os
from pathlib import Path

import fsspec
import pytest

from experiments.store import Store


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """One of each kind that needs no server."""
    return Store(f"file://{tmp_path}/store" if request.param == "file" else f"memory://{tmp_path.name}")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Something like a run's directory."""
    directory = tmp_path / "here"
    (directory / "checkpoints" / "000000000128").mkdir(parents=True)
    (directory / "checkpoints" / "000000000128" / "policy.json").write_text("{}")
    (directory / "config.yaml").write_text("seed: 1\n")
    (directory / "empty.txt").touch()
    (directory / ".lock").touch()
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(directory)): file.read_bytes() for file in sorted(directory.rglob("*")) if file.is_file()
    }


def test_what_was_pushed_is_fetched(store: Store, run: Path, tmp_path: Path) -> None:
    assert not store.fetch("study/seed-000", tmp_path / "there")
    store.push("study/seed-000", run)
    assert store.fetch("study/seed-000", tmp_path / "there")
    expected = contents(run)
    del expected[".lock"]  # of this machine alone
    assert contents(tmp_path / "there") == expected
    assert store.names("study/seed-000")["config.yaml"] == hashlib.sha256(b"seed: 1\n").hexdigest()
    assert store.names("study/seed-001") == {}


def test_a_second_push_replaces_what_changed_and_forgets_what_is_gone(store: Store, run: Path, tmp_path: Path) -> None:
    store.push("a", run)
    before = store.names("a")
    (run / "config.yaml").write_text("seed: 2\n")
    (run / "checkpoints" / "000000000128" / "policy.json").unlink()
    store.push("a", run)
    after = store.names("a")
    assert set(before) - set(after) == {"checkpoints/000000000128/policy.json"}
    assert after["empty.txt"] == before["empty.txt"]
    files, root = fsspec.core.url_to_fs(f"{store.url}/a")
    there = {os.path.basename(name) for name in files.ls(root, detail=False)}
    assert there == {"manifest.json", *after.values()}
    store.fetch("a", tmp_path / "there")
    assert (tmp_path / "there" / "config.yaml").read_text() == "seed: 2\n"


def test_fetching_leaves_what_the_copy_does_not_have(store: Store, run: Path, tmp_path: Path) -> None:
    store.push("a", run)
    there = tmp_path / "there"
    (there / "checkpoints" / "000000000064").mkdir(parents=True)
    (there / "own.txt").write_text("mine")
    store.fetch("a", there)
    assert (there / "own.txt").read_text() == "mine"
    assert sorted(os.listdir(there / "checkpoints")) == ["000000000064", "000000000128"]
    assert not (there / ".fetched").exists()


def test_only_what_is_wanted_travels(store: Store, run: Path, tmp_path: Path) -> None:
    store.push("a", run, lambda name: name.endswith((".yaml", ".txt")))
    assert set(store.names("a")) == {"config.yaml", "empty.txt"}
    store.fetch("a", tmp_path / "there", lambda name: name == "config.yaml")
    assert set(contents(tmp_path / "there")) == {"config.yaml"}


def test_a_push_that_is_cut_leaves_the_copy_as_it_was(
    store: Store, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.push("a", run)
    before = contents(run)
    (run / "config.yaml").write_text("seed: 2\n")
    write = store._write

    def fail(place: str, data: bytes) -> None:
        if place.endswith("manifest.json"):
            raise OSError("the line is cut")
        write(place, data)

    monkeypatch.setattr(store, "_write", fail)
    with pytest.raises(ValueError, match=r"^store .*: the line is cut$"):
        store.push("a", run)
    store.fetch("a", tmp_path / "there")
    assert contents(tmp_path / "there") == {name: data for name, data in before.items() if name != ".lock"}


def test_a_checkpoint_that_makes_way_while_it_is_read_is_left_out(
    store: Store, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run / "checkpoints" / "000000000064"
    folder.mkdir()
    for name in ("a.json", "b.json"):
        (folder / name).write_text(name)
    read = Path.read_bytes

    def vanish(path: Path) -> bytes:
        data = read(path)
        if path.name == "a.json":
            (folder / "b.json").unlink()
        return data

    monkeypatch.setattr(Path, "read_bytes", vanish)
    store.push("a", run)
    assert set(store.names("a")) == {"config.yaml", "empty.txt", "checkpoints/000000000128/policy.json"}


def test_changed_bytes_are_noticed(store: Store, run: Path, tmp_path: Path) -> None:
    store.push("a", run)
    files, root = fsspec.core.url_to_fs(f"{store.url}/a")
    files.pipe_file(f"{root}/{store.names('a')['config.yaml']}", b"seed: 3\n")
    with pytest.raises(ValueError, match=r"config.yaml: changed since it was written \(SHA-256 differs\)"):
        store.fetch("a", tmp_path / "there")
    assert not (tmp_path / "there" / "config.yaml").exists()
    files.rm_file(f"{root}/{store.names('a')['config.yaml']}")
    with pytest.raises(ValueError, match=r"^store .*: a is incomplete \(.*\); push it again$"):
        store.fetch("a", tmp_path / "there")


@pytest.mark.parametrize(
    "manifest",
    [
        b"no JSON",
        b"[]",
        b'{"format": "other", "files": {}}',
        json.dumps({"format": "simgap-store-1", "files": {"../../escaped": "00"}}).encode(),
        json.dumps({"format": "simgap-store-1", "files": {"/etc/escaped": "00"}}).encode(),
    ],
)
def test_a_strangers_manifest_is_refused(store: Store, run: Path, manifest: bytes) -> None:
    store.push("a", run)
    files, root = fsspec.core.url_to_fs(f"{store.url}/a")
    files.pipe_file(f"{root}/manifest.json", manifest)
    with pytest.raises(ValueError, match=r"^store .*: a/manifest.json is damaged; accepted: what simgap wrote there$"):
        store.fetch("a", run)


def test_an_unknown_kind_of_store_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^store nope://x: Protocol not known: nope; accepted: an fsspec URL, e.g. s3:"
    ):
        Store("nope://x")
