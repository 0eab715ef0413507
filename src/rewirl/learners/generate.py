"""Write the classes of the agents from their registry: `python -m rewirl.learners.generate`.

Each entry of the registry has a module here with one class, whose constructor has every option of the agent and of its
topology as a typed keyword.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from rewirl.agents import AGENTS
from rewirl.agents.registry import Entry
from rewirl.exact import alternatives
from rewirl.options.option import Option, options
from rewirl.options.resolve import AMOUNTS, GIVING_WAY
from rewirl.presets.lookup import defaults
from rewirl.presets.sokar import TASKS

HERE = Path(__file__).parent

_WRITTEN = "Written by `python -m rewirl.learners.generate`."

_MODULE = '''"""{summary}. {written}"""

from __future__ import annotations

{imports}
from rewirl.learners.learner import Learner
from rewirl.learners.unset import UNSET

if TYPE_CHECKING:
    from rewirl.learners.learner import EnvironmentLike


class {python}(Learner):
    """{summary}.{about}"""

    name = "{name}"

    def __init__(
        self,
        env: EnvironmentLike,
        seed: int = 0,
        threads: int | None = None,
        *,
        env_kwargs: Mapping[str, Any] | None = None,
        env_module: str | None = None,
        wrapper: Sequence[str] = (),
        n_envs: int = 1,
        env_processes: bool = False,
{parameters}
        **unknown: Never,
    ) -> None:
        """Build the agent.

        Args:
{arguments}

        Raises:
            UnsuitableEnvironmentError: the environment cannot be found, or has spaces that the agent does not take.
            ValueError: an option is unknown or impossible; names it.
        """
        self._start(locals())
'''

_PACKAGE = '''"""The agents in Python, a class for each of the registry. {written}"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
{imports}

__all__ = [
{names}
]

_MODULES = {{
{modules}
}}


def __getattr__(name: str) -> Any:
    """Import an agent when it is first asked for, so that `import rewirl` costs next to nothing."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"rewirl.learners.{{_MODULES[name]}}"), name)
    raise AttributeError(f"module 'rewirl.learners' has no attribute {{name!r}}")
'''

_OPTIONS = '''"""Every option of any agent by name and type. {written}"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class Options(TypedDict, total=False):
    """Options of a run, of its agent and of its topology; what each means says its agent's class."""

{fields}
'''

_COMMON = {
    "env": "a Gymnasium id, an environment, or a function without arguments that makes one. A single environment that "
    "is not registered can be learnt in, but not evaluated in.",
    "seed": "decides every random number.",
    "threads": "2 updates the networks of an agent side by side and, for an environment given by its id, evaluates in "
    "a process beside training, with the same result; None is 2 where there are two cores.",
    "env_kwargs": "arguments for an environment given by its id.",
    "env_module": "module imported first, which registers environments of your own.",
    "wrapper": "wrappers around an environment given by its id, each as module:Class, from the inside.",
    "n_envs": "environments to collect from; they take turns, and a step is still one transition. More than one need "
    "an id or a function.",
    "env_processes": "whether each environment has a process of its own, with the same result; for an environment "
    "given by its id.",
}


def files() -> dict[Path, str]:
    """Return the text of every generated file by its path."""
    entries = sorted(AGENTS.values(), key=lambda entry: entry.python)
    modules = {entry.python: entry.name.replace("-", "_") for entry in entries}
    package = _PACKAGE.format(
        written=_WRITTEN,
        imports="\n".join(
            f"    from rewirl.learners.{modules[name]} import {name}"
            for name in sorted(modules, key=modules.__getitem__)
        ),
        names="\n".join(
            f"    {json.dumps(name)}," for name in sorted(modules, key=lambda name: (not name.isupper(), name))
        ),
        modules="\n".join(f"    {json.dumps(name)}: {json.dumps(module)}," for name, module in modules.items()),
    )
    return {
        HERE / "__init__.py": package,
        HERE / "options.py": _OPTIONS.format(written=_WRITTEN, fields="\n".join(_fields())),
        **{HERE / f"{modules[entry.python]}.py": _module(entry) for entry in entries},
    }


def left_over(texts: Mapping[Path, str]) -> list[Path]:
    """Return the files written here before for which there is no text any more."""
    return [path for path in HERE.glob("*.py") if path not in texts and _WRITTEN in path.read_text().partition("\n")[0]]


def main() -> int:
    """Write what is not current, and delete what no entry stands for; return 0."""
    texts = files()
    for path in left_over(texts):
        path.unlink()
    for path, text in texts.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(path)
    return 0


def _fields() -> Iterator[str]:
    """Yield a line for each option; one of several agents has the type of any of them."""
    kinds: dict[str, list[str]] = {}
    for agent in AGENTS:
        for option in options(agent).values():
            if option.name not in ("agent", "env", "seed", "threads"):  # arguments of their own
                own = kinds.setdefault(option.name, [])
                own += [kind for kind in map(_type, alternatives(option.kind)) if kind not in own]
    for name, each in kinds.items():
        yield f"    {name}: {' | '.join(each)}"


def _module(entry: Entry) -> str:
    of_agent = [option for option in options(entry.name).values() if option.part != "run"]
    by_environment = {name for env in TASKS for name in defaults(entry.name, env)}
    parameters, arguments = [], [_argument(name, text) for name, text in _COMMON.items()]
    for option in of_agent:
        settings = entry.topology if option.part == "topology" else entry.config
        default = entry.usual.get(option.name, getattr(settings, option.name, None))
        unset = option.name in by_environment or (option.name in AMOUNTS and default is not None)
        unset |= option.name in GIVING_WAY and default not in (None, 0.0, "paper")
        parameters.append(f"        {option.name}: {_type(option.kind)} = {'UNSET' if unset else _literal(default)},")
        arguments.append(_argument(option.name, _help(option, default, unset, bool(by_environment))))
    annotations = "".join(parameters)
    names = ["TYPE_CHECKING", "Any", *(["Literal"] if "Literal[" in annotations else []), "Never"]
    about = (sys.modules[entry.agent.__module__].__doc__ or "").partition("\n")[0]
    return _MODULE.format(
        written=_WRITTEN,
        imports=f"from collections.abc import Mapping, Sequence\nfrom typing import {', '.join(names)}\n",
        python=entry.python,
        name=entry.name,
        summary=entry.summary[0].upper() + entry.summary[1:],
        about=f"\n\n    {about}\n    " if about else "",
        parameters="\n".join(parameters),
        arguments="\n".join(arguments),
    )


def _help(option: Option, default: Any, unset: bool, by_environment: bool) -> str:
    text = re.sub(r"--([a-z-]+)", lambda match: f"`{match[1].replace('-', '_')}`", option.help)
    if not unset:
        return text
    usual = "none" if default is None else default
    paper = "as in the paper for its environments, else " if by_environment else ""
    return f"{text} Default: {paper}{usual}."


def _argument(name: str, text: str) -> str:
    return textwrap.fill(
        f"{name}: {text}", 120, initial_indent=" " * 12, subsequent_indent=" " * 16, break_on_hyphens=False
    )


def _type(kind: Any) -> str:
    """Return a type as source text; a tuple may be given as any sequence."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " | ".join(map(_type, arguments))
    if origin is Literal:
        return f"Literal[{', '.join(map(json.dumps, arguments))}]"
    if origin is tuple:
        return f"Sequence[{_type(arguments[0])}]"
    if origin is dict:
        return "Mapping[str, Any]"
    return "None" if kind is type(None) else str(kind.__name__)


def _literal(value: Any) -> str:
    """Return a default as source text."""
    if isinstance(value, str):
        return json.dumps(value)
    if type(value) is int:
        return f"{value:_}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return repr(value)


if __name__ == "__main__":
    sys.exit(main())
