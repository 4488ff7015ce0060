"""Writing a trained network as ONNX, with everything in it from pixels to keypoints."""

from pathlib import Path
from typing import Any

import torch

from vision.decoding import soft_argmax, soft_argmax_of_axes
from vision.pose_config import FitConfig
from vision.pose_networks import SIMCC_BETA, SPLIT, STRIDE, simcc_window
from vision.stand_ins import openmmlab


class Exported(torch.nn.Module):
    """A network with its normalisation before and its decoding behind."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: Any, config: FitConfig) -> None:
        super().__init__()
        self.backbone, self.head, self._config = model.backbone, model.head, config
        self.register_buffer("mean", model.data_preprocessor.mean.view(1, 3, 1, 1))
        self.register_buffer("std", model.data_preprocessor.std.view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """RGB ``(n, h, w, 3)`` uint8 to pixels ``(n, k, 2)`` and confidences ``(n, k)``."""
        answer = self.head(self.backbone((images.permute(0, 3, 1, 2).float() - self.mean) / self.std))
        if self._config.model == "rtmpose-t":
            across, down = (SIMCC_BETA * logits for logits in answer)
            window = simcc_window(self.head.decoder.sigma[0])
            points, scores = soft_argmax_of_axes(across, down, window)
            return points / SPLIT, scores
        points, scores = soft_argmax(answer)
        return points * STRIDE, scores


def export(model: torch.nn.Module, config: FitConfig, file: Path) -> None:
    """Write the network as ONNX, for :class:`vision.runtime.PoseRuntime`."""
    exported = Exported(model.cpu(), config).eval()
    images = torch.zeros((2, config.input_size, config.input_size, 3), dtype=torch.uint8)
    with openmmlab():
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
