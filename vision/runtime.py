"""Running an exported keypoint estimator: pixels in, keypoints out, on the CPU with as many threads as are given."""

import functools
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}

PART = 4
"""Images that a core works on at a time at most: more do not fit its caches."""
FAINT = 0.4
"""Confidence below which a keypoint counts as not seen. The shipped estimator's is 0.14 to 0.33 in plain pictures and
on an empty floor, and 0.50 or more for every keypoint of its dataset's test images, hidden ones too."""


class PoseRuntime:
    """An estimator exported by ``simgap fit-pose``; the network's input and output arithmetic is in the file."""

    def __init__(self, file: Path, threads: int = 1, precision: str = "float32") -> None:
        """``precision`` is float32, or bfloat16, which is faster where the processor has it.

        Raises:
            ValueError: no readable estimator, an unknown precision, or a thread count below 1.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; accepted: {', '.join(PRECISIONS)}")
        if threads < 1:
            raise ValueError(f"threads is {threads}; it must be 1 or more")
        core = _core()
        try:
            model = core.read_model(str(file))
        except RuntimeError:
            raise ValueError(f"{file}: not a readable ONNX file; accepted: an estimator exported by simgap") from None
        shape = model.input(0).partial_shape
        if len(model.inputs) != 1 or len(model.outputs) != 2 or len(shape) != 4 or shape[3].get_length() != 3:
            raise ValueError(f"{file}: not a keypoint estimator; accepted: one exported by simgap")
        self.size = int(shape[1].get_length())
        """Edge of the images that it takes, pixels."""
        self.keypoints = int(model.output(1).partial_shape[1].get_length())
        """How many it finds."""
        settings: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        }
        # Many images: each core works on parts of its own, and has the next at hand. Fewer images than cores: all
        # cores work on all of them.
        parallel = core.compile_model(model, "CPU", {**settings, "NUM_STREAMS": threads})
        self._threads = threads
        self._requests = [parallel.create_infer_request() for _ in range(2 * threads)]
        self._whole = core.compile_model(model, "CPU", settings).create_infer_request()

    def __call__(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Pixels ``(n, k, 2)`` and confidences ``(n, k)`` from 0 to 1 of RGB images ``(n, size, size, 3)``.

        A confidence of 0 says that the keypoint is not there to be seen: where the network's own is below
        :data:`FAINT`, its place means nothing.

        Raises:
            ValueError: images of another shape or type, or the network answers with NaN.
        """
        wanted = (self.size, self.size, 3)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != wanted:
            raise ValueError(
                f"images are {images.shape} of {images.dtype}; accepted: (n, {self.size}, {self.size}, 3) of uint8"
            )
        points, scores = self._infer(np.ascontiguousarray(images))
        if not (np.isfinite(points).all() and np.isfinite(scores).all()):
            raise ValueError("the estimator answers with NaN: its weights are damaged or its training diverged")
        return points, np.where(scores < FAINT, 0.0, scores)

    def _infer(self, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        count = len(images)
        points, scores = np.empty((count, self.keypoints, 2)), np.empty((count, self.keypoints))

        def keep(request: openvino.InferRequest, start: int) -> None:
            request.wait()
            for array, output in zip((points, scores), request.output_tensors, strict=True):
                array[start : start + len(output.data)] = output.data

        few = count < self._threads
        requests = [self._whole] if few else self._requests
        part = count if few else min(PART, -(-count // self._threads))
        running: deque[tuple[openvino.InferRequest, int]] = deque()
        for number, start in enumerate(range(0, count, part)):
            if len(running) == len(requests):
                keep(*running.popleft())
            request = requests[number % len(requests)]
            request.start_async({0: images[start : start + part]})
            running.append((request, start))
        for request, start in running:
            keep(request, start)
        return points, scores


@functools.cache
def _core() -> openvino.Core:
    """The process's one Core: each gives the thread a signal stack, and when several are deleted in another order than
    the reverse of their making, the thread is left with one that was freed: the next Ctrl-C is a segmentation fault."""
    return openvino.Core()
