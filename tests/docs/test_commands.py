"""Every command and option on a page exists."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import shlex
from pathlib import Path

import pytest
from prose import ROOT, pages

from rewirl.cli.main import main

LINES = {
    page: re.findall(r"^(rewirl +[a-z].*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    for page in pages()
    if page.name != "CHANGELOG.md"
}


@functools.cache
def options(command: str) -> set[str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0, f"there is no {command}"
    return set(re.findall(r"--[a-z][a-z0-9-]*", printed.getvalue()))


@pytest.mark.parametrize("page", [page for page in LINES if LINES[page]], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_on_a_page_exist_with_their_options(page: Path) -> None:
    for line in LINES[page]:
        _, command, *words = shlex.split(line, comments=True)
        kind = f"{command} {words[0]}" if command == "bench" and words and words[0][0] != "-" else command
        asked = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert asked <= options(kind), line
