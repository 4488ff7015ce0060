"""The sole importer of MMPose: the parts that it lacks, and training through MMEngine's Runner."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stdout
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from vision.decoding import soft_argmax, soft_argmax_of_axes
from vision.keypoints import Keypoints
from vision.pose_config import FitConfig
from vision.pose_networks import SIMCC_BETA, SPLIT, STRIDE, network, simcc_window
from vision.pose_runner import runner_config
from vision.stand_ins import openmmlab
from vision.weights import load_weights, read_checkpoint, read_tensors, with_arrays

with openmmlab():
    import mmengine.device.utils
    import mmpose.datasets.transforms  # registers what the configuration names
    import mmpose.models  # noqa: F401
    from mmcv.transforms import BaseTransform
    from mmengine.config import Config
    from mmengine.evaluator import BaseMetric
    from mmengine.hooks import Hook
    from mmengine.optim import OptimWrapper
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner
    from mmpose.codecs import MSRAHeatmap, SimCCLabel
    from mmpose.models.heads import RTMCCHead
    from mmpose.registry import KEYPOINT_CODECS, METRICS, MODELS, OPTIM_WRAPPERS, TRANSFORMS

VALIDATION = "validation.jsonl"
"""One line for each validation: epoch, seconds since the start or the resumption, errors in px."""

Watch = Callable[[int, int, float, float], None]
"""Called after each update with updates done, updates in all, images per second, and the last median error on
validation, px (NaN before the first)."""


@TRANSFORMS.register_module()
class Warp(BaseTransform):
    """Resize to the network's input, in training turned, scaled and shifted, in one interpolation.

    Pixels have their centres at whole numbers before and after, so that no half pixel is lost.
    """

    def __init__(self, size: int, rotation: float = 0.0, scale: float = 0.0, shift: float = 0.0, seed: int = 0) -> None:
        self.size, self.rotation, self.scale, self.shift = size, rotation, scale, shift
        self._rng = np.random.default_rng(seed)  # of the loader's one process

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img`` and the keypoints."""
        image = results["img"]
        height, width = image.shape[:2]
        draw = self._rng.uniform
        angle = np.radians(draw(-self.rotation, self.rotation))
        factor = draw(1 - self.scale, 1 + self.scale) * self.size / height
        turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        shift = draw(-self.shift, self.shift, 2) * self.size
        offset = (self.size - 1) / 2 + shift - turn @ middle
        matrix = np.column_stack((turn, offset))
        results["img"] = cv2.warpAffine(
            image, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        points = results["keypoints"] @ turn.T + offset
        inside = ((points > -0.5) & (points < self.size - 0.5)).all(axis=-1)
        results["transformed_keypoints"] = points.astype(np.float32)
        results["keypoints_visible"] = results["keypoints_visible"] * inside
        results["input_size"] = (self.size, self.size)
        # MMPose maps predictions back by k / input_size * scale + center - scale / 2.
        results["input_scale"] = np.array([width, height], np.float32)
        results["input_center"] = np.array([width, height]) / 2 + 0.5 * width / self.size - 0.5
        return results


@KEYPOINT_CODECS.register_module()
class SoftArgmax(MSRAHeatmap):
    """Gaussian targets; decoded by :func:`vision.decoding.soft_argmax`."""

    def decode(self, encoded: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Keypoints ``(1, k, 2)`` in input pixels, and confidences ``(1, k)``."""
        points, scores = soft_argmax(torch.from_numpy(encoded)[None])
        return STRIDE * np.asarray(points, np.float64), np.asarray(scores, np.float64)


@KEYPOINT_CODECS.register_module()
class SoftSimCC(SimCCLabel):
    """RTMPose's targets along each axis; decoded by :func:`vision.decoding.soft_argmax_of_axes`."""

    def decode(
        self, simcc_x: npt.NDArray[np.float32], simcc_y: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Keypoints ``(n, k, 2)`` in input pixels, and confidences ``(n, k)``."""
        across, down = (SIMCC_BETA * torch.from_numpy(np.atleast_3d(logits)) for logits in (simcc_x, simcc_y))
        points, scores = soft_argmax_of_axes(across, down, simcc_window(self.sigma[0]))
        return points.double().numpy() / SPLIT, scores.double().numpy()


@MODELS.register_module()
class Float32RTMCCHead(RTMCCHead):
    """RTMPose's head with answers in float32: MMPose measures its accuracy in NumPy, which has no bfloat16."""

    def forward(self, feats: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits along x and along y, ``(n, k, bins)`` each."""
        across, down = super().forward(feats)
        return across.float(), down.float()


@MODELS.register_module()
class SpatialSoftmaxLoss(torch.nn.Module):
    """Of heatmap logits: cross-entropy to a Gaussian around the keypoint, plus the decoded point's distance in cells.

    The second term alone would leave the heatmap's shape free; the two together are those of DSNT
    (https://arxiv.org/abs/1801.07372), with the cross-entropy as the regulariser.
    """

    def forward(self, logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Mean over the keypoints that are inside the image."""
        goal = target.flatten(2)
        goal = goal / goal.sum(dim=2, keepdim=True).clamp_min(1e-9)
        loss = -(goal * logits.float().flatten(2).log_softmax(dim=2)).sum(dim=2)
        found, _ = soft_argmax(logits)
        true, _ = soft_argmax(target.clamp_min(1e-9).log())
        loss = loss + (found - true).abs().sum(dim=2)
        return (loss * weights).sum() / weights.sum().clamp_min(1)


@METRICS.register_module()
class PixelError(BaseMetric):
    """Distance between predicted and true keypoints, in pixels of the original image."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        """Collect one batch."""
        for sample in data_samples:
            truth, visible = sample["gt_instances"]["keypoints"], sample["gt_instances"]["keypoints_visible"]
            error = np.linalg.norm(sample["pred_instances"]["keypoints"] - truth, axis=-1)
            self.results.append(error[visible > 0])

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Mean, median and 95th percentile."""
        errors = np.concatenate(results)
        return {
            "mean": float(errors.mean()),
            "median": float(np.median(errors)),
            "p95": float(np.percentile(errors, 95)),
        }


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """MMEngine's own wrapper for mixed precision works on accelerators only."""

    def optim_context(self, model: torch.nn.Module) -> AbstractContextManager[Any]:
        """The forward pass in bfloat16."""
        return torch.autocast("cpu", torch.bfloat16)


class StartingWeights(Hook):
    """Puts weights in place of the random ones, which MMEngine draws when the training begins."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def before_train(self, runner: Any) -> None:
        """Once, before the first update."""
        load_weights(runner.model, self._file)


class Progress(Hook):
    """Reports to a :data:`Watch`, ends a training that diverged, and keeps checkpoints free of Python objects."""

    def __init__(self, watch: Watch | None) -> None:
        self._watch, self._median, self._started = watch, float("nan"), time.monotonic()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """After each update."""
        loss = float(outputs["loss"])
        if not np.isfinite(loss):
            raise RuntimeError(f"training diverged in epoch {runner.epoch + 1}; try a lower learning_rate")
        if self._watch is not None:
            seconds = runner.message_hub.get_scalar("train/time").mean(20)
            speed = runner.train_dataloader.batch_size / max(seconds, 1e-9)
            self._watch(runner.iter + 1, runner.max_iters, speed, self._median)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Leave out what torch would not read back without running it."""
        checkpoint["meta"].pop("dataset_meta", None)
        kept = checkpoint["message_hub"]["runtime_info"].items()
        plain = {key: value for key, value in kept if isinstance(value, str | int | float)}
        checkpoint["message_hub"].update(log_scalars={}, resumed_keys={}, runtime_info=plain)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """After each validation: its errors go to ``validation.jsonl``."""
        found = {name: round(value, 4) for name, value in (metrics or {}).items() if name in ("mean", "median", "p95")}
        self._median = found["median"]
        row = {"epoch": runner.epoch, "seconds": round(time.monotonic() - self._started), **found}
        with (Path(runner.work_dir) / VALIDATION).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def train(
    config: FitConfig,
    dataset: Path,
    keypoints: Keypoints,
    figure: str,
    directory: Path,
    threads: int,
    watch: Watch | None = None,
) -> torch.nn.Module:
    """Train, or go on where the last checkpoint in ``directory`` is.

    Returns:
        The last network; see :func:`best` for the best.

    Raises:
        ValueError: the weights to start from cannot be used, or there is no CUDA device.
        RuntimeError: the training diverged.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but torch sees no CUDA device; accepted here: cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    mmengine.device.utils.DEVICE = config.device  # MMEngine takes a GPU whenever there is one
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with openmmlab(), (directory / "log.txt").open("a", encoding="utf-8") as log, redirect_stdout(log):
            settings = runner_config(config, dataset, keypoints, figure, directory)
            # Its text goes into every checkpoint, and making that pretty takes more than a second.
            runner = Runner.from_cfg(Config(settings, format_python_code=False))
            runner.register_hook(Progress(watch), priority="LOW")
            # Half again as fast on the CPU.
            runner.model.to(memory_format=torch.channels_last)
            last = _last_checkpoint(directory)
            if last is not None:
                runner._load_from, runner._resume = str(last), True
            elif config.weights:
                runner.register_hook(StartingWeights(Path(config.weights)))
            try:
                with with_arrays():
                    network: torch.nn.Module = runner.train()
            finally:
                _end_loaders(runner)
            return network
    finally:
        torch.set_num_threads(before)


def _end_loaders(runner: Runner) -> None:
    """End the loaders' processes; for those that are left to the garbage collector torch waits 5 s each, in vain."""
    for loop in (runner._train_loop, runner._val_loop):
        if not isinstance(loop, dict):  # it was built
            loop.dataloader._iterator = None


def _last_checkpoint(directory: Path) -> Path | None:
    """The newest that can be read: a process that was killed may leave half of one."""
    epochs = {int(file.stem.removeprefix("epoch_")): file for file in directory.glob("epoch_*.pth")}
    for _, file in sorted(epochs.items(), reverse=True):
        try:
            content = read_checkpoint(file)
        except ValueError:
            continue
        # MMEngine would run a configuration that it finds there; ours holds none.
        if "config" not in content.get("meta", {"config"}):
            return file
    return None


def best(config: FitConfig, keypoints: Keypoints, directory: Path) -> torch.nn.Module:
    """The network with the smallest median error on validation."""
    # A process that was killed may leave an older one beside it.
    file = max(directory.glob("best_median_epoch_*.pth"), key=lambda path: path.stat().st_mtime_ns)
    model = build(config, keypoints)
    model.load_state_dict(read_tensors(file))
    return model


def build(config: FitConfig, keypoints: Keypoints) -> torch.nn.Module:
    """The network, with random weights of torch's global generator."""
    with openmmlab():
        init_default_scope("mmpose")
        model: torch.nn.Module = MODELS.build(network(config.model, config.input_size, len(keypoints.names)))
    return model.eval()
