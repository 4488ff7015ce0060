"""What MMEngine's Runner is told: data, network, optimiser and schedule, as plain data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vision.keypoints import Keypoints
from vision.pose_config import FitConfig
from vision.pose_networks import codec, network


def _one_cycle(config: FitConfig) -> list[dict[str, Any]]:
    # MMEngine's own OneCycleLR keeps a Python function in its checkpoints.
    warm = round(config.epochs / 10)
    up = {"type": "LinearLR", "start_factor": 0.04, "begin": 0, "end": warm, "convert_to_iter_based": True}
    down = {"type": "CosineAnnealingLR", "T_max": config.epochs - warm, "begin": warm, "end": config.epochs}
    return [*([up] if warm else []), {**down, "eta_min": 0.0, "convert_to_iter_based": True}]


def _steps(config: FitConfig) -> list[dict[str, Any]]:
    # The original study: 210 epochs, drops after 170 and 200.
    drops = [round(config.epochs * after / 210) for after in (170, 200)]
    return [{"type": "MultiStepLR", "milestones": drops, "gamma": 0.1}]


SCHEDULES: dict[str, Callable[[FitConfig], list[dict[str, Any]]]] = {"one-cycle": _one_cycle, "steps": _steps}


def runner_config(
    config: FitConfig, dataset: Path, keypoints: Keypoints, figure: str, directory: Path
) -> dict[str, Any]:
    """Everything but the starting weights and the progress."""
    mixed = "Bfloat16OptimWrapper" if config.device == "cpu" else "AmpOptimWrapper"
    augmentation = {"rotation": config.rotation, "scale": config.scale, "shift": config.shift, "seed": config.seed}
    meta = _meta(keypoints, figure)
    return {
        "default_scope": "mmpose",
        "work_dir": str(directory),
        "model": network(config.model, config.input_size, len(keypoints.names)),
        "train_dataloader": _loader(config, dataset, meta, "train", augmentation),
        "val_dataloader": _loader(config, dataset, meta, "val", {}),
        "val_evaluator": {"type": "PixelError"},
        "train_cfg": {"by_epoch": True, "max_epochs": config.epochs, "val_interval": max(1, config.epochs // 6)},
        "val_cfg": {},
        "optim_wrapper": {
            "type": mixed if config.mixed_precision else "OptimWrapper",
            "optimizer": {"type": "AdamW", "lr": config.learning_rate, "weight_decay": 1e-4},
            "clip_grad": {"max_norm": 1.0},
        },
        "param_scheduler": SCHEDULES[config.schedule](config),
        "default_hooks": {
            # Two: MMEngine removes the oldest before it writes the next.
            "checkpoint": {
                "type": "CheckpointHook",
                "interval": 1,
                "save_best": "median",
                "rule": "less",
                "max_keep_ckpts": 2,
            },
            "logger": {"type": "LoggerHook", "interval": 50},
        },
        "visualizer": {"type": "Visualizer", "vis_backends": [{"type": "TensorboardVisBackend"}]},
        "env_cfg": {"mp_cfg": {"opencv_num_threads": 0}},
        "randomness": {"seed": config.seed},
        "log_level": "ERROR",
    }


def _loader(
    config: FitConfig, dataset: Path, meta: dict[str, Any], split: str, augmentation: dict[str, Any]
) -> dict[str, Any]:
    training = split == "train"
    return {
        "batch_size": config.batch_size,
        "num_workers": 1,
        # Forked from here, it would share the locks of threads that are not there: OpenVINO's, OpenGL's.
        "multiprocessing_context": "forkserver",
        "persistent_workers": True,
        "drop_last": training,
        "sampler": {"type": "DefaultSampler", "shuffle": training},
        "dataset": {
            "type": "BaseCocoStyleDataset",
            "data_root": str(dataset),
            "ann_file": f"annotations/{split}.json",
            "data_prefix": {"img": ""},
            "data_mode": "topdown",
            "metainfo": meta,
            "pipeline": [
                {"type": "LoadImage"},
                {"type": "Warp", "size": config.input_size, **augmentation},
                {"type": "GenerateTarget", "encoder": codec(config.model, config.input_size)},
                {"type": "PackPoseInputs"},
            ],
        },
    }


def _meta(keypoints: Keypoints, figure: str) -> dict[str, Any]:
    """MMPose's description of a dataset; the colours are for drawings that nobody makes."""
    names, colour = keypoints.names, [0, 158, 115]
    return {
        "dataset_name": figure,
        "paper_info": {},
        "keypoint_info": {
            i: {"name": name, "id": i, "color": colour, "type": "", "swap": ""} for i, name in enumerate(names)
        },
        "skeleton_info": {
            i: {"link": (names[a], names[b]), "id": i, "color": colour} for i, (a, b) in enumerate(keypoints.skeleton)
        },
        "joint_weights": [1.0] * len(names),
        "sigmas": list(keypoints.sigmas),
    }
