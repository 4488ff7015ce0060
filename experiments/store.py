"""An object store between machines: copies of directories under an fsspec URL such as ``s3://bucket/simgap``.

::

    <url>/<key>/manifest.json   {"format": …, "files": {path: SHA-256}}; written last, so it names only what is there
    <url>/<key>/<SHA-256>       the bytes of a file

A copy is therefore always whole: a reader sees the old manifest or the new one. Files that did not change are not sent
again. An object of S3 and its like appears at once or not at all; on a file system fsspec renames.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from experiments.files import digest

FORMAT = "simgap-store-1"
MANIFEST = "manifest.json"
STAGE = ".fetched"
ATTEMPTS = 3
"""To read a copy that is replaced meanwhile, or a directory that is written to."""

Wanted = Callable[[str], bool]
"""Whether the file of this path, relative to the directory, is meant."""


class Store:
    """Directories by key. One process may change a key at a time; many may read it."""

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            ValueError: the URL is of no kind that fsspec knows, or its driver is not installed.
        """
        self.url = url.rstrip("/")
        try:
            import fsspec
        except ImportError:
            raise ValueError("--store needs fsspec: pip install -c constraints.txt -e '.[cluster]'") from None
        with self._errors():
            self._files, root = fsspec.core.url_to_fs(self.url)
        self._root = str(root).rstrip("/")

    def names(self, key: str) -> dict[str, str]:
        """The SHA-256 of each file of the copy ``key``; empty if there is none.

        Raises:
            ValueError: the store cannot be read, or holds something else there.
        """
        place = f"{self._root}/{key}/{MANIFEST}"
        with self._errors():
            try:
                text = self._files.cat_file(place)
            except FileNotFoundError:
                return {}
        try:
            manifest = json.loads(text)
            files = manifest["files"] if manifest["format"] == FORMAT else None
        except (ValueError, KeyError, TypeError):
            files = None
        if not isinstance(files, dict) or not all(_harmless(name) for name in files):
            raise ValueError(f"store {self.url}: {key}/{MANIFEST} is damaged; accepted: what simgap wrote there")
        return files

    def push(self, key: str, directory: Path, wanted: Wanted = lambda name: True) -> None:
        """Make the copy ``key`` equal to ``directory``, which may be written to meanwhile.

        Files whose name, or whose folder's name, begins with a dot stay out.

        Raises:
            ValueError: the store cannot be written.
        """
        before = self.names(key)
        there = set(before.values())
        with self._errors():
            files = dict(self._upload(key, directory, wanted, there))
            if files == before:
                return
            manifest = json.dumps({"format": FORMAT, "files": files}, indent=1)
            self._write(f"{self._root}/{key}/{MANIFEST}", manifest.encode())
            for stale in set(before.values()) - set(files.values()):
                self._files.rm_file(f"{self._root}/{key}/{stale}")

    def fetch(self, key: str, directory: Path, wanted: Wanted = lambda name: True) -> bool:
        """Bring the files of the copy ``key`` into ``directory``, and leave others there as they are.

        A folder of a checkpoint appears whole or not at all, and ``done.json`` last.

        Returns:
            Whether there is such a copy.

        Raises:
            ValueError: the store cannot be read, or bytes in it changed.
        """
        stage = directory / STAGE
        for attempt in range(ATTEMPTS):
            files = {name: digest for name, digest in self.names(key).items() if wanted(name)}
            try:
                self._download(key, files, directory, stage)
            except FileNotFoundError as error:  # a newer copy was pushed meanwhile
                if attempt + 1 == ATTEMPTS:
                    raise ValueError(f"store {self.url}: {key} is incomplete ({error}); push it again") from None
                continue
            finally:
                shutil.rmtree(stage, ignore_errors=True)
            break
        return bool(files)

    def _upload(self, key: str, directory: Path, wanted: Wanted, there: Collection[str]) -> Iterator[tuple[str, str]]:
        """Send what the store lacks; yields path and SHA-256 of every file."""
        gone: set[Path] = set()
        found: dict[Path, str] = {}
        sent = set(there)
        self._files.makedirs(f"{self._root}/{key}", exist_ok=True)
        for file in sorted(directory.rglob("*")):
            name = file.relative_to(directory)
            hidden = any(part.startswith(".") for part in name.parts)
            if hidden or file.is_dir() or not wanted(name.as_posix()):
                continue
            try:
                data = file.read_bytes()
            except FileNotFoundError:  # a checkpoint that made way for a newer one: leave out all of it
                gone.add(name.parent)
                continue
            found[name] = hashlib.sha256(data).hexdigest()
            if found[name] not in sent:
                self._write(f"{self._root}/{key}/{found[name]}", data)
                sent.add(found[name])
        yield from ((name.as_posix(), digest) for name, digest in found.items() if name.parent not in gone)

    def _download(self, key: str, files: Mapping[str, str], directory: Path, stage: Path) -> None:
        changed = {}
        for name, expected in files.items():
            local = directory / name
            if local.is_file() and digest(local) == expected:
                continue
            with self._errors((FileNotFoundError,)):
                data = self._files.cat_file(f"{self._root}/{key}/{expected}")
            if hashlib.sha256(data).hexdigest() != expected:
                raise ValueError(f"store {self.url}: {key}, {name}: changed since it was written (SHA-256 differs)")
            changed[name] = data
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).write_bytes(data)
        for folder in sorted(stage.rglob("checkpoints/*")):
            target = directory / folder.relative_to(stage)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(target)
        for name in sorted(changed, key=lambda name: (PurePosixPath(name).name == "done.json", name)):
            if (stage / name).exists():
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                (stage / name).replace(directory / name)

    def _write(self, place: str, data: bytes) -> None:
        with self._files.transaction, self._files.open(place, "wb") as file:
            file.write(data)

    @contextmanager
    def _errors(self, kept: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Drivers raise what they like; say it in one line, but for the ``kept``."""
        try:
            yield
        except kept:
            raise
        except ValueError as error:
            raise ValueError(
                f"store {self.url}: {_line(error)}; accepted: an fsspec URL, e.g. s3://BUCKET/FOLDER"
            ) from None
        except Exception as error:
            raise ValueError(f"store {self.url}: {_line(error)}") from None


def _line(error: Any) -> str:
    return f"{' '.join(str(error).split()) or type(error).__name__:.200}"


def _harmless(name: Any) -> bool:
    """Whether the path stays inside the directory it is fetched to."""
    return isinstance(name, str) and not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
