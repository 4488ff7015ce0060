"""The sole importer of MMPose: networks, data pipeline and training through MMEngine's Runner."""

import importlib.util
import sys
import types
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch


def _stand_in(name: str, needs: str = "", **attributes: Any) -> None:
    """Register an empty module for one that MMPose imports and that nothing here uses, unless it is installed.

    ``needs`` names the module whose absence makes the other useless; the module itself if empty.
    """
    try:
        if importlib.util.find_spec(needs or name) is not None:
            return
    except ModuleNotFoundError:  # its parent is not installed either
        pass
    module = types.ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module


class _Absent:
    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError(
            "this part of MMPose needs packages that simgap does not install: mmcv with ops, mmdet, torchvision"
        )


# MMPose imports these for networks that are not ours.
_stand_in("mmcv.ops", needs="mmcv._ext", MultiScaleDeformableAttention=_Absent)
_stand_in("mmdet")
_stand_in("mmdet.utils", ConfigType=dict, reduce_mean=_Absent)
_stand_in("torchvision", __version__="absent")
_stand_in("torchvision.transforms", ToPILImage=_Absent)

import mmpose.datasets.transforms  # noqa: E402  # registers what the configuration names
import mmpose.models  # noqa: E402, F401
from mmcv.transforms import BaseTransform  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.evaluator import BaseMetric  # noqa: E402
from mmengine.optim import OptimWrapper  # noqa: E402
from mmengine.runner import Runner  # noqa: E402
from mmpose.codecs import MSRAHeatmap  # noqa: E402
from mmpose.registry import KEYPOINT_CODECS, METRICS, MODELS, OPTIM_WRAPPERS, TRANSFORMS  # noqa: E402

from vision.keypoints import Keypoints  # noqa: E402
from vision.pose_config import FitConfig  # noqa: E402

STRIDE = 4
"""Pixels of the input per cell of a heatmap."""
SIGMA = 1.5
"""Of a heatmap's Gaussian, cells."""
WINDOW = 3
"""Cells on each side of the peak that the decoding averages."""


@TRANSFORMS.register_module()
class Warp(BaseTransform):
    """Resize to the network's input, in training turned, scaled and shifted, in one interpolation.

    Pixels have their centres at whole numbers before and after, so that no half pixel is lost.
    """

    def __init__(self, size: int, rotation: float = 0.0, scale: float = 0.0, shift: float = 0.0) -> None:
        self.size, self.rotation, self.scale, self.shift = size, rotation, scale, shift

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img`` and the keypoints."""
        image = results["img"]
        height, width = image.shape[:2]
        draw = np.random.uniform  # MMEngine seeds NumPy's global generator in each loader process
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
    """Gaussian targets; a prediction is the mean position around the peak of the spatial softmax."""

    def decode(self, encoded: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Keypoints ``(1, k, 2)`` in input pixels, and the probability in the window ``(1, k)``."""
        points, scores = soft_argmax(torch.from_numpy(encoded)[None])
        return points.double().numpy() * STRIDE, scores.double().numpy()


def soft_argmax(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells ``(n, k, 2)`` and scores ``(n, k)`` of heatmap logits ``(n, k, h, w)``."""
    n, k, h, w = logits.shape
    probability = logits.float().flatten(2).softmax(dim=2)
    peak = probability.argmax(dim=2)
    x, y = (torch.arange(size, dtype=torch.float32) for size in (w, h))
    near_x = ((x - (peak % w)[..., None]).abs() <= WINDOW).float()
    near_y = ((y - (peak // w)[..., None]).abs() <= WINDOW).float()
    mass = probability.view(n, k, h, w) * near_y[..., None] * near_x[..., None, :]
    score = mass.sum(dim=(2, 3))
    points = torch.stack(((mass.sum(dim=2) * x).sum(dim=2), (mass.sum(dim=3) * y).sum(dim=2)), dim=2)
    return points / score[..., None], score


@MODELS.register_module()
class SpatialCrossEntropy(torch.nn.Module):
    """Cross-entropy between the softmax over a heatmap's cells and a Gaussian around the keypoint."""

    def forward(self, logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Mean over the keypoints that are inside the image."""
        goal = target.flatten(2)
        goal = goal / goal.sum(dim=2, keepdim=True).clamp_min(1e-9)
        loss = -(goal * logits.float().flatten(2).log_softmax(dim=2)).sum(dim=2)
        return (loss * weights).sum() / weights.sum().clamp_min(1)


@METRICS.register_module()
class PixelError(BaseMetric):
    """Median distance between predicted and true keypoints, in pixels of the original image."""

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

    def optim_context(self, model: torch.nn.Module) -> AbstractContextManager[Any]:  # type: ignore[override]
        """The forward pass in bfloat16."""
        return torch.autocast("cpu", torch.bfloat16)


def _hrnet() -> tuple[dict[str, Any], int]:
    """A small high-resolution network of 1.3 M parameters, and the channels of its finest branch."""

    def stage(*channels: int) -> dict[str, Any]:
        branches = len(channels)
        return {
            "num_modules": 1,
            "num_branches": branches,
            "block": "BASIC",
            "num_blocks": (2,) * branches,
            "num_channels": channels,
        }

    extra = {
        "stage1": stage(32),
        "stage2": stage(16, 32),
        "stage3": stage(16, 32, 64),
        "stage4": stage(16, 32, 64, 128),
    }
    return {"type": "HRNet", "in_channels": 3, "extra": extra}, 16


def runner_config(config: FitConfig, dataset: Path, keypoints: Keypoints, figure: str, directory: Path) -> Config:
    """Everything that MMEngine's Runner needs."""
    size, cells = config.input_size, config.input_size // STRIDE
    codec = {"type": "SoftArgmax", "input_size": (size, size), "heatmap_size": (cells, cells), "sigma": SIGMA}
    backbone, channels = _hrnet()
    meta = {
        "dataset_name": figure,
        "paper_info": {},
        "keypoint_info": {
            i: {"name": name, "id": i, "color": [0, 158, 115], "type": "", "swap": ""}
            for i, name in enumerate(keypoints.names)
        },
        "skeleton_info": {
            i: {"link": (keypoints.names[a], keypoints.names[b]), "id": i, "color": [255, 255, 255]}
            for i, (a, b) in enumerate(keypoints.skeleton)
        },
        "joint_weights": [1.0] * len(keypoints.names),
        "sigmas": list(keypoints.sigmas),
    }

    def loader(split: str, augment: dict[str, float], shuffle: bool) -> dict[str, Any]:
        pipeline = [
            {"type": "LoadImage"},
            {"type": "Warp", "size": size, **augment},
            {"type": "GenerateTarget", "encoder": codec},
            {"type": "PackPoseInputs"},
        ]
        return {
            "batch_size": config.batch_size,
            "num_workers": 1,
            "persistent_workers": True,
            "drop_last": shuffle,
            "sampler": {"type": "DefaultSampler", "shuffle": shuffle},
            "dataset": {
                "type": "BaseCocoStyleDataset",
                "data_root": str(dataset),
                "ann_file": f"annotations/{split}.json",
                "data_prefix": {"img": ""},
                "data_mode": "topdown",
                "metainfo": meta,
                "pipeline": pipeline,
            },
        }

    augmentation = {"rotation": config.rotation, "scale": config.scale, "shift": config.shift}
    mixed = {"type": "Bfloat16OptimWrapper"} if config.device == "cpu" else {"type": "AmpOptimWrapper"}
    return Config(
        {
            "default_scope": "mmpose",
            "work_dir": str(directory),
            "model": {
                "type": "TopdownPoseEstimator",
                "data_preprocessor": {
                    "type": "PoseDataPreprocessor",
                    "mean": [123.675, 116.28, 103.53],
                    "std": [58.395, 57.12, 57.375],
                    "bgr_to_rgb": True,
                },
                "backbone": backbone,
                "head": {
                    "type": "HeatmapHead",
                    "in_channels": channels,
                    "out_channels": len(keypoints.names),
                    "deconv_out_channels": None,
                    "loss": {"type": "SpatialCrossEntropy"},
                    "decoder": codec,
                },
                "train_cfg": {"compute_acc": False},
                "test_cfg": {"flip_test": False},
            },
            "train_dataloader": loader("train", augmentation, shuffle=True),
            "val_dataloader": loader("val", {}, shuffle=False),
            "val_evaluator": {"type": "PixelError"},
            "train_cfg": {"by_epoch": True, "max_epochs": config.epochs, "val_interval": max(1, config.epochs // 5)},
            "val_cfg": {},
            "optim_wrapper": {
                **(mixed if config.mixed_precision else {"type": "OptimWrapper"}),
                "optimizer": {"type": "AdamW", "lr": config.learning_rate, "weight_decay": 1e-4},
                "clip_grad": {"max_norm": 1.0},
            },
            "param_scheduler": [
                {
                    "type": "OneCycleLR",
                    "eta_max": config.learning_rate,
                    "pct_start": 0.1,
                    "by_epoch": True,
                    "total_steps": config.epochs,
                    "convert_to_iter_based": True,
                }
            ],
            "default_hooks": {
                "checkpoint": {"type": "CheckpointHook", "save_best": "median", "rule": "less", "max_keep_ckpts": 1},
                "logger": {"type": "LoggerHook", "interval": 50},
            },
            "randomness": {"seed": config.seed},
            "load_from": config.weights or None,
            "log_level": "WARNING",
        }
    )


def train(config: FitConfig, dataset: Path, keypoints: Keypoints, figure: str, directory: Path) -> Any:
    """Train, and return the network."""
    runner = Runner.from_cfg(runner_config(config, dataset, keypoints, figure, directory))
    return runner.train()


class _Exported(torch.nn.Module):
    """The network with its normalisation before and its decoding behind."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.head
        self.register_buffer("mean", model.data_preprocessor.mean.view(1, 3, 1, 1))
        self.register_buffer("std", model.data_preprocessor.std.view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """RGB ``(n, h, w, 3)`` uint8 to pixels ``(n, k, 2)`` and scores ``(n, k)``."""
        pixels = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        points, scores = soft_argmax(self.head(self.backbone(pixels)))
        return points * STRIDE, scores


def export(model: Any, size: int, file: Path) -> None:
    """Write the network as ONNX, for :class:`vision.runtime.PoseRuntime`."""
    exported = _Exported(model.cpu()).eval()
    images = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    torch.onnx.export(
        exported,
        (images,),
        str(file),
        input_names=["images"],
        output_names=["keypoints", "scores"],
        dynamic_axes={name: {0: "n"} for name in ("images", "keypoints", "scores")},
        opset_version=17,
        dynamo=False,
    )
