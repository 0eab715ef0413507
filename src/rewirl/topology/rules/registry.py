"""The rules by name, and a user's own by `package.module:Class`."""

from __future__ import annotations

import inspect
from typing import Any

from rewirl.hints import did_you_mean, nearest
from rewirl.plugins import RAISED, class_and_settings, import_for, instead_of_own, place_of
from rewirl.topology.config import TopologyConfig
from rewirl.topology.fan_in import FanIn
from rewirl.topology.rule import Rule, without_grow_score

RULES = {
    "static": "rewirl.topology.rules.static:Static",
    "set": "rewirl.topology.rules.set:SET",
    "rigl": "rewirl.topology.rules.rigl:RigL",
    "prune": "rewirl.topology.rules.prune:Prune",
    "wast": "rewirl.topology.rules.wast:WAST",
}


def make_rule(name: str, config: TopologyConfig) -> Rule:
    """Make the rule of this name.

    Args:
        name: one of RULES, or "package.module:Class", a `Rule` of the user's own that Python can import, from the
            working directory too. Settings of its own follow as in Python: "package.module:Class(decay=0.9)".
        config: the topology configuration of the run, handed to the rule.

    Raises:
        ValueError: there is no such rule; the message names the nearest, or says what is wrong with the class, or with
            a setting. Or the class lacks what the structure needs.
    """
    kind, settings = rule_class(name), _split(name)[1]
    if isinstance(config.spread, FanIn) and name != "static" and kind.grow_score is Rule.grow_score:
        raise without_grow_score(kind)
    try:
        inspect.signature(kind).bind(config, **settings)
    except TypeError as error:
        raise ValueError(f"the rule {name!r}: {error}; {_made_from(kind)}") from error
    try:
        return kind(config, **settings)
    except RAISED as error:
        raised = "" if isinstance(error, ValueError) else f"making it raised {type(error).__name__}: "
        raise ValueError(f"the rule {name!r}: {raised}{error}{place_of(error)}") from error


def _made_from(kind: type[Rule]) -> str:
    """Return in words what a rule is made from."""
    parameters = list(inspect.signature(kind).parameters.values())[1:]
    settings = [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    if settings:
        return f"its settings are {', '.join(settings)}"
    return "it is made from the topology configuration alone, __init__(self, config)"


def rule_class(name: str) -> type[Rule]:
    """Return the class of the rule of this name, which is as for `make_rule`.

    Raises:
        ValueError: there is no such rule, or it is no whole one.
    """
    said, _ = _split(name)
    module_name, colon, class_name = RULES.get(said, said).partition(":")
    if not (module_name and colon and class_name):
        hint = did_you_mean(said.lower(), RULES)
        raise ValueError(f"no rule {name!r}; {hint}, and package.module:Class for your own")
    module = import_for(f"the rule {name!r}", module_name)
    kind: Any = getattr(module, class_name, None)
    if kind is None:
        own = [name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, Rule)]
        hint = nearest(class_name, [name for name in own if name != "Rule"]).rstrip()
        elsewhere = "; it is of another program: move it to a module of its own" if module_name == "__main__" else ""
        instead = instead_of_own(module_name) or f"{hint and f'; {hint}'}{elsewhere}"
        raise ValueError(f"the rule {name!r}: {module_name} has no {class_name!r}{instead}")
    if not (inspect.isclass(kind) and issubclass(kind, Rule)):
        raise ValueError(f"the rule {name!r}: {class_name} is not a subclass of rewirl.topology.Rule")
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(kind.__abstractmethods__))
        raise ValueError(f"the rule {name!r}: {class_name} has yet to define {missing}")
    return kind


def _split(name: str) -> tuple[str, dict[str, Any]]:
    said, settings = class_and_settings(f"the rule {name!r}", name)
    if said in RULES and said != name:
        raise ValueError(f"the rule {name!r}: {said} has no settings of its own; drop and grow are options")
    return said, settings
