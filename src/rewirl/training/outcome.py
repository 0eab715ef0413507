"""How a stretch of training ended, and what was true of an agent when its evaluation began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from rewirl.storage.run_directory import RunDirectoryError
from rewirl.training.drift import Drift, connections, density, inputs_at_end
from rewirl.training.evaluation import Evaluation

if TYPE_CHECKING:
    from rewirl.agents.agent import Agent
    from rewirl.replay import Replay


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

    @classmethod
    def of(
        cls,
        step: int,
        seconds: float,
        agent: Agent,
        replay: Replay | None,
        drift: Drift,
        diagnostics: dict[str, float],
        ended: bool,
    ) -> Self:
        """Return what is true of an agent now.

        Args:
            step: of the run.
            seconds: that the run has taken.
            agent: that is evaluated.
            replay: its replay memory; None if it has none.
            drift: measures how its networks have changed.
            diagnostics: of its latest update.
            ended: whether the run is at its end.
        """
        updates = agent.updates
        return cls(
            step,
            seconds,
            density(agent),
            {"updates": updates, "connections": connections(agent)},
            {"networks": drift.measure(agent.networks()), **inputs_at_end(agent, replay, ended)},
            {"updates": updates, **diagnostics} if updates > 0 else {},
        )
