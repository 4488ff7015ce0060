"""Blender and MuJoCo see the same thing. Blender runs in a process of its own, as it does in simgap."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

import envs
from envs.domains import domain_model
from envs.render import Camera
from randomization.appearance import AppearanceConfig
from synth_data.poses import PoseConfig, Poser
from synth_data.sample import Sample, Sampler, SynthConfig
from synth_data.scene import GROUND, Scene
from vision.keypoints import keypoints_of

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Blender's wheel exists for Python 3.11 only")

POSES = 50
BARE = AppearanceConfig(offset=0.0, tilt=0.0, zoom=(1.0, 1.0), blur=0.0, distractors=(0, 0))

RENDER = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[2])
from test_blender import POSES, sampler
from synth_data.blender import Studio, silence  # and with it Blender's other modules
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
silence()
s = sampler()
studio = Studio(s.scene, s.config, Path(sys.argv[1] + ".exr"))
seen, pixels, light = [], [], []
for sample in map(s.sample, range(POSES)):
    picture, index = studio.render(sample)
    light.append(picture)
    seen.append(index)
    views = [world_to_camera_view(studio._blender, studio._camera, Vector(p)) for p in sample.moment.keypoints]
    pixels.append([(v.x * s.config.size - 0.5, (1 - v.y) * s.config.size - 0.5) for v in views])
np.savez(sys.argv[1], seen=seen, pixels=pixels, light=light)
"""

MOMENTS = 16
BLUR = """
import sys
from dataclasses import replace
from pathlib import Path
import mujoco
import numpy as np
sys.path.insert(0, sys.argv[2])
from test_blender import MOMENTS, moving_sampler
from synth_data.blender import Studio, silence
silence()
s = moving_sampler()
studio = Studio(s.scene, s.config, Path(sys.argv[1] + ".exr"))
blurred, sharp, mean, early = [], [], [], []
for sample in map(s.sample, range(4)):
    blurred.append(studio.render(sample)[0])
    frozen = []
    for part in [0.5, *(np.arange(MOMENTS) + 0.5) / MOMENTS]:
        qpos = sample.pose.qpos.copy()
        mujoco.mj_integratePos(s.scene.model, qpos, sample.pose.qvel, (part - 0.5) * sample.appearance.shutter)
        moment = s.scene.pose(qpos, sample.view)
        frozen.append(studio.render(replace(sample, moment=moment, start=None, end=None))[0])
    sharp.append(frozen[0])
    mean.append(np.mean(frozen[1:], axis=0))
    early.append(np.mean(frozen[1 : 1 + MOMENTS // 2], axis=0))
np.savez(sys.argv[1], blurred=blurred, sharp=sharp, mean=mean, early=early)
"""


def moving_sampler() -> Sampler:
    """Fast poses of plain colours, exposed for long, with enough light paths to see only the blur."""
    plain = {"plain": 1.0}
    look = replace(BARE, blur=1.0, shutter=0.03, links=plain, floor=plain, backdrop=plain, floor_gloss=0.0)
    poses = PoseConfig(shares={"joints": 1.0}, speed=10.0)
    config = SynthConfig(size=64, light_paths=64, appearance=look, poses=poses)
    model = domain_model(envs.task_of("hopper"), "nominal")
    return Sampler(config, Scene(model, keypoints_of("hopper"), config.size), Poser(model, poses, {}))


def sampler() -> Sampler:
    """Poses over the joints' limits, seen by both cameras, the camera held where MuJoCo holds it."""
    config = SynthConfig(appearance=BARE.without_photos(), poses=PoseConfig(shares={"joints": 1.0}))
    model = domain_model(envs.task_of("hopper"), "nominal")
    scene = Scene(model, keypoints_of("hopper"), config.size)
    return Sampler(config, scene, Poser(model, config.poses, {}))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [sampler().sample(index) for index in range(POSES)]


def in_blender(code: str, file: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Arrays that ``code`` saves to ``file``."""
    command = [sys.executable, "-c", code, str(file), str(Path(__file__).parent)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True)
    with np.load(file) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, npt.NDArray[np.float64]]:
    return in_blender(RENDER, tmp_path_factory.mktemp("blender") / "rendered.npz")


def test_keypoints_project_to_the_same_pixels(
    rendered: dict[str, npt.NDArray[np.float64]], samples: list[Sample]
) -> None:
    ours = np.array([sample.moment.camera.project(sample.moment.keypoints)[0] for sample in samples])
    assert {sample.view for sample in samples} == {"track", "rail"}
    assert np.abs(rendered["pixels"] - ours).max() < 0.001


def test_silhouettes_are_mujocos(rendered: dict[str, npt.NDArray[np.float64]], samples: list[Sample]) -> None:
    model = domain_model(envs.task_of("hopper"), "nominal")
    data = mujoco.MjData(model)
    renderer = mujoco.Renderer(model, height=224, width=224)
    renderer.enable_segmentation_rendering()
    for sample, seen in zip(samples, rendered["seen"], strict=True):
        data.qpos[:] = sample.pose.qpos
        mujoco.mj_forward(model, data)
        camera = Camera(model, sample.view)
        camera.place(data)
        renderer.update_scene(data, camera=camera.id)
        geoms = renderer.render()[..., 0]
        for link in range(4):  # geom 0 is the floor
            ours, theirs = seen == link + 1, geoms == link + 1
            assert (ours & theirs).sum() / (ours | theirs).sum() > 0.95
        figure = (seen > 0) & (seen < GROUND)
        assert (figure & (geoms > 0)).sum() / (figure | (geoms > 0)).sum() > 0.98
        floor, theirs = seen == GROUND, geoms == 0
        assert (floor & theirs).sum() / (floor | theirs).sum() > 0.98
    renderer.close()


def test_every_look_is_drawn(rendered: dict[str, npt.NDArray[np.float64]], samples: list[Sample]) -> None:
    """A texture that did not reach Blender would leave all backdrops alike."""
    corners = rendered["light"][:, 0, 0]
    plain = [i for i, sample in enumerate(samples) if sample.appearance.backdrop.texture.kind == "plain"]
    assert len(plain) > 5
    for i in plain:
        srgb = np.array(samples[i].appearance.backdrop.texture.colors[0])
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        assert corners[i] == pytest.approx(linear, abs=0.01)


def test_motion_blur_is_the_mean_over_the_exposure(tmp_path: Path) -> None:
    pictures = in_blender(BLUR, tmp_path / "blur.npz")

    def difference(name: str) -> float:
        return float(np.abs(pictures["blurred"] - pictures[name]).mean())

    # What remains is the noise of soft shadows. An exposure that began or ended elsewhere would be nearer to others.
    assert difference("mean") < 0.4 * difference("sharp")
    assert difference("mean") < 0.4 * difference("early")
