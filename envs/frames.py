"""Frames of many simulations at once, drawn by worker processes with an OpenGL context each."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import cv2
import mujoco
import numpy as np
import numpy.typing as npt

from envs.cores import cores
from envs.render import Camera, Looks, Renderer, check_size
from envs.task import Array

Image = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Shot:
    """What the frames of ``m`` simulations show."""

    ids: Ids
    """Which simulations, ``(m,)``."""
    qpos: Array
    """Positions, ``(m, nq)``."""
    masses: Array
    """Of the bodies, kg, ``(m, nbody)``: a camera may follow the centre of mass."""
    episodes: npt.NDArray[np.int64]
    """Which episode of its simulation each belongs to, ``(m,)``: looks change with them."""
    watched: npt.NDArray[np.bool_] | None = None
    """Whether anybody looks at each, ``(m,)``; None: at all of them. The others' frames are black."""

    @property
    def rows(self) -> Ids:
        """Those that are looked at."""
        return np.arange(len(self.ids)) if self.watched is None else np.flatnonzero(self.watched)


@dataclass(frozen=True)
class Film:
    """How frames are taken.

    Raises:
        ValueError: the model has no such camera, or the size is impossible.
    """

    model: mujoco.MjModel
    num_envs: int
    camera: str
    size: int
    """Edge of a frame, px."""
    gray: bool = False
    """One channel, the luminance, instead of red, green and blue."""
    looks: tuple[Looks, Path] | None = None
    """How everything looks, and the MJCF file of the model, which room for that is made in."""

    def __post_init__(self) -> None:
        Camera(self.model, self.camera)
        check_size(self.size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one frame."""
        return self.size, self.size, 1 if self.gray else 3


class Frames:
    """Draws what simulations look like, fast: without multisampling, shadows and reflections.

    Simulation ``i`` is drawn by worker ``i`` modulo ``workers``; with one worker, here and now.
    """

    def __init__(self, film: Film, workers: int = 1) -> None:
        """``workers`` is how many processes draw, 0 for one a core."""
        self.film = film
        self._count = min(workers or cores(), film.num_envs)
        self._studio: _Studio | None = None
        self._workers: list[_Worker] = []

    def _open(self) -> None:
        """When the first frame is asked for: who asks only for an environment's spaces needs no OpenGL."""
        if self._count == 1:
            self._studio = _Studio(self.film)
            return
        try:
            for _ in range(self._count):
                self._workers.append(_Worker(self.film))
            for worker in self._workers:
                worker.wait()
        except BaseException:
            self.close()
            raise

    def draw(self, shot: Shot) -> Image:
        """Frames ``(m, size, size, 1 or 3)`` of a shot.

        Raises:
            RuntimeError: no OpenGL context can be made on this machine, or a worker has died.
            ValueError: the film's looks do not serve.
        """
        if self._studio is None and not self._workers:
            self._open()
        frames = np.zeros((len(shot.ids), *self.film.shape), np.uint8)
        if self._studio is not None:
            for k in shot.rows:
                frames[k] = self._studio.draw(shot.qpos[k], shot.masses[k], int(shot.ids[k]), int(shot.episodes[k]))
            return frames
        workers = shot.ids[shot.rows] % len(self._workers)
        rows = [shot.rows[workers == w] for w in range(len(self._workers))]
        for worker, mine in zip(self._workers, rows, strict=True):
            worker.ask(shot, mine)
        for worker, mine in zip(self._workers, rows, strict=True):
            if len(mine):
                worker.wait()
                frames[mine] = worker.frames[: len(mine)]
        return frames

    def close(self) -> None:
        """End the workers and free the OpenGL contexts."""
        if self._studio is not None:
            self._studio.close()
        for worker in self._workers:
            worker.close()
        self._studio, self._workers = None, []


class _Studio:
    """Draws a film's frames one after the other."""

    def __init__(self, film: Film) -> None:
        self._film = film
        model = film.model
        if film.looks:
            looks, xml = film.looks
            model = looks.furnish(model, film.num_envs, xml)
        self._renderer = Renderer(model, film.camera, film.size, fast=True)
        self._model = self._renderer.model  # a copy of its own: masses change from frame to frame
        self._data = mujoco.MjData(self._model)

    def draw(self, qpos: Array, masses: Array, env: int, episode: int) -> Image:
        model, data = self._model, self._data
        if not np.array_equal(model.body_mass, masses):
            model.body_mass[:] = masses
            mujoco.mj_setConst(model, data)
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        frame = self._renderer.draw(data, (self._film.looks[0], env, episode) if self._film.looks else None)
        if self._film.gray:
            return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)[..., None]
        return frame

    def close(self) -> None:
        self._renderer.close()


class _Worker:
    """A process that draws; requests and frames go through shared memory."""

    def __init__(self, film: Film) -> None:
        self._memory = [SharedMemory(create=True, size=size) for size in _sizes(film)]
        self._requests, self.frames = _arrays(film, self._memory)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        names = [memory.name for memory in self._memory]
        self._process = context.Process(target=_work, args=(theirs, film, names), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, shot: Shot, rows: npt.NDArray[np.intp]) -> None:
        """Ask for the frames of some rows of a shot; :meth:`wait` before looking at them."""
        if not len(rows):
            return
        order = (shot.qpos[rows], shot.masses[rows], shot.ids[rows, None], shot.episodes[rows, None])
        self._requests[: len(rows)] = np.concatenate(order, axis=1)
        with contextlib.suppress(BrokenPipeError):  # wait() tells
            self._pipe.send(len(rows))

    def wait(self) -> None:
        """Until what was asked for is there.

        Raises:
            RuntimeError: the worker has no OpenGL context, or it has died.
            ValueError: the film's looks do not serve.
        """
        try:
            error = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise RuntimeError(f"a rendering process has died (exit status {self._process.exitcode})") from None
        if error is not None:
            raise error

    def close(self) -> None:
        self._pipe.close()
        self._process.join()
        del self._requests, self.frames
        for memory in self._memory:
            memory.close()
            memory.unlink()


def _sizes(film: Film) -> tuple[int, int]:
    """Bytes of a worker's requests and of its frames."""
    return film.num_envs * _request(film) * 8, film.num_envs * int(np.prod(film.shape))


def _request(film: Film) -> int:
    """Numbers that ask for a frame: positions, masses, environment, episode."""
    return int(film.model.nq) + int(film.model.nbody) + 2


def _arrays(film: Film, memory: Sequence[SharedMemory]) -> tuple[Array, Image]:
    """Requests and frames, a row each, in shared memory."""
    requests: Array = np.ndarray((film.num_envs, _request(film)), np.float64, memory[0].buf)
    frames: Image = np.ndarray((film.num_envs, *film.shape), np.uint8, memory[1].buf)
    return requests, frames


def _work(pipe: Connection, film: Film, names: list[str]) -> None:
    """What a worker does, until the other end of the pipe is closed."""
    os.environ["LP_NUM_THREADS"] = "1"  # of Mesa's software renderer, which would take all cores for each worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches everybody; the parent says when to end
    try:
        studio = _Studio(film)
    except (RuntimeError, ValueError) as error:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # another worker may have told already
            pipe.send(error)
        return
    memory = [SharedMemory(name) for name in names]
    requests, frames = _arrays(film, memory)
    nq = film.model.nq
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(None)
        while True:
            asked: Any = pipe.recv()
            for k in range(asked):
                env, episode = requests[k, -2:].astype(int)
                frames[k] = studio.draw(requests[k, :nq], requests[k, nq:-2], int(env), int(episode))
            pipe.send(None)
    del requests, frames
    for part in memory:
        part.close()
    studio.close()
