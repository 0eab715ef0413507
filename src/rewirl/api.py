"""The Python face: agents as users of Stable-Baselines3 would guess them, and the policies that they save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rewirl import learners
from rewirl.learners import *  # noqa: F403
from rewirl.learners.learner import LayerTopology, episode_count, evaluation_of, layer_topologies
from rewirl.training.evaluation import Evaluation, Evaluator
from rewirl.training.trained_policy import Observation, TrainedPolicy

__all__ = ["LayerTopology", "Policy", "load"]
__all__ += learners.__all__


class Policy:
    """A saved policy; needs its environment only to be evaluated."""

    def __init__(self, trained: TrainedPolicy) -> None:
        """Use `load` instead."""
        self._trained = trained
        self.about: dict[str, Any] = dict(trained.about)
        """What its file says: agent, agent_config, environment, seed, step."""

    def predict(self, observation: Observation, *, allow_nonfinite: bool = False) -> NDArray[Any]:
        """Return the action for one observation, or for a batch of them; see `DSTD3.predict`."""
        return self._trained.predict(observation, allow_nonfinite)

    def evaluate(self, episodes: int = 10) -> Evaluation:
        """Play the evaluation episodes of the seed it was trained with.

        Raises:
            UnsuitableEnvironmentError: its environment cannot be made here.
            FaultyEnvironmentError: the environment misbehaved.
        """
        source = self._trained.source()
        assert source.make_another is not None
        evaluator = Evaluator(source.make_another, episode_count(episodes), self.about["seed"])
        return evaluation_of(evaluator, self._trained.act, self.about["step"], self._trained.environment_state)

    @property
    def topology(self) -> dict[str, list[LayerTopology]]:
        """The layers of the actor, inputs first."""
        return layer_topologies({"actor": self._trained.actor.actor})

    def __repr__(self) -> str:
        """Return agent, environment and steps."""
        return f"Policy({self.about['agent']!r}, {self.about['environment']['name']!r}, step={self.about['step']})"


def load(path: str | Path) -> Policy:
    """Read a policy that an agent saved, or that of a run directory. Nothing in the files is executed.

    Args:
        path: the directory.

    Returns:
        The policy.

    Raises:
        PolicyError: there is none, or it is not whole and sound; names the file and the reason.
    """
    return Policy(TrainedPolicy.load(Path(path)))
