"""Playing the evaluation episodes that Python asks for."""

from __future__ import annotations

from typing import Any

from rewirl.exact import exactly
from rewirl.training.evaluation import Evaluation, Evaluator, Predict


def evaluation_of(evaluator: Evaluator, predict: Predict, step: int, state: list[Any] | None = None) -> Evaluation:
    """Play the episodes of an evaluator without exploration noise and close it; arguments as for Evaluator.evaluate."""
    try:
        evaluation = evaluator.evaluate(predict, "evaluation", step=step, state=state)
    finally:
        evaluator.close()
    assert evaluation is not None
    return evaluation


def episode_count(episodes: int) -> int:
    """Return a number of episodes.

    Raises:
        ValueError: it is not a whole number of at least 1.
    """
    episodes = exactly(int, episodes, "episodes")
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    return episodes
