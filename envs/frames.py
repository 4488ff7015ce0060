"""Frames of many simulations at once, drawn by worker processes with an OpenGL context each."""

import numpy as np

from envs.cores import cores
from envs.film import Film, Image, Shot
from envs.frame_worker import Studio, Worker


class Frames:
    """Draws what simulations look like, fast: without multisampling, shadows and reflections.

    Simulation ``i`` is drawn by worker ``i`` modulo ``workers``; with one worker, here and now.
    """

    def __init__(self, film: Film, workers: int = 1) -> None:
        """``workers`` is how many processes draw, 0 for one a core."""
        self.film = film
        self._count = min(workers or cores(), film.num_envs)
        self._studio: Studio | None = None
        self._workers: list[Worker] = []

    def _open(self) -> None:
        """When the first frame is asked for: who asks only for an environment's spaces needs no OpenGL."""
        if self._count == 1:
            self._studio = Studio(self.film)
            return
        try:
            for _ in range(self._count):
                self._workers.append(Worker(self.film))
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
