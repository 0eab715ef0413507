"""The project's Markdown can be read: short sentences, short lines, links and files that are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from prose import ROOT, faults, pages

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_no_faults(page: Path) -> None:
    assert faults(page) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("w " * 36, "1: a sentence of 36 words"),
        ("A short one.\n\n* item " + "w " * 35, "3: a sentence of 36 words"),
        ("| cell | " + "w " * 36 + "|", "1: a sentence of 36 words"),
        ("x" * 121, "1: 121 columns"),
        ("\n[there](nowhere.md)", "2: the link to nowhere.md leads nowhere"),
        ("`src/rewirl/nowhere.py`", "1: there is no src/rewirl/nowhere.py"),
        ("# Here\n[there](#elsewhere)", "2: page.md has no heading for #elsewhere"),
    ],
)
def test_a_fault_is_reported_with_its_line(text: str, fault: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    (reported,) = faults(page)
    assert reported.startswith(f"{page}:{fault}")


@pytest.mark.parametrize(
    "text",
    [
        "w " * 20 + "end. " + "W " * 20,
        "```\n" + "w " * 50 + "\n```",
        "| a | " + "x" * 121 + " |",
        "# Some `code` and more\n[this](#some-code-and-more) [that](https://example.org/nowhere)",
    ],
)
def test_what_is_fine_is_no_fault(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert faults(page) == []
