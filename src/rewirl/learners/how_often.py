"""How long `learn` learns, and how often it evaluates and saves: as told, else as the run is planned, else as usual."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rewirl.exact import exactly
from rewirl.learners.options import Options
from rewirl.options import sb3
from rewirl.options.option import options
from rewirl.options.train import TrainConfig
from rewirl.options.unknown import UnknownOptionError, unknown_keyword, unknown_option

if TYPE_CHECKING:
    from rewirl.learners.learner import Learner
    from rewirl.training.run import Run

_USUAL = {"eval_every": 5_000, "eval_episodes": 10, "checkpoint_every": 100_000, "keep_checkpoints": 2}


def how_many_steps(total_timesteps: int | None, step: int, planned: TrainConfig | None, ended: bool) -> int:
    """Return the environment steps that a call of `learn` is to do.

    Args:
        total_timesteps: as the call was told; None is what is left of the run.
        step: those done so far.
        planned: settings of a run that is resumed or of a preset; None is no such run.
        ended: whether the run has all there is to it. It may lack its last evaluation or its policy after its last
            step: then there are no steps left, but that.

    Raises:
        ValueError: there is no such number of steps.
    """
    if total_timesteps is None and planned is not None:
        if planned.total_timesteps < step or (planned.total_timesteps == step and ended):
            raise ValueError(f"the run is at its end, at step {step:,}; say how many total_timesteps more")
        return planned.total_timesteps - step
    if total_timesteps is None:
        raise ValueError(
            "total_timesteps says how many steps to learn for, such as learn(100_000); only an agent of "
            "rewirl.resume or rewirl.from_preset knows by itself"
        )
    steps: int = exactly(int, total_timesteps, "total_timesteps")
    if steps < 1:
        raise ValueError(f"total_timesteps must be at least 1, got {steps}")
    return steps


def how_often(asked: Mapping[str, int], planned: TrainConfig | None, shown: bool) -> dict[str, int]:
    """Return the options of how often to evaluate and to save.

    Args:
        asked: those that `learn` has been told, in this call or an earlier one.
        planned: settings of a run that is resumed or of a preset; None is no such run.
        shown: whether anybody would learn of an evaluation; without it there is none unless it is asked for.
    """
    usual = _USUAL if planned is None else {name: getattr(planned, name) for name in _USUAL}
    return {**usual, **({} if shown else {"eval_every": 0}), **asked}


def may_evaluate(run: Run, check: bool, tell: Callable[[str], None]) -> bool:
    """Return whether the environment of a run can be made again, and tell why if not.

    Args:
        run: which is examined.
        check: whether a spare environment may be made for that.
        tell: gets the line.
    """
    run.examine(check)
    source = run.source
    if source.make_another is None:
        tell(f"{source.name} is not evaluated in: {source.why}")
    return source.make_another is not None


def unknown_setting(learner: Learner, name: str, known: Sequence[str]) -> UnknownOptionError:
    """Return the error that an agent has no such option; one that is an argument of `learn` is named as such.

    Args:
        learner: the agent that is to be made.
        name: what is no option of it.
        known: its options.
    """
    if name in inspect.signature(type(learner).learn).parameters and name != "self":
        hint = f"it is an argument of learn: agent.learn({name}=...)"
        return UnknownOptionError(f"{learner.name} has no option {name!r}; {hint}")
    return unknown_option(learner.name, name, known)


def unknown_argument(learner: Learner, name: str) -> UnknownOptionError:
    """Return the error that `learn` has no such keyword; it says what to write."""
    known_options = Options.__annotations__.keys() | {"seed", "threads"}
    if name in known_options and name in inspect.signature(type(learner)).parameters:
        hint = f"it is an option of the agent: {type(learner).__name__}(env, {name}=...)"
    elif name in known_options and name in options(learner.name):
        hint = f"it is an option of a run: rewirl.from_preset(preset, {name}=...)"
    else:
        return unknown_keyword(learner.learn, name, sb3.LEARN)
    return UnknownOptionError(f"learn() has no argument {name!r}; {hint}")
