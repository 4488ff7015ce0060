"""One sample: everything that is drawn for image ``index``, from ``(seed, index)`` alone."""

from dataclasses import dataclass, field, replace

import mujoco
import numpy as np

from envs.rotations import from_euler
from randomization.appearance import Appearance, AppearanceConfig, sample_appearance
from randomization.sensing import Sensor, SensorConfig, sample_sensor
from synth_data.poses import Pose, PoseConfig, Poser
from synth_data.scene import Posed, Scene

SPLITS = ("train", "val", "test")
DEVICES = ("cpu", "cuda", "optix")


@dataclass(frozen=True)
class SynthConfig:
    """A dataset of synthetic images."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    figure: str = "hopper"
    """Figure to draw."""
    count: int = 10_000
    """Images in all."""
    size: int = 224
    """Edge of an image, pixels."""
    seed: int = 0
    """Sample i depends on this and on i alone."""
    cameras: dict[str, float] = field(default_factory=lambda: {"track": 1.0, "rail": 1.0})
    """Shares of the cameras."""
    validation: float = 0.1
    """Share of the samples that is kept for validation."""
    test: float = 0.1
    """Share of the samples that is kept for testing."""
    light_paths: int = 2
    """Light paths per pixel (Cycles samples)."""
    device: str = "cpu"
    """What Blender renders on: cpu, cuda or optix. Each draws slightly different pixels."""
    photos: str = ""
    """Folder of photos for floors and backdrops; empty for none."""
    policies: tuple[str, ...] = ()
    """Run directories whose policies visit states and fall; empty for those that ship with simgap."""
    poses: PoseConfig = field(default_factory=PoseConfig)
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    sensor: SensorConfig = field(default_factory=SensorConfig)

    def __post_init__(self) -> None:
        for name, low, high in (("count", 1, 10**7), ("size", 16, 4096), ("seed", 0, 2**31), ("light_paths", 1, 4096)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; it must be from {low} to {high}")
        for name in ("links", "floor", "backdrop"):
            kinds = {kind for kind, share in getattr(self.appearance, name).items() if share > 0}
            if kinds == {"photo"} and not self.photos:
                raise ValueError(f"appearance.{name} draws photos only; give a folder of photos")
        if self.device not in DEVICES:
            raise ValueError(f"device is {self.device!r}; accepted: {', '.join(DEVICES)}")
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test < 1):
            raise ValueError(
                f"validation is {self.validation} and test {self.test}; accepted: shares that leave some for training"
            )
        shares = self.cameras.values()
        if not all(share >= 0 for share in shares) or not 0 < sum(shares) < np.inf:
            raise ValueError(f"cameras are {self.cameras}; accepted: camera names with shares of 0 or more, not all 0")


@dataclass(frozen=True)
class Sample:
    """What image ``index`` shows and how."""

    index: int
    split: str
    pose: Pose
    view: str
    """Name of the camera."""
    appearance: Appearance
    sensor: Sensor
    moment: Posed
    """In the middle of the exposure; its camera is the one that was really held."""
    start: Posed | None
    """When the shutter opens; None without motion blur."""
    end: Posed | None
    """When it closes."""


class Sampler:
    """Draws samples of one configuration."""

    def __init__(self, config: SynthConfig, scene: Scene, poser: Poser) -> None:
        self.config, self.scene, self.poser = config, scene, poser

    def sample(self, index: int) -> Sample:
        """Sample ``index``, whatever was drawn before."""
        config, model = self.config, self.scene.model
        # One stream for each part: a change in how one is drawn leaves the others as they are.
        looks_from = config.appearance if config.photos else config.appearance.without_photos()
        splits, poses, cameras, looks, sensors = (
            np.random.default_rng(child) for child in np.random.SeedSequence((config.seed, index)).spawn(5)
        )
        pose = self.poser.sample(poses)
        weights = np.array(list(config.cameras.values()), float)
        view = str(cameras.choice(list(config.cameras), p=weights / weights.sum()))
        appearance = sample_appearance(looks_from, looks, len(self.scene.links))
        hold, turn = appearance.hold, from_euler(appearance.hold.angles, "xyz")

        def at(seconds: float) -> Posed:
            qpos = pose.qpos.copy()
            mujoco.mj_integratePos(model, qpos, pose.qvel, seconds)
            posed = self.scene.pose(qpos, view)
            return replace(posed, camera=posed.camera.held(hold.offset, turn, hold.zoom))

        half = appearance.shutter / 2
        return Sample(
            index=index,
            split=_split(splits.random(), config),
            pose=pose,
            view=view,
            appearance=appearance,
            sensor=sample_sensor(config.sensor, sensors),
            moment=at(0.0),
            start=at(-half) if half else None,
            end=at(half) if half else None,
        )


def _split(u: float, config: SynthConfig) -> str:
    if u < config.test:
        return "test"
    return "val" if u < config.test + config.validation else "train"
