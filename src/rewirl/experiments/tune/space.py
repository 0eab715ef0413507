"""What a study samples: an interval or a list of values for each of some options, by their own definitions."""

from __future__ import annotations

import importlib
import math
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rewirl.agents import agent_entry
from rewirl.agents.config import setting
from rewirl.exact import alternatives
from rewirl.experiments.tune.error import TuneError
from rewirl.options.option import Option, options
from rewirl.options.resolve import AMOUNTS, Settings, resolve
from rewirl.options.unknown import in_the_shell, unknown_option
from rewirl.storage.values import from_text
from rewirl.topology import make_rule

USUAL = (
    *("learning_rate", "batch_size", "gamma", "tau", "target_update_interval"),
    *("exploration_noise", "epsilon_end", "clip_range", "gae_lambda", "return_lambda", "entropy_coefficient"),
)
USUAL_SPARSE = ("sparsity", "structure")
USUAL_REWIRED = ("adapt_every", "adapt_fraction")
"""What is sampled unless one says otherwise, as far as an agent has it: of any, of sparse and of rewired ones."""

_STRUCTURES = ("unstructured", "4x1", "8x1")
_TEXT = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
"""A text among the settings of a rule."""
_WIDE = 3
"""From this ratio of its ends on, an interval is sampled on a logarithmic scale unless one says otherwise."""


@dataclass(frozen=True)
class Dimension:
    """One option that is sampled, with its interval or its values."""

    option: Option
    low: float | int = 0
    high: float | int = 0
    log: bool = False
    """Whether the interval is sampled on a logarithmic scale."""
    choices: tuple[str, ...] = ()
    """The values as one types them; empty where there is an interval."""

    def distribution(self) -> Any:
        """Return it as Optuna's distribution."""
        distributions: Any = importlib.import_module("optuna").distributions
        if self.choices:
            return distributions.CategoricalDistribution(self.choices)
        kind = distributions.IntDistribution if isinstance(self.low, int) else distributions.FloatDistribution
        return kind(self.low, self.high, log=self.log)

    def value(self, sampled: Any) -> Any:
        """Return the option's value for what Optuna sampled."""
        return _read(self.option, sampled) if self.choices else self.option.value(sampled)

    def sampled(self, value: Any) -> Any:
        """Return what Optuna would have sampled for a value of the option; None where it never would."""
        if self.choices:
            return next((words for words in self.choices if self.value(words) == value), None)
        return value if isinstance(value, (int, float)) and self.low <= value <= self.high else None

    def corners(self) -> list[Any]:
        """Return the values, or the ends of the interval, as the option has them."""
        return [self.value(words) for words in self.choices] or [self.low, self.high]

    def values(self) -> dict[str, Any]:
        """Return it as JSON values."""
        if self.choices:
            return {"choices": list(self.choices)}
        return {"low": self.low, "high": self.high, "log": self.log}

    def words(self) -> str:
        """Return in words what is sampled."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return f"{self.low} to {self.high}{', on a logarithmic scale' if self.log else ''}"


Space = Mapping[str, Dimension]
"""By name of the option."""


def usual_space(request: Mapping[str, Any]) -> dict[str, Dimension]:
    """Return what is sampled unless one says otherwise.

    An interval is what the option's help calls typical, stretched to the value that a run has without sampling. What
    the request says itself is not sampled.

    Args:
        request: as for `resolve`.
    """
    settings = resolve(request)
    entry, agent = agent_entry(settings.run.agent), settings.agent
    names = list(USUAL)
    if not entry.dense or agent.topology.sparsity != 0:
        names += USUAL_SPARSE
        changing = agent.topology.initial_sparsity is not None  # its schedule is more than a period
        names += USUAL_REWIRED if agent.topology.rule != "static" and not changing else ()
    known = options(entry.name)
    said = set(request) | ({"sparsity"} if any(name in request for name in AMOUNTS) else set())
    if not entry.targets or setting(agent, "target_update_interval", 1) > 1:
        said.add("tau")  # no targets, or hard ones, which are copies
    if agent.topology.structure not in _STRUCTURES:
        said |= {"structure", "sparsity"} if ":" in agent.topology.structure else {"structure"}
    space = {}
    for name in names:
        if name in known and name not in said:
            dimension = _usual(known[name], request, settings)
            if dimension is not None:
                space[name] = dimension
    return space


def asked_space(words: Iterable[str], request: Mapping[str, Any]) -> dict[str, Dimension]:
    """Return what somebody wants to be sampled.

    Args:
        words: NAME, NAME=LOW:HIGH, NAME=log:LOW:HIGH or NAME=A,B,C for each option; a name alone is what its help
            calls typical, or all its values. The values of a list have spaces between them: hidden-sizes=64 64,256 256.
        request: as for `resolve`.

    Raises:
        TuneError: there is no such option, or it cannot be sampled so; says what can be.
    """
    settings = resolve(request)
    agent = settings.run.agent
    known = options(agent)
    sampled = {name: option for name, option in known.items() if option.part != "run"}
    space: dict[str, Dimension] = {}
    for each in words:
        typed, equals, text = each.partition("=")
        name = typed.strip().removeprefix("--").replace("-", "_")
        if name in known and name not in sampled:
            raise TuneError(
                f"--sample {each}: {typed} is the same for all runs of a study; options of an agent are not"
            )
        if name not in sampled:
            raise TuneError(f"--sample {each}: {unknown_option(agent, name, sampled, in_the_shell(agent))}")
        if name in space:
            raise TuneError(f"--sample {each}: {typed} is there twice")
        if name in request:
            raise TuneError(f"--sample {each}: {typed} has a value of its own too; leave one out")
        option = sampled[name]
        try:
            space[name] = _asked(option, text.strip()) if equals else _named(option, request, settings)
        except ValueError as error:
            raise TuneError(f"--sample {each}: {error}") from error
    _check(space, request)
    return space


def _asked(option: Option, text: str) -> Dimension:
    """Return the interval or the values that a text stands for."""
    kind = next((kind for kind in (float, int) if kind in alternatives(option.kind)), None)
    scale, colon, rest = text.partition(":")
    ends = (rest if scale == "log" else text).split(":")
    if kind is not None and colon and "," not in text:
        if len(ends) != 2:
            raise ValueError("an interval is LOW:HIGH or log:LOW:HIGH")
        low, high = (option.read([end.strip()]) for end in ends)
        if not (isinstance(low, (int, float)) and isinstance(high, (int, float)) and low < high):
            raise ValueError(f"the lower end of an interval comes first, got {text}")
        if not math.isfinite(low) or not math.isfinite(high):
            raise ValueError(f"an interval has two finite ends, got {text}")
        if scale == "log" and low <= 0:
            raise ValueError(f"a logarithmic scale begins above 0, not at {low}")
        return Dimension(option, low, high, scale == "log")
    choices = tuple(dict.fromkeys(words.strip() for words in _split(text) if words.strip()))
    if len(choices) < 2:
        name = option.name.replace("_", "-")
        interval = "" if kind is None else "an interval, LOW:HIGH or log:LOW:HIGH, or "
        raise ValueError(f"give {interval}at least two values, {_values(option)}; one value is --{name} VALUE")
    if any(_read(option, words) is None for words in choices):
        raise ValueError("None is no value to sample: a preset file could not hold it")
    return Dimension(option, choices=choices)


def _split(text: str) -> list[str]:
    """Return what is between the commas of a text, but for those in parentheses: a rule has its settings there."""
    parts = [""]
    for piece in text.split(","):
        parts[-1] += f",{piece}" if parts[-1] else piece
        outside = _TEXT.sub("", parts[-1])  # of an open text a quotation mark is left
        inside = "(" in outside and ("'" in outside or '"' in outside)
        if not inside and outside.count("(") <= outside.count(")"):
            parts.append("")
    return parts


def _named(option: Option, request: Mapping[str, Any], settings: Settings) -> Dimension:
    """Return what an option is sampled from that is named without more."""
    dimension = _usual(option, request, settings)
    if dimension is None:
        name = option.name.replace("_", "-")
        if {int, float} & set(alternatives(option.kind)):
            raise ValueError(f"its help has no typical interval here; give one, {name}=LOW:HIGH, or values, {name}=A,B")
        raise ValueError(f"its help has no values to choose from here; give at least two, {name}={_values(option)}")
    return dimension


def _values(option: Option) -> str:
    """Return how two values of an option are typed; each may be a list itself."""
    return "'A A,B B'" if option.takes_a_list else "A,B"


def _usual(option: Option, request: Mapping[str, Any], settings: Settings) -> Dimension | None:
    own = settings.value(option)
    literals = [kind for kind in alternatives(option.kind) if typing.get_origin(kind) is Literal]
    choices = _STRUCTURES if option.name == "structure" else tuple(map(str, literals and typing.get_args(literals[0])))
    choices = ("True", "False") if option.kind is bool else choices
    if choices and not {int, float} & set(alternatives(option.kind)):
        possible = tuple(words for words in choices if _possible(request, {option.name: _read(option, words)}))
        return Dimension(option, choices=possible) if len(possible) > 1 else None
    if option.typical is None:
        return None
    low, high = (option.read([word]) for word in option.typical)
    if option.name == "adapt_every":  # or nothing would be rewired before the run is over
        updates = settings.agent.updates_after(settings.run.total_timesteps - settings.agent.learning_starts)
        high = min(high, updates // 2)
    if type(own) in (int, float):
        low, high = min(low, own), max(high, own)
    return Dimension(option, low, high, 0 < low * _WIDE <= high) if low < high else None


def _check(space: Space, request: Mapping[str, Any]) -> None:
    """Refuse a value that is impossible, with the others as they are and with any other one that is sampled.

    A rule is looked for too, which settings alone do not.

    Raises:
        TuneError: there is one; names it.
    """
    corners = [{name: value} for name, dimension in space.items() for value in dimension.corners()]
    for corner in corners:
        if any(_possible(request, {**other, **corner}) for other in [{}, *corners]):
            continue
        try:
            _resolved({**request, **corner})
        except ValueError as error:
            raise TuneError(f"--sample {next(iter(corner)).replace('_', '-')}: {error}") from error


def _possible(request: Mapping[str, Any], more: Mapping[str, Any]) -> bool:
    try:
        _resolved({**request, **more})
    except ValueError:
        return False
    return True


def _resolved(request: Mapping[str, Any]) -> None:
    topology = resolve(request).agent.topology
    make_rule(topology.rule, topology)


def _read(option: Option, words: str) -> Any:
    return from_text(option.kind, words.split() if option.takes_a_list else [words], option.name)


def sampled_values(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of options for what Optuna sampled, by name."""
    return {name: dimension.value(params[name]) for name, dimension in space.items()}


def starting_point(space: Space, settings: Settings) -> dict[str, Any]:
    """Return what Optuna would have sampled for settings without sampling, as far as the space has it."""
    point = {}
    for name, dimension in space.items():
        sampled = dimension.sampled(settings.value(dimension.option))
        if sampled is not None:
            point[name] = sampled
    return point


def lines(space: Space) -> Sequence[str]:
    """Return a line for each option: its name, and what it is sampled from."""
    width = max(map(len, space), default=0)
    return [f"{name.replace('_', '-'):<{width}}  {dimension.words()}" for name, dimension in space.items()]
