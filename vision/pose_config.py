"""What a keypoint estimator is and how it is trained, as plain data."""

from dataclasses import dataclass

MODELS = ("hrnet", "scnet50", "rtmpose-t")
SCHEDULES = ("one-cycle", "steps")


@dataclass(frozen=True)
class FitConfig:
    """A keypoint estimator and its training."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    model: str = "hrnet"
    """One of: hrnet (small, trains from random weights), scnet50 (the original study's), rtmpose-t (with weights)."""
    input_size: int = 224
    """Edge of the image that the network sees, pixels."""
    epochs: int = 18
    """Passes over the training images."""
    batch_size: int = 32
    """Images per update."""
    learning_rate: float = 2e-3
    """Highest learning rate."""
    schedule: str = "one-cycle"
    """Of the learning rate: one-cycle (up in the first tenth, then down along a cosine) or steps (a tenth after 81 % of
    the epochs, a hundredth after 95 %: the original study's)."""
    rotation: float = 15.0
    """Half-width of the augmentation's rotation, degrees."""
    scale: float = 0.2
    """Half-width of the augmentation's scaling around 1."""
    shift: float = 0.08
    """Half-width of the augmentation's shift, in image sizes."""
    weights: str = ""
    """A local checkpoint to start from (.pth with tensors, or .safetensors); empty for random weights."""
    seed: int = 0
    """Of the weights, the order of the images and the augmentation."""
    device: str = "cpu"
    """Where it trains: cpu or cuda."""
    mixed_precision: bool = True
    """Arithmetic in bfloat16 (CPU) or float16 (CUDA) where it is safe."""

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"unknown model {self.model!r}; accepted: {', '.join(MODELS)}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {self.schedule!r}; accepted: {', '.join(SCHEDULES)}")
        if self.input_size % 32 or not 64 <= self.input_size <= 1024:
            raise ValueError(f"input_size is {self.input_size}; it must be a multiple of 32 from 64 to 1024")
        if self.model == "scnet50" and self.input_size < 128:
            raise ValueError(f"input_size is {self.input_size}; of scnet50 it must be 128 or more")
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0 and below 1")
        for name, most in (("rotation", 180.0), ("scale", 0.9), ("shift", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to {most:g}")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"unknown device {self.device!r}; accepted: cpu, cuda")
