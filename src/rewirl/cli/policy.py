"""The commands that use a saved policy, `evaluate` and `watch`, and the list of those that come with Rewirl."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
from pathlib import Path

from rewirl.cli.errors import UsageError, failed, require_at_least_one, usage_errors
from rewirl.cli.fields import OPTIONAL_NAME
from rewirl.cli.parse import parse
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.identity import MODULE_HELP, import_named
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.hints import did_you_mean
from rewirl.printing import number, program, result, say, visible
from rewirl.storage import pretrained
from rewirl.training.evaluation import Evaluator
from rewirl.training.signals import StopRequest
from rewirl.training.trained_policy import TrainedPolicy
from rewirl.training.watch import watch as show

POLICY_HELP = "Directory of a run, or of a saved policy; or the name of one that comes with Rewirl (rewirl policies)."


def policies(arguments: list[str]) -> int:
    """Run `rewirl policies` and return its exit code."""
    options = parse(
        "policies",
        arguments,
        name=(OPTIONAL_NAME, None, "Name of a policy, to show its card. Without it all are listed."),
        json=(bool, False, "Print JSON instead of a table."),
    )
    name: str | None = options.name and options.name.rstrip("/")  # a shell completes the names of directories so
    with usage_errors():
        cards = pretrained.cards()
    if name is not None and name not in cards:
        raise UsageError(f"no policy {name!r}; {did_you_mean(name, cards)}")
    if options.json or name is not None:
        result(json.dumps(cards if name is None else cards[name], indent=2))
        return 0
    width = max(map(len, cards))
    result(f"{'policy':<{width}}  return, {'episodes':<12}  sparsity  connections    bytes")
    for each, card in cards.items():
        played = f"{card['return_mean']:,.0f} +- {card['return_std']:,.0f} ({card['episodes']})"
        result(
            f"{each:<{width}}  {played:<20}  {card['sparsity']:>8.0%}  {card['connections']:>11,}  {card['bytes']:>7,}"
        )
    result(f"\n{program()} policies NAME shows the card of one; evaluate, watch and export take the name.")
    return 0


def evaluate(arguments: list[str]) -> int:
    """Run `rewirl evaluate` and return its exit code."""
    options = parse(
        "evaluate",
        arguments,
        run=(Path, dataclasses.MISSING, POLICY_HELP),
        env_module=(str | None, None, MODULE_HELP),
        episodes=(int, 10, "How many episodes. Typical: 10 to 100."),
        seed=(int | None, None, "Decides the episodes. None is those of the run's own evaluations."),
        json=(bool, False, "Print one JSON object instead of lines for people."),
    )
    require_at_least_one("--episodes", options.episodes)
    with usage_errors():
        import_named(options.env_module)
        policy = TrainedPolicy.load(options.run)
        source = policy.source()
        assert source.make_another is not None
        with contextlib.closing(source.make_training()) as environment:
            policy.check_fits(environment)
        seed = policy.about["seed"] if options.seed is None else options.seed
        evaluator = Evaluator(source.make_another, options.episodes, seed)
    try:
        evaluation = evaluator.evaluate(
            policy.act, "evaluation", step=policy.environment_step, state=policy.environment_state
        )
    except (FaultyEnvironmentError, UnsuitableEnvironmentError) as error:
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
    result(f"return  {spread} over {options.episodes} episode{'s' if options.episodes > 1 else ''}")
    result("returns " + " ".join(number(value, least=2).replace(",", "") for value in evaluation.returns))
    return 0


def watch(arguments: list[str]) -> int:
    """Run `rewirl watch` and return its exit code."""
    options = parse(
        "watch",
        arguments,
        run=(Path, dataclasses.MISSING, POLICY_HELP),
        env_module=(str | None, None, MODULE_HELP),
        video=(Path | None, None, "File to write, such as out.mp4, rendered off-screen. None opens a window."),
        episodes=(int, 1, "How many episodes. Typical: 1 to 3."),
        seed=(int | None, None, "Decides the episodes. None is those of the run's own evaluations."),
    )
    require_at_least_one("--episodes", options.episodes)
    with usage_errors():
        import_named(options.env_module)
        policy = TrainedPolicy.load(options.run)
        seed = policy.about["seed"] if options.seed is None else options.seed
        stop = StopRequest()  # or SIGTERM is taken by pygame, which does nothing with it
        try:
            with stop:
                returns = show(policy, options.episodes, seed, options.video, say, lambda: bool(stop))
        except KeyboardInterrupt:
            if options.video is not None:
                say(f"rewirl: stopped; the unfinished video {options.video} was removed")
            return 128 + (stop.signal or signal.SIGINT)
        except FaultyEnvironmentError as error:
            return failed(error)
    for episode, value in enumerate(returns):
        result(f"episode {episode}: return {number(value, least=2)}")
    if options.video is not None:
        result(visible(f"video: {options.video}"))
    return 0
