"""The complete description of a run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

import envs
from agents import AgentConfig, ImageOptions, LatentOptions, make_agent
from agents.config import construct
from agents.specs import Seen
from experiments import epopt, identify_config, privileged
from pipelines import (
    PIPELINES,
    HistoryPipeline,
    Pipeline,
    PixelsPipeline,
    PosePipeline,
    PrivilegedPipeline,
    StatePipeline,
)
from randomization import RandomizationConfig, make_randomizer
from randomization.identification import IdentifyConfig

MAX_ENVS = 100_000
MAX_NAME = 200  # file systems take 255 bytes; temporary names add some
NAME, NAME_WORDS = r"\w[\w.-]*", "letters, digits, '_', and after the first also '.' and '-'"
"""What a study may be called: it becomes the name of a folder."""
REFERENCE_RETURN = {"hopper": 3.5}
"""By figure: return per step of an episode that counts as mastered, for curricula that judge by it. The hopper earns
3.55 (500 steps) and 3.6 (1000 steps) without randomisation, see results/."""
_SEED_STRIDE = 1_000_000  # room for the environments of one training seed; see seed_streams


@dataclass(frozen=True)
class RunConfig:
    """One agent trained once, with one seed."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    study: str = "default"
    """Study that the run belongs to: a folder of the runs directory."""
    figure: str = "hopper"
    """The simulated body, perhaps with options of its task, as 'ant[contact_forces=all, minimum_speed=0.5]'. One of:
    hopper, inverted_pendulum, walker2d, half_cheetah, ant, anymal_c."""
    domain: str = "source"
    """Physics to train in: nominal, source or target, and shifts such as 'source, torso_mass+1'."""
    horizon: int = 500
    """Environment steps after which an episode ends: of 8 ms for hopper and walker2d, 10 ms for anymal_c, 40 ms for
    inverted_pendulum, 50 ms for half_cheetah and ant."""
    pipeline: str = "state"
    """What the agent observes. One of: state, pixels, pose, history, privileged."""
    pixels: PixelsPipeline = field(default_factory=PixelsPipeline)
    pose: PosePipeline = field(default_factory=PosePipeline)
    history: HistoryPipeline = field(default_factory=HistoryPipeline)
    privileged: PrivilegedPipeline = field(default_factory=PrivilegedPipeline)
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)
    identify: IdentifyConfig = field(default_factory=IdentifyConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    teacher: str = ""
    """Who teaches agent dagger or rma: a run on the state (on the pipeline privileged if the student's is history), a
    folder of runs of which the same seed, or a cell of the study."""
    start: str = ""
    """Where the agent begins instead of from nothing: a run, one of its checkpoints, or a folder of runs, of which the
    same seed. Steps count on."""
    steps: int = 0
    """Environment steps to train for; 0 takes the agent's default."""
    num_envs: int = 0
    """Simulations that train in parallel, of agent cem one for each individual; 0 takes the agent's default."""
    seed: int = 0
    """Training seed."""
    mass_only: bool = False
    """Shifts and draws of mass leave inertia untouched, as in much of the literature."""
    checkpoint_every: int = 250_000
    """Environment steps between checkpoints."""
    device: str = "cpu"
    """Where the networks live: cpu or cuda."""

    def __post_init__(self) -> None:
        # One text for one task: it names directories and stands in tables.
        object.__setattr__(self, "figure", envs.figure_text(self.task))
        for name, low, high in (
            ("steps", 0, 10**12),
            ("num_envs", 0, MAX_ENVS),
            ("seed", 0, 10**6),
            ("horizon", 1, 10**6),
            ("checkpoint_every", 1, 10**12),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; it must be from {low} to {high}")
        if not re.fullmatch(NAME, self.study):
            raise ValueError(f"study {self.study!r} must be {NAME_WORDS}")
        if self.pipeline not in PIPELINES:
            raise ValueError(f"unknown pipeline {self.pipeline!r}; accepted: {', '.join(PIPELINES)}")
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"unknown device {self.device!r}; accepted: cpu, cuda, cuda:N")
        privileged.check_teacher(self)
        if self.randomization.method == "epopt":
            epopt.check_agent(self.agent, self.horizon)
        identify_config.check(self)
        cell = self.path.parent.name
        if len(cell) > MAX_NAME:
            raise ValueError(
                f"the run's directory name has {len(cell)} characters; it must have at most {MAX_NAME}: "
                "give the draws a short randomization.name, or shift fewer parameters of the domain"
            )
        self.make_env(num_envs=1, num_threads=1)  # an unknown domain or an unphysical draw ends here
        privileged.check_shown(self)

    @property
    def method(self) -> str:
        """What decides what is drawn, in paths and tables."""
        return self.identify.label or self.randomization.label

    @property
    def shown(self) -> tuple[str, ...]:
        """Physical parameters that the agent, or its critic, sees, in their order."""
        return privileged.shown_parameters(self)

    @property
    def learns_from(self) -> Seen:
        """What decides on the agent's default settings: an encoder that is fitted to the state is none of its own."""
        if self.pipeline == "pixels" and not self.pixels.supervised:
            return "images"
        return "history" if self.pipeline == "history" else "state"

    def resolved(self) -> "RunConfig":
        """The same with every default written out."""
        spec = self.agent.spec(self.learns_from)
        agent, num_envs = self.agent.resolved(self.learns_from), self.num_envs or spec.num_envs
        if self.randomization.method == "epopt":
            agent = epopt.whole_episodes(self.agent, agent, self.horizon, num_envs)
        shown = {self.pipeline: replace(getattr(self, self.pipeline), parameters=self.shown)} if self.shown else {}
        return replace(
            self,
            **shown,
            randomization=self.judging,
            agent=agent,
            steps=self.steps or spec.steps,
            num_envs=num_envs,
        )

    @property
    def task(self) -> envs.Task:
        """The figure's task with its options."""
        return envs.task_of(self.figure)

    @property
    def judging(self) -> RandomizationConfig:
        """The randomisation, with the figure's reference return where it needs one."""
        rate = REFERENCE_RETURN.get(self.figure)
        return self.randomization.resolved(rate and rate * self.horizon)

    @property
    def path(self) -> Path:
        """The run's directory below the runs directory."""
        domain = re.sub(r"\s+", "", self.domain).replace("/", "_")
        cell = f"{envs.file_form(self.figure)}-{domain}-{self.sees.name}-{self.method}-{self.agent.name}"
        return Path(self.study) / cell / f"seed-{self.seed:03d}"

    @property
    def training_horizon(self) -> int:
        """Environment steps that a training return sums up at most."""
        steps = construct(self.agent.hyperparameters).get("episode_steps", 0)
        return min(self.horizon, int(max(steps(1.0), steps(0.0)) if callable(steps) else steps) or self.horizon)

    @property
    def sees(self) -> Pipeline:
        """The pipeline with its settings."""
        pipelines: dict[str, Pipeline] = {
            "state": StatePipeline(self.pose),
            "pixels": self.pixels,
            "pose": self.pose,
            "history": self.history,
            "privileged": self.privileged,
        }
        return pipelines[self.pipeline]

    def observe(self, simulation: envs.BatchedEnv, sight: str | None = None) -> VecEnv:
        """The simulation as the agent sees it while it learns; with ``sight``, as it is judged through that.

        Raises:
            ValueError: an unknown sight, or the pipeline's estimator cannot be used.
        """
        training, evaluation = seed_streams(self.seed)
        if sight is None:
            return self.sees.wrap(simulation, self.sees.training_sight, training)
        if sight not in self.sees.sights:
            raise ValueError(f"unknown sight {sight!r} of {self.sees.name}; accepted: {', '.join(self.sees.sights)}")
        return self.sees.wrap(simulation, sight, evaluation)

    def make_agent(self, env: VecEnv | None = None) -> BaseAlgorithm:
        """The agent, freshly initialised, on ``env`` or on one that only looks like those it is made for.

        Raises:
            ValueError: the algorithm refuses its hyperparameters, or the device is not there.
        """
        if env is None:
            through = self.pixels.training_sight if self.pipeline == "pixels" else "state"  # neither needs an estimator
            env = self.observe(self.make_env(self.num_envs, num_threads=1), through)
        look = self.pixels
        images = ImageOptions(look.encoder, look.shift, look.stack, look.precision == "bfloat16", look.supervised)
        encoded = self.pipeline == "privileged" or self.agent.name == "rma"
        latent = LatentOptions(len(self.shown), self.privileged.latent if encoded else 0)
        agent = make_agent(self.agent, env, self.seed, self.device, images, latent)
        if self.randomization.method == "epopt":
            epopt.learn_from_worst(agent, self.randomization.epopt, self.horizon)
        return agent

    def make_env(
        self,
        num_envs: int,
        num_threads: int,
        domain: str | None = None,
        cells: envs.Randomizer | None = None,
        draws: Sequence[str] = (),
    ) -> envs.BatchedEnv:
        """The training environment; with ``domain``, an evaluation environment there, never randomised.

        ``cells`` shifts the evaluation environment's simulations, as a sweep does. ``draws`` are what identification
        found; they take the place of the configured randomisation.
        """
        training, evaluation = seed_streams(self.seed)
        randomizer = cells
        if domain is None:
            drawn = RandomizationConfig("uniform", draws=tuple(draws)) if draws else self.judging
            randomizer = make_randomizer(drawn, self.task.randomized, training)
        return envs.make_vec(
            self.figure,
            num_envs,
            self.domain if domain is None else domain,
            self.horizon,
            training if domain is None else evaluation,
            num_threads,
            randomizer,
            self.mass_only,
        )


def seed_streams(seed: int) -> tuple[int, int]:
    """First environment seeds of training and of evaluation, disjoint within and between training seeds."""
    return seed * _SEED_STRIDE, seed * _SEED_STRIDE + _SEED_STRIDE // 2
