"""Modules and classes of the user's own, by name."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import random
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

RAISED = (Exception, SystemExit)
"""What a user's own code may raise and be reported for: a sys.exit() in it must not end a run unsaved."""


def place_of(error: BaseException) -> str:
    """Return where an error came out of a user's own code, as " (file, line 3)"; "" where none was on the way.

    Args:
        error: which has been caught.
    """
    others = (Path(__file__).parent, Path(contextlib.__file__).parent)  # Rewirl, and what comes with Python
    installed = {"site-packages", "dist-packages"}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_file() and installed.isdisjoint(file.parts) and not any(map(file.is_relative_to, others)):
            return f" ({file}, line {frame.lineno})"
    return ""


@contextlib.contextmanager
def global_streams_kept() -> Iterator[None]:
    """Put back what a user's own code does to the random streams of the whole process."""
    here, arrays = random.getstate(), np.random.get_state()
    with contextlib.ExitStack() as stack:
        if torch := sys.modules.get("torch"):
            stack.enter_context(torch.random.fork_rng())
        try:
            yield
        finally:
            random.setstate(here)
            np.random.set_state(arrays)


def import_for(what: str, name: str) -> ModuleType:
    """Import a module that somebody named for something; see `import_module`.

    Args:
        what: names it, for messages, such as "the rule 'mine:Rule'".
        name: of the module, with its packages.

    Raises:
        ValueError: it cannot be imported; says why, and what to do.
    """
    try:
        return import_module(name)
    except RAISED as error:
        if not isinstance(error, ImportError) and not name.startswith("."):  # Python has no word for a relative name
            raise ValueError(
                f"{what}: importing {name} raised {type(error).__name__}: {error}{instead_of_own(name)}"
            ) from error
        raise ValueError(f"{what}: cannot import {name!r}: {with_remedy(name, error)}") from error


def class_and_settings(what: str, name: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a class, and its settings: "mine:Rule" and {"decay": 0.9} of "mine:Rule(decay=0.9)".

    Args:
        what: names it, for messages, such as "the rule 'mine:Rule(decay=0.9)'".
        name: module:Class, which settings may follow as in Python. Their values are literals; nothing is evaluated.

    Raises:
        ValueError: what is in parentheses is no settings; says how they are written.
    """
    said, parenthesis, _ = name.partition("(")
    if not parenthesis:
        return name, {}
    said = said.rstrip()
    try:
        call = ast.parse(f"made{name[len(said) :]}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args or name[-1] != ")":
            raise ValueError("a value without a name")
        settings = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        if len(settings) < len(call.keywords) or "None" in settings:
            raise ValueError("a name twice, or none")
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"{what}: its settings must be names with values, as in Python: {said}(decay=0.9, kind='text')"
        ) from error
    return said, settings


def with_remedy(name: str, error: BaseException) -> str:
    """Return why a module could not be imported, and what to do.

    Args:
        name: as somebody gave it.
        error: of `import_module`.
    """
    file = name.split(".")[0]
    if instead := instead_of_own(name):
        return f"{error}{instead}"
    return f"{error}. Install it, or run where {file}.py is" if file and not _is_path(name) else str(error)


def instead_of_own(name: str) -> str:
    """Return which file a name means, where another one of the working directory has it too; "" where none does.

    What comes with Python and what is installed goes before the working directory.

    Args:
        name: of a module, as somebody gave it.
    """
    package, _, inner = name.partition(".")
    with contextlib.suppress(*RAISED):  # it is no name, nothing has it, or the working directory is gone
        here = Path.cwd()
        files = (f"{package}.py", f"{package}/__init__.py", *([f"{name.replace('.', '/')}.py"] if inner else []))
        own = next((path for path in map(here.joinpath, files) if path.is_file()), None)
        spec = importlib.util.find_spec(package)
        if own is None or spec is None:
            return ""
        places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
        if not any(own.resolve().is_relative_to(Path(place).resolve()) for place in places if place):
            there, own = places[0] if places else "a part of Python", own if own.parent == here else here / package
            return f"; {package} is {there}, and not {own}: rename the latter"
    return ""


def _is_path(name: str) -> bool:
    """Tell whether somebody gave the path of a module rather than its name."""
    return "/" in name or os.sep in name


def import_module(name: str) -> ModuleType:
    """Import a module from where Python looks, or from the working directory.

    An installed command does not look in the working directory, where a user's own module usually is.

    Args:
        name: of the module, with its packages.

    Raises:
        ImportError: there is none, or one that it needs is missing.
        TypeError: the name is relative.
    """
    if _is_path(name):
        path = Path(os.path.normpath(name.removesuffix(".py")))
        below = not path.is_absolute() and ".." not in path.parts and not name.startswith("~")
        if not path.name:
            raise ModuleNotFoundError("a module is named with dots, such as my_package.my_module, not as a path")
        where = "" if below else f", and run where {path.name}.py is"
        dotted = ".".join(path.parts) if below else path.name
        raise ModuleNotFoundError(f"a module is named with dots, not as a path: {dotted}{where}")
    with contextlib.suppress(OSError):  # it is gone or closed to us, and what comes with Rewirl is elsewhere
        here = str(Path.cwd())
        if here not in sys.path and "" not in sys.path:
            sys.path.append(here)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is nothing that was asked for
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not name.endswith(".py"):
            raise
        raise ModuleNotFoundError(f"a module is named without .py: {name.removesuffix('.py')}") from error
