"""What is public: names, signatures, commands, options with their types and defaults, presets, policies, environments.

python tests/compatibility/public.py    # after a change that is meant: writes public.json anew, for the diff to be read
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import json
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import gymnasium

SNAPSHOT = Path(__file__).parents[1] / "fixtures" / "public.json"
MODULES = ("rewirl", "rewirl.topology", "rewirl.torch")
ENVIRONMENTS = ("rewirl.changing", "rewirl.noisy")
HAS_TORCH = importlib.util.find_spec("torch") is not None


def public() -> dict[str, Any]:
    """All of it, as JSON values."""
    from rewirl.agents import AGENTS, agent_entry
    from rewirl.cli.commands import COMMANDS
    from rewirl.options.option import options
    from rewirl.options.train import TrainConfig
    from rewirl.presets import lookup
    from rewirl.storage import pretrained
    from rewirl.storage.values import to_values

    names: dict[str, Any] = {}
    for module_name in MODULES if HAS_TORCH else MODULES[:-1]:
        module = importlib.import_module(module_name)
        for name in sorted(module.__all__):
            names[f"{module_name}.{name}"] = described(getattr(module, name))
    for module_name in ENVIRONMENTS:
        importlib.import_module(module_name)
    return {
        "names": names,
        "commands": list(COMMANDS),
        "options": {agent: {name: text(option.kind) for name, option in options(agent).items()} for agent in AGENTS},
        "defaults": {
            "run": {key: value for key, value in to_values(TrainConfig()).items() if key != "threads"},
            **{agent: to_values(agent_entry(agent).config()) for agent in AGENTS},
        },
        "presets": list(lookup.names()),
        "policies": sorted(pretrained.cards()),
        "environments": sorted(name for name in gymnasium.registry if name.startswith("rewirl/")),
    }


def described(value: Any) -> Any:
    """What can be relied on of a public name: the parameters of a function, the public methods of a class."""
    if inspect.isclass(value):
        members = {
            name: described(member)
            for name, member in inspect.getmembers(value)
            if not name.startswith("_")
            and not _of_torch(value, name)
            and (callable(member) or isinstance(member, property))
            and not (issubclass(value, BaseException) and hasattr(BaseException, name))  # they are Python's
        }
        fields = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
        return {"class": members, "fields": fields, "parameters": parameters(value)}
    if callable(value):
        return parameters(value)
    return type(value).__name__


def _of_torch(kind: type, name: str) -> bool:
    """Whether a class has an attribute from one of PyTorch's."""
    return next((base for base in kind.__mro__ if name in vars(base)), kind).__module__.startswith("torch.")


def parameters(function: Any) -> list[str]:
    """The parameters of a function by name, with a star where they are given by name alone.

    Those of an error that Python makes are none, whatever its version says of them.
    """
    if inspect.isclass(function) and issubclass(function, BaseException) and "__init__" not in vars(function):
        return []
    try:
        signature = inspect.signature(function)
    except ValueError:
        return []
    star = {inspect.Parameter.KEYWORD_ONLY: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [star.get(parameter.kind, "") + name for name, parameter in signature.parameters.items()]


def text(kind: Any) -> str:
    """A type as its code has it; Python 3.14 writes a union in another way than those before it."""
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(map(text, get_args(kind)))
    if kind is type(None):
        return "None"
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


if __name__ == "__main__":
    assert HAS_TORCH, "rewirl.torch is public too: pip install torch"
    SNAPSHOT.write_text(json.dumps(public(), indent=1) + "\n")
