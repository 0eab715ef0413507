"""Playing the evaluation episodes that Python asks for."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from rewirl.environments.same import difference
from rewirl.environments.source import environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.exact import exactly
from rewirl.storage.policy_file import PolicyError
from rewirl.training.evaluation import Evaluation, Evaluator, Predict
from rewirl.training.trained_policy import TrainedPolicy

if TYPE_CHECKING:
    from rewirl.learners.learner import EnvironmentLike


def evaluate_in(trained: TrainedPolicy, env: EnvironmentLike | None, episodes: int) -> Evaluation:
    """Play the evaluation episodes of a policy's seed.

    Args:
        trained: the policy.
        env: the environment; one that differs from the policy's own is warned of by name. None goes by its file.
        episodes: how many.

    Raises:
        UnsuitableEnvironmentError: the environment cannot be made for every episode, or does not fit the policy.
        FaultyEnvironmentError: the environment misbehaved.
        PolicyError: what the policy says of its environment is impossible.
    """
    source = trained.source() if env is None else environment_source(env)
    source = source if source.examine is None else source.examine(True)
    if source.make_another is None:
        raise UnsuitableEnvironmentError(
            f"{source.name} cannot be made again for each episode ({source.why}); give a function that makes it"
        )
    state = trained.environment_state
    if env is not None:
        environment = source.make_another()
        try:
            trained.check_fits(environment)
            layers = len(environment.state())
        finally:
            environment.close()
        there = trained.about["environment"]
        wrapper, recorded = there.get("wrapper", ()), there.get("handed_over")
        try:
            of_record = there["name"], there["kwargs"], wrapper, recorded
            differs = "".join(difference(*of_record, source, there.get("module")))
        except ValueError as error:
            raise PolicyError(f"what the policy's file says of its environment is impossible: {error}") from error
        told = [f"the policy was trained in {differs}"] if differs else []
        if state is not None and layers != len(state):
            told.append(
                f"what the policy's environment keeps between episodes is left out: the one given has {layers} layers "
                f"that keep something, not {len(state)}"
            )
            state = None
        if told:
            warnings.warn("; ".join(told), stacklevel=3)
    evaluator = Evaluator(source.make_another, episode_count(episodes), trained.about["seed"])
    return evaluation_of(evaluator, trained.act, trained.environment_step, state)


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
