"""Exported C on this machine: compiled with its C compiler, and run in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.export.c_code import CFiles
from rewirl.export.plan import Box, Floats, Plan

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
"""What the tests compile with besides."""

_COMPILERS = ("cc", "gcc", "clang")
_SECONDS = 300


class NotRunError(Exception):
    """Exported C could not be compiled or run here; the message says why."""


class FailedError(NotRunError):
    """There is a compiler, but it, or the program that it made, failed."""


def compiler() -> str | None:
    """Return the C compiler of this machine, or None."""
    return next((path for name in _COMPILERS if (path := shutil.which(name))), None)


def run(files: CFiles, plan: Plan, name: str, observations: Floats, flags: Sequence[str] = ()) -> NDArray[Any]:
    """Return the actions of exported C.

    Args:
        files: its text.
        plan: what it was written from.
        name: it was given.
        observations: float32 [batch, n_in].
        flags: more for the compiler.

    Returns:
        float32 [batch, action]; or int64 [batch], the numbers of the choices. Where it says that there is no action,
        they are NaN, or the lowest number.

    Raises:
        NotRunError: there is no compiler, or no place where it may write or its program may run.
        FailedError: it or the program failed.
    """
    command = compiler()
    if command is None:
        raise NotRunError(f"there is no C compiler here ({', '.join(_COMPILERS)})")
    box = isinstance(plan.head, Box)
    try:
        temporary = tempfile.TemporaryDirectory(prefix="rewirl-export-")
    except OSError as error:
        raise NotRunError(f"there is no place for temporary files: {error.strerror or error}; set TMPDIR") from error
    with temporary as place:
        directory = Path(place)
        caller = directory / "caller"  # a place of its own, whatever the name of the policy
        try:
            (directory / f"{name}.h").write_text(files.header, encoding="ascii")
            (directory / f"{name}.c").write_text(files.source, encoding="ascii")
            caller.mkdir()
            (caller / "main.c").write_text(_main(plan, name), encoding="ascii")
        except OSError as error:
            raise NotRunError(f"{directory} cannot be written to: {error.strerror or error}; set TMPDIR") from error
        program = caller / "program"
        sources = [str(directory / f"{name}.c"), str(caller / "main.c")]
        _do([command, "-std=c99", "-O1", *flags, *sources, "-o", str(program), "-lm"], "the C compiler")
        output = _do([str(program)], "the compiled policy", np.ascontiguousarray(observations).tobytes())
    actions = np.frombuffer(output, np.float32 if box else np.int64)
    shape = (len(observations), plan.n_out) if box else (len(observations),)
    if actions.size != np.prod(shape):
        raise FailedError(f"the compiled policy wrote {actions.size} numbers for {len(observations)} observations")
    return actions.reshape(shape)


def _do(command: list[str], what: str, given: bytes = b"") -> bytes:
    try:
        return subprocess.run(command, input=given, capture_output=True, check=True, timeout=_SECONDS).stdout
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise FailedError(f"{what} failed: {said[0] if said else f'exit code {error.returncode}'}") from error
    except PermissionError as error:  # such as a directory for temporary files without programs, noexec
        raise NotRunError(f"{what} may not be run in {Path(command[0]).parent}; set TMPDIR to another place") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FailedError(f"{what} failed: {error}") from error


def _main(plan: Plan, name: str) -> str:
    upper = name.upper()
    box = isinstance(plan.head, Box)
    action, argument = (f"float action[{upper}_ACTION_SIZE]", "action") if box else ("int64_t action", "&action")
    none = "memset(action, 0xff, sizeof action)" if box else "action = INT64_MIN"  # bytes of ff are NaN
    return "\n".join(
        [
            f'#include "../{name}.h"',
            "#include <stdint.h>",
            "#include <stdio.h>",
            "#include <string.h>",
            "int main(void)",
            "{",
            f"    static float observation[{upper}_OBSERVATION_SIZE];",
            f"    {action};",
            "    while (fread(observation, sizeof observation, 1, stdin) == 1) {",
            f"        if ({name}_act(observation, {argument}) != 0) {{",
            f"            {none};",
            "        }",
            f"        fwrite({argument}, sizeof action, 1, stdout);",
            "    }",
            "    return 0;",
            "}",
            "",
        ]
    )
