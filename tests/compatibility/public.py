"""What is public: names, signatures, commands, options with their types and defaults, keys of config.json.

python tests/compatibility/public.py    # after a change that is meant: writes public.json anew, for the diff to be read
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

SNAPSHOT = Path(__file__).parents[1] / "fixtures" / "public.json"
MODULES = ("rewirl", "rewirl.topology")


def public() -> dict[str, Any]:
    """All of it, as JSON values."""
    from rewirl.agents import AGENTS, agent_entry
    from rewirl.cli.commands import COMMANDS
    from rewirl.options.option import options
    from rewirl.options.train import TrainConfig
    from rewirl.presets import lookup
    from rewirl.storage.values import to_values

    names: dict[str, Any] = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in sorted(module.__all__):
            names[f"{module_name}.{name}"] = described(getattr(module, name))
    return {
        "names": names,
        "commands": list(COMMANDS),
        "options": {agent: {name: text(option.kind) for name, option in options(agent).items()} for agent in AGENTS},
        "defaults": {
            "run": {key: value for key, value in to_values(TrainConfig()).items() if key != "threads"},
            **{agent: to_values(agent_entry(agent).config()) for agent in AGENTS},
        },
        "presets": list(lookup.names()),
    }


def described(value: Any) -> Any:
    """What can be relied on of a public name: the parameters of a function, the public methods of a class."""
    if inspect.isclass(value):
        members = {
            name: described(member)
            for name, member in inspect.getmembers(value)
            if not name.startswith("_")
            and (callable(member) or isinstance(member, property))
            and not (issubclass(value, BaseException) and hasattr(BaseException, name))  # they are Python's
        }
        fields = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
        return {"class": members, "fields": fields, "parameters": parameters(value)}
    if callable(value):
        return parameters(value)
    return type(value).__name__


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
    SNAPSHOT.write_text(json.dumps(public(), indent=1) + "\n")
