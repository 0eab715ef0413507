"""How a stretch of training ended, and what was true of an agent when its evaluation began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from rewirl.agents import Policy
from rewirl.saved import count, fields, listed, number, numbers
from rewirl.storage.recorder import Recorder, State
from rewirl.storage.run_directory import RunDirectoryError
from rewirl.training.drift import Drift, connections, density, inputs_at_end
from rewirl.training.evaluation import Evaluation, Evaluations

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
    policy: State
    """That of the agent then, which learns on meanwhile."""
    kept: list[Any] | None
    """What the training environment kept between episodes; see `Environment.state`."""

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
        kept: list[Any] | None,
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
            kept: what the training environment keeps between episodes.
        """
        updates = agent.updates
        arrays, values = agent.policy_state()
        return cls(
            step,
            seconds,
            density(agent),
            {"updates": updates, "connections": connections(agent)},
            {"networks": drift.measure(agent.networks()), **inputs_at_end(agent, replay, ended)},
            {"updates": updates, **diagnostics} if updates > 0 else {},
            ({name: array.copy() for name, array in arrays.items()}, values),
            kept,
        )

    def begin(self, evaluations: Evaluations, agent: Agent | None = None) -> None:
        """Let it be played; by the agent as long as that is the one of then."""
        evaluations.begin(
            agent or Policy.from_state(*self.policy), f"evaluation after step {self.step}", self.step, self.kept
        )

    def record(self, recorder: Recorder, evaluation: Evaluation, core_share: Mapping[str, Any]) -> None:
        """Write into a record what came of it, and how busy the machine was."""
        recorder.event(
            "evaluation",
            self.step,
            return_mean=evaluation.mean,
            return_std=evaluation.std,
            returns=list(evaluation.returns),
            lengths=list(evaluation.lengths),
            seconds=self.seconds + evaluation.seconds,
            **core_share,
            **self.fields,
        )
        recorder.event("topology", self.step, **self.topology)
        if self.diagnostics:
            recorder.event("diagnostics", self.step, **self.diagnostics)

    def state(self) -> State:
        """Return what `from_state` needs: arrays and JSON values."""
        arrays, policy = self.policy
        return arrays, {
            "step": self.step,
            "seconds": self.seconds,
            "density": self.density,
            "fields": self.fields,
            "topology": self.topology,
            "diagnostics": self.diagnostics,
            "policy": policy,
            "kept": self.kept,
        }

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], values: Any) -> Self:
        """Return what `state` described.

        Raises:
            ValueError: it is none.
        """
        values = fields(values, "the saved evaluation")
        told = fields(values["fields"], "the saved record of an evaluation")
        count(told["updates"], "the saved number of updates")
        policy = arrays, fields(values["policy"], "the saved policy of an evaluation")
        Policy.from_state(*policy)
        return cls(
            count(values["step"], "the saved step of an evaluation"),
            number(values["seconds"], "the saved seconds of an evaluation"),
            number(values["density"], "the saved density of an evaluation"),
            told,
            fields(values["topology"], "the saved topology of an evaluation"),
            numbers(values["diagnostics"], "the saved diagnostics of an evaluation"),
            policy,
            None if values["kept"] is None else listed(values["kept"], "the saved state of an environment"),
        )
