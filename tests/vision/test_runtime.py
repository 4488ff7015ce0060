"""What the runtime refuses; agreement with torch is tested in test_mmpose.py."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vision.runtime import PoseRuntime

# torch's newer exporter needs onnxscript and writes other operators; it ends when torch drops this one.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Answers(torch.nn.Module):
    """Two keypoints at the mean colour of each picture, or NaN for a black one."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = images.float().mean(dim=(1, 2))
        return torch.stack((mean[:, :2], mean[:, 1:]), dim=1), mean[:, :2] / mean[:, :2]


class Faint(Answers):
    """The first keypoint is not sure enough."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        points, scores = Answers.forward(self, images)
        return points, torch.stack((scores[:, 0] * 0.39, scores[:, 1] * 0.41), dim=1)


@pytest.fixture
def estimator(tmp_path: Path) -> Path:
    _export(Answers(), tmp_path / "e.onnx")
    return tmp_path / "e.onnx"


def _export(network: torch.nn.Module, file: Path) -> None:
    outputs = ["keypoints", "scores"]
    axes = {name: {0: "n"} for name in ("images", "keypoints", "scores")}
    images = torch.zeros((2, 32, 32, 3), dtype=torch.uint8)
    torch.onnx.export(
        network,
        (images,),
        str(file),
        input_names=["images"],
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )


def test_pictures_of_any_number_are_answered(estimator: Path) -> None:
    runtime = PoseRuntime(estimator, threads=2)
    for count in (1, 5, 2):
        images = np.full((count, 32, 32, 3), (10, 20, 30), np.uint8)
        points, scores = runtime(images)
        np.testing.assert_allclose(points, np.tile([[10, 20], [20, 30]], (count, 1, 1)), rtol=1e-5)
        np.testing.assert_allclose(scores, 1.0)


def test_a_faint_keypoint_is_flagged_as_not_seen(tmp_path: Path) -> None:
    images = np.full((1, 32, 32, 3), 9, np.uint8)
    _export(Faint(), tmp_path / "faint.onnx")
    _, scores = PoseRuntime(tmp_path / "faint.onnx")(images)
    np.testing.assert_allclose(scores, [[0.0, 0.41]], rtol=1e-5)


def test_nan_is_an_error(estimator: Path) -> None:
    with pytest.raises(ValueError, match="answers with NaN: its weights are damaged"):
        PoseRuntime(estimator)(np.zeros((1, 32, 32, 3), np.uint8))


@pytest.mark.parametrize(
    "images",
    [np.zeros((32, 32, 3), np.uint8), np.zeros((1, 32, 31, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)],
)
def test_other_pictures_are_refused(estimator: Path, images: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"accepted: \(n, 32, 32, 3\) of uint8"):
        PoseRuntime(estimator)(images)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    for name in ("text.onnx", "missing.onnx"):
        with pytest.raises(ValueError, match=f"{name}: not a readable ONNX file; accepted: an estimator"):
            PoseRuntime(tmp_path / name)
    torch.onnx.export(
        torch.nn.Linear(2, 2), (torch.zeros(1, 2),), str(tmp_path / "linear.onnx"), opset_version=17, dynamo=False
    )
    with pytest.raises(ValueError, match=r"linear\.onnx: not a keypoint estimator"):
        PoseRuntime(tmp_path / "linear.onnx")


def test_impossible_settings_are_refused(estimator: Path) -> None:
    with pytest.raises(ValueError, match="unknown precision 'int8'; accepted: float32, bfloat16"):
        PoseRuntime(estimator, precision="int8")
    with pytest.raises(ValueError, match="threads is 0; it must be 1 or more"):
        PoseRuntime(estimator, threads=0)


def test_a_signal_after_several_runtimes_reaches_its_handler(estimator: Path) -> None:
    """OpenVINO leaves a freed signal stack behind when Cores go in the order of their making."""
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from vision.runtime import PoseRuntime\n"
        "first, second = (PoseRuntime(Path(sys.argv[1])) for _ in range(2))\n"
        "del first\n"
        "del second\n"
        "signal.signal(signal.SIGINT, lambda *_: print('handled'))\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(estimator)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n")
