"""The command line: `rewirl COMMAND ...`."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from rewirl.cli.commands import COMMANDS, run
from rewirl.cli.errors import UsageError, failed, in_words
from rewirl.hints import did_you_mean
from rewirl.printing import OutputError, command_line, ended, result, say, show, visible, without_colours
from rewirl.tested import untested

_USING_DEPENDENCIES = {"train", "resume", "evaluate", "watch", "sweep", "tune"}
"""Commands that make environments and agents."""

_ABOUT = """Rewirl trains deep RL agents with sparse networks that rewire themselves.

usage: rewirl COMMAND ...   (rewirl COMMAND --help explains its options)

{commands}

example: rewirl train --agent ds-td3 --env HalfCheetah-v5 --seed 0"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 if all went well, 2 if it was used wrongly, 1 if something failed on the way.

    A run that is asked to stop by a signal is saved and exits with 128 plus the signal's number.

    Args:
        arguments: what follows `rewirl`; None is what this process was started with.
    """
    _prepare_output()
    try:
        with command_line():
            sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments)))
    except UsageError as error:
        say(f"rewirl: {ended(error)}")
        sys.exit(2)
    except OutputError as error:
        sys.stdout = None  # or Python would try again, and exit with a code of its own
        sys.exit(failed(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            sys.exit(failed(in_words(error)))
        # The reader of our output went away, as `rewirl inspect | head` does; nobody is left to read a traceback.
        sys.stdout = None
        sys.exit(141)


def _run(arguments: list[str]) -> int:
    if arguments and arguments[0] == "help":  # as git and pip have it: rewirl help COMMAND
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
        result(_ABOUT.format(commands="\n".join(lines)))
        return 0
    if arguments[0] in ("-V", "--version"):
        from rewirl import __version__

        result(f"rewirl {__version__}")
        return 0
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError("the working directory is gone or closed to you; cd to another one first") from error
    name, *rest = [_home_expanded(argument) for argument in arguments]
    if name not in COMMANDS:
        raise UsageError(f"no command {name!r}; {did_you_mean(name, COMMANDS)}")
    if name in _USING_DEPENDENCIES and not {"-h", "--help"} & set(rest):
        newer = untested()
        if newer:
            say(f"rewirl: warning: {newer}")
    return run(name, rest)


def _home_expanded(argument: str) -> str:
    """Return --option=~/path as --option ~/path would arrive; not every shell expands it there."""
    option, equals, value = argument.partition("=")
    if option.startswith("--") and (value == "~" or value.startswith("~/")):
        with contextlib.suppress(RuntimeError):  # nobody knows a home
            return f"{option}{equals}{Path(value).expanduser()}"
    return argument


def _prepare_output() -> None:
    """Let no file take the place of a closed output, and no text of other programs be obeyed by a terminal."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest descriptor that is free
    if warnings.formatwarning.__module__ in ("warnings", "_py_warnings"):  # the latter from Python 3.14 on
        original = warnings.formatwarning
        warnings.formatwarning = lambda *details: visible(without_colours(original(*details)), lines=True)
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _print_traceback


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    for line in "".join(traceback.format_exception(kind, error, trace)).rstrip("\n").split("\n"):
        show(line, sys.stderr)
