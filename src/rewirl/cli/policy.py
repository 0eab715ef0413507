"""The commands that use a saved policy: `evaluate` and `watch`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from rewirl.cli.errors import failed, require_at_least_one, usage_errors
from rewirl.cli.parse import parse
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.printing import number, result, say, visible
from rewirl.training.evaluation import Evaluator
from rewirl.training.trained_policy import TrainedPolicy
from rewirl.training.watch import watch as show


def evaluate(arguments: list[str]) -> int:
    """Run `rewirl evaluate` and return its exit code."""
    options = parse(
        "evaluate",
        arguments,
        run=(Path, dataclasses.MISSING, "Directory of a run, or of a saved policy."),
        episodes=(int, 10, "How many episodes. Typical: 10 to 100."),
        seed=(int | None, None, "Decides the episodes. None is those of the run's own evaluations."),
        json=(bool, False, "Print one JSON object instead of lines for people."),
    )
    require_at_least_one("--episodes", options.episodes)
    with usage_errors():
        policy = TrainedPolicy.load(options.run)
        source = policy.source()
        assert source.make_another is not None
        policy.fits(source.make_training())
        seed = policy.about["seed"] if options.seed is None else options.seed
        evaluator = Evaluator(source.make_another, options.episodes, seed)
    try:
        evaluation = evaluator.evaluate(
            policy.act, "evaluation", step=policy.about["step"], state=policy.environment_state
        )
    except FaultyEnvironmentError as error:
        return failed(error)
    finally:
        evaluator.close()
    assert evaluation is not None
    if options.json:
        result(
            json.dumps(
                {
                    "environment": source.name,
                    "agent": policy.about["agent"],
                    "step": policy.about["step"],
                    "seed": seed,
                    "return_mean": evaluation.mean,
                    "return_std": evaluation.std,
                    "returns": list(evaluation.returns),
                    "lengths": list(evaluation.lengths),
                }
            )
        )
        return 0
    result(visible(f"{policy.about['agent']} on {source.name}, trained for {policy.about['step']:,} steps"))
    mean, deviation = evaluation.mean, evaluation.std
    spread = f"{number(mean, least=2)} +- {number(deviation, mean, least=2)}"
    result(f"return  {spread} over {options.episodes} episodes")
    result("returns " + " ".join(number(value, least=2).replace(",", "") for value in evaluation.returns))
    return 0


def watch(arguments: list[str]) -> int:
    """Run `rewirl watch` and return its exit code."""
    options = parse(
        "watch",
        arguments,
        run=(Path, dataclasses.MISSING, "Directory of a run, or of a saved policy."),
        video=(Path | None, None, "File to write, such as out.mp4, rendered off-screen. None opens a window."),
        episodes=(int, 1, "How many episodes. Typical: 1 to 3."),
        seed=(int | None, None, "Decides the episodes. None is those of the run's own evaluations."),
    )
    require_at_least_one("--episodes", options.episodes)
    with usage_errors():
        policy = TrainedPolicy.load(options.run)
        seed = policy.about["seed"] if options.seed is None else options.seed
        try:
            returns = show(policy, options.episodes, seed, options.video, say)
        except FaultyEnvironmentError as error:
            return failed(error)
    for episode, value in enumerate(returns):
        result(f"episode {episode}: return {number(value, least=2)}")
    if options.video is not None:
        result(visible(f"video: {options.video}"))
    return 0
