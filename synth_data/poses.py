"""Poses of a figure: a mixture of drawn joint angles, states that policies visit, and falls."""

from dataclasses import dataclass, field

import mujoco
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SOURCES = ("joints", "visited", "falls")


@dataclass(frozen=True)
class PoseConfig:
    """What poses are drawn from."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    shares: dict[str, float] = field(default_factory=lambda: {"joints": 0.4, "visited": 0.4, "falls": 0.2})
    """Shares of joint angles over their limits, states that policies visit, and falls."""
    pitch: float = 0.6
    """Half-width of the root's angle with drawn joint angles, rad."""
    speed: float = 3.0
    """Standard deviation of the joints' speed with drawn joint angles, rad/s; it shows in motion blur only."""
    clearance: float = 0.6
    """Highest lowest point above the floor with drawn joint angles, m; half of them stand on it."""
    jitter: float = 0.05
    """Standard deviation of what is added to the joint angles of a visited state, rad."""
    penetration: float = 0.01
    """Deepest contact that is allowed, m: what the simulator's own soft contacts reach."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.shares) - set(SOURCES))
        if unknown:
            raise ValueError(f"shares: unknown source {unknown[0]!r}; accepted: {', '.join(SOURCES)}")
        if not all(share >= 0 for share in self.shares.values()) or not 0 < sum(self.shares.values()) < np.inf:
            raise ValueError(f"shares are {self.shares}; accepted: 0 or more each, and not all 0")
        for name, most in (("pitch", 3.2), ("speed", 100), ("clearance", 10), ("jitter", 1), ("penetration", 1)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to {most}")


@dataclass(frozen=True)
class Pose:
    """One pose, and the speeds in it."""

    source: str
    qpos: Array
    qvel: Array


class Poser:
    """Draws poses that the figure can have."""

    def __init__(self, model: mujoco.MjModel, config: PoseConfig, banks: dict[str, Array]) -> None:
        """``banks`` holds states ``(m, nq + nv)`` for ``visited`` and ``falls``.

        Raises:
            ValueError: a source has a share and no states.
        """
        self.model, self.config, self.banks = model, config, banks
        self.data = mujoco.MjData(model)
        for source in ("visited", "falls"):
            if config.shares.get(source, 0) > 0 and len(banks.get(source, ())) == 0:
                raise ValueError(f"poses: {source} has a share of {config.shares[source]} and no states")

    def sample(self, rng: np.random.Generator) -> Pose:
        """Draw until a pose is sound."""
        shares = self.config.shares
        weights = np.array(list(shares.values()), float)
        source = str(rng.choice(list(shares), p=weights / weights.sum()))
        for _ in range(1000):
            qpos, qvel = self._joints(rng) if source == "joints" else self._banked(rng, source)
            if self.sound(qpos):
                return Pose(source, qpos, qvel)
        raise ValueError(f"poses: 1,000 draws from {source!r} in a row touch the floor or themselves")

    def sound(self, qpos: Array) -> bool:
        """Whether no contact is deeper than allowed."""
        self.data.qpos[:] = qpos
        mujoco.mj_fwdPosition(self.model, self.data)
        return bool(np.all(self.data.contact.dist >= -self.config.penetration))

    def _banked(self, rng: np.random.Generator, source: str) -> tuple[Array, Array]:
        state = self.banks[source][rng.integers(len(self.banks[source]))]
        qpos, qvel = state[: self.model.nq].copy(), state[self.model.nq :].copy()
        for joint in self._limited():
            address, (low, high) = self.model.jnt_qposadr[joint], self.model.jnt_range[joint]
            before = qpos[address]  # the simulator's limits are soft: it may be beyond them already
            moved = before + rng.normal(0, self.config.jitter)
            qpos[address] = np.clip(moved, min(low, before), max(high, before))
        return qpos, qvel

    def _joints(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Limited joints over their range, the root tilted, the lowest point on the floor or above it."""
        model, config = self.model, self.config
        qpos = model.qpos0.copy()
        for joint in range(model.njnt):
            address, kind = model.jnt_qposadr[joint], model.jnt_type[joint]
            if model.jnt_limited[joint]:
                qpos[address] = rng.uniform(*model.jnt_range[joint])
            elif kind == mujoco.mjtJoint.mjJNT_HINGE:
                qpos[address] = rng.uniform(-config.pitch, config.pitch)
            elif kind == mujoco.mjtJoint.mjJNT_SLIDE:
                qpos[address] += rng.uniform(-1.0, 1.0)  # along the floor; the height is set below
            elif kind == mujoco.mjtJoint.mjJNT_FREE:
                turn = rng.normal(size=3)
                turn *= rng.uniform(0, config.pitch) / np.linalg.norm(turn)
                mujoco.mju_quatIntegrate(qpos[address + 3 : address + 7], turn, 1.0)
        height = rng.uniform(0, config.clearance) * rng.integers(2)
        self._lift(qpos, float(height))
        return qpos, rng.normal(0, config.speed, model.nv)

    def _lift(self, qpos: Array, height: float) -> None:
        """Move the root so that the figure's lowest point is ``height`` above the floor."""
        model, data = self.model, self.data
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        lowest = min(self._lowest(geom) for geom in range(model.ngeom) if model.geom_bodyid[geom])
        for joint in range(model.njnt):
            address = model.jnt_qposadr[joint]
            if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
                qpos[address + 2] += height - lowest
                return
            if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE and abs(model.jnt_axis[joint, 2]) == 1:
                qpos[address] += (height - lowest) * model.jnt_axis[joint, 2]
                return

    def _lowest(self, geom: int) -> float:
        """Height of a shape's lowest point: exact for what is round at its ends, the bounding box's otherwise."""
        model, data = self.model, self.data
        centre, down = data.geom_xpos[geom, 2], data.geom_xmat[geom].reshape(3, 3)[2]
        size, kind = model.geom_size[geom], model.geom_type[geom]
        if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            return float(centre - abs(down[2]) * size[1] - size[0])
        if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            return float(centre - size[0])
        middle, halves = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
        return float(centre + down @ middle - np.abs(down) @ halves)

    def _limited(self) -> list[int]:
        return [joint for joint in range(self.model.njnt) if self.model.jnt_limited[joint]]
