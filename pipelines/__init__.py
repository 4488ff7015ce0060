"""What turns a simulation into the agent's observation."""

from pipelines.state import StatePipeline

__all__ = ["PIPELINES", "StatePipeline"]

PIPELINES: dict[str, type[StatePipeline]] = {"state": StatePipeline}
