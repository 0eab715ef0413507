"""How a stretch of training ended, and what was true of an agent when its evaluation began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rewirl.storage.run_directory import RunDirectoryError
from rewirl.training.evaluation import Evaluation


@dataclass(frozen=True)
class Outcome:
    """How a stretch of training ended."""

    step: int
    """Steps of the run done so far."""

    finished: bool
    """Whether it came to its end rather than being asked to stop."""

    saved: bool
    """Whether the last checkpoint and policy are safely written."""

    evaluation: Evaluation | None
    """The latest evaluation, if there was one."""

    def require_saved(self) -> None:
        """Refuse to go on as if all were well.

        Raises:
            RunDirectoryError: what was learnt last is not on disk.
        """
        if not self.saved:
            raise RunDirectoryError(
                f"the run is at step {self.step:,}, but not saved there; see the warning above. The agent still has "
                "what it learnt: agent.save(path) puts its policy elsewhere"
            )


@dataclass(frozen=True)
class InFlight:
    """An evaluation that has begun, with what was true of the agent then."""

    step: int
    seconds: float
    density: float
    fields: dict[str, Any]
    topology: dict[str, dict[str, Any]]
    diagnostics: dict[str, float]
