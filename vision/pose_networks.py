"""The networks to choose from, as MMPose's configuration: plain data."""

from typing import Any

STRIDE = 4
"""Pixels of the input per cell of a heatmap."""
SIGMA = 1.5
"""Of a heatmap's Gaussian, cells."""
SPLIT = 2.0
"""Bins per pixel of RTMPose's axes, as in its publication (https://arxiv.org/abs/2303.07399)."""
SIMCC_BETA = 10.0
"""RTMPose's factor between its logits and the softmax, ibid."""


def simcc_window(sigma: float) -> int:
    """Bins on each side of the peak that RTMPose's answers count in, by the ``sigma`` of its targets."""
    return round(3.5 * sigma)


def network(model: str, size: int, keypoints: int) -> dict[str, Any]:
    """MMPose's configuration of ``model`` for square inputs of ``size`` px and that many keypoints."""
    backbone, head = {"hrnet": _hrnet, "scnet50": _scnet50, "rtmpose-t": _rtmpose_t}[model](size, keypoints)
    return {
        "type": "TopdownPoseEstimator",
        "data_preprocessor": {
            "type": "PoseDataPreprocessor",
            "mean": [123.675, 116.28, 103.53],  # of ImageNet, as in every MMPose configuration
            "std": [58.395, 57.12, 57.375],
            "bgr_to_rgb": True,
        },
        "backbone": backbone,
        "head": head,
        "train_cfg": {"compute_acc": False},
        "test_cfg": {"flip_test": False},
    }


def codec(model: str, size: int) -> dict[str, Any]:
    """How keypoints become the network's target, and its answer keypoints."""
    if model == "rtmpose-t":
        sigma = 5.66 * (size / 256) ** 0.5  # RTMPose: 5.66 for 256 px, 4.9 for 192
        return {
            "type": "SoftSimCC",
            "input_size": (size, size),
            "sigma": sigma,
            "simcc_split_ratio": SPLIT,
            "normalize": False,
        }
    cells = size // STRIDE
    # Unbiased: the Gaussian stands on the keypoint. MMPose's other kind stands on the nearest cell, up to 2 px away.
    return {
        "type": "SoftArgmax",
        "input_size": (size, size),
        "heatmap_size": (cells, cells),
        "sigma": SIGMA,
        "unbiased": True,
    }


def _hrnet(size: int, keypoints: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """HRNet (https://arxiv.org/abs/1902.09212) with few channels: 1.3 M parameters."""

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
    head = _heatmap_head(16, size, keypoints, model="hrnet", deconvolutions=None)
    return {"type": "HRNet", "in_channels": 3, "extra": extra}, head


def _scnet50(size: int, keypoints: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The original study's network: 34 M parameters (SCNet, http://mftp.mmcheng.net/Papers/20cvprSCNet.pdf)."""
    head = _heatmap_head(2048, size, keypoints, model="scnet50", deconvolutions=(256, 256, 256))
    return {"type": "SCNet", "depth": 50}, head


def _heatmap_head(
    channels: int, size: int, keypoints: int, model: str, deconvolutions: tuple[int, ...] | None
) -> dict[str, Any]:
    head: dict[str, Any] = {
        "type": "HeatmapHead",
        "in_channels": channels,
        "out_channels": keypoints,
        "deconv_out_channels": deconvolutions,
        "loss": {"type": "SpatialSoftmaxLoss"},
        "decoder": codec(model, size),
    }
    if deconvolutions:
        head["deconv_kernel_sizes"] = (4,) * len(deconvolutions)
    return head


def _rtmpose_t(size: int, keypoints: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """RTMPose-t, 3.3 M parameters; it lives on pretrained weights."""
    backbone = {
        "type": "CSPNeXt",
        "arch": "P5",
        "expand_ratio": 0.5,
        "deepen_factor": 0.167,
        "widen_factor": 0.375,
        "out_indices": (4,),
        "channel_attention": True,
        "norm_cfg": {"type": "BN"},
        "act_cfg": {"type": "SiLU", "inplace": True},
    }
    head = {
        "type": "Float32RTMCCHead",
        "in_channels": 384,
        "out_channels": keypoints,
        "input_size": (size, size),
        "in_featuremap_size": (size // 32, size // 32),
        "simcc_split_ratio": SPLIT,
        "final_layer_kernel_size": 7,
        "gau_cfg": {
            "hidden_dims": 256,
            "s": 128,
            "expansion_factor": 2,
            "dropout_rate": 0.0,
            "drop_path": 0.0,
            "act_fn": "SiLU",
            "use_rel_bias": False,
            "pos_enc": False,
        },
        "loss": {"type": "KLDiscretLoss", "use_target_weight": True, "beta": SIMCC_BETA, "label_softmax": True},
        "decoder": codec("rtmpose-t", size),
    }
    return backbone, head
