"""Who draws frames: a studio with an OpenGL context, here or in a process of its own."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import cv2
import mujoco
import numpy as np
import numpy.typing as npt

from envs.film import Film, Image, Shot
from envs.render import Renderer
from envs.task import Array


class Studio:
    """Draws a film's frames one after the other."""

    def __init__(self, film: Film) -> None:
        """Open an OpenGL context.

        Raises:
            RuntimeError: none can be made on this machine.
            ValueError: the film's looks do not serve.
        """
        self._film = film
        model = film.model
        if film.looks:
            looks, xml = film.looks
            model = looks.furnish(model, film.num_envs, xml)
        self._renderer = Renderer(model, film.camera, film.size, fast=True)
        self._model = self._renderer.model  # a copy of its own: masses change from frame to frame
        self._data = mujoco.MjData(self._model)

    def draw(self, qpos: Array, masses: Array, env: int, episode: int) -> Image:
        """The frame of one simulation: positions ``(nq,)``, masses of its bodies, and whose looks it has."""
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
        """Free the OpenGL context."""
        self._renderer.close()


class Worker:
    """A process that draws; requests and frames go through shared memory."""

    def __init__(self, film: Film) -> None:
        """Start it; :meth:`wait` until it is ready."""
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
        """End the process and free the memory."""
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
        studio = Studio(film)
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
