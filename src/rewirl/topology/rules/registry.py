"""The rules by name, and a user's own by `package.module:Class`."""

from __future__ import annotations

import inspect
from typing import Any

from rewirl.hints import did_you_mean, nearest
from rewirl.plugins import import_for, instead_of_own
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
            working directory too.
        config: the topology configuration of the run, handed to the rule.

    Raises:
        ValueError: there is no such rule; the message names the nearest, or says what is wrong with the class. Or the
            class lacks what the structure needs.
    """
    module_name, colon, class_name = RULES.get(name, name).partition(":")
    if not (module_name and colon and class_name):
        hint = did_you_mean(name.lower(), RULES)
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
    if isinstance(config.spread, FanIn) and name != "static" and kind.grow_score is Rule.grow_score:
        raise without_grow_score(kind)
    try:
        inspect.signature(kind).bind(config)
    except TypeError as error:
        raise ValueError(
            f"the rule {name!r}: {class_name} must be made from the topology configuration alone, "
            f"__init__(self, config): {error}"
        ) from error
    return kind(config)
