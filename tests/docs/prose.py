"""What the project's Markdown has to keep to: short sentences, short lines, links and files that are there.

python tests/docs/prose.py prints every fault; the exit code is 1 if there is one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_WORDS = 35
MOST_COLUMNS = 120

_FENCE = re.compile(r"^\s*(```|~~~)")
_TABLE = re.compile(r"^\s*\|")
_ITEM = re.compile(r"^\s*([*+-]|\d+\.)\s+")
_HEADING = re.compile(r"^#+\s+")
_CODE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
_REFERENCE = re.compile(r"^\[[^\]]+\]:\s*(\S+)")
_SENTENCE_END = re.compile(r"(?<!\bal)(?<!\be\.g)(?<!\bi\.e)[.!?][)\"*_]*\s+(?=[\"'(*_`A-Z0-9×λγαηπτ])")  # noqa: RUF001
_FILE = re.compile(r"`((?:src|native|tests|docs|benchmarks|experiments)/[a-z0-9_./-]+)`")
_WORD = re.compile(r"\w")


def pages(root: Path = ROOT) -> list[Path]:
    """The Markdown that people write: reports and benchmark tables are generated."""
    names = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "benchmarks/README.md",
        "examples/README.md",
        "results/README.md",
        "tests/fixtures/README.md",
    ]
    return [root / name for name in names] + sorted((root / "docs").rglob("*.md"))


def faults(page: Path) -> list[str]:
    """Everything wrong with a page, as 'file:line: what is wrong'."""
    lines = page.read_text(encoding="utf-8").splitlines()
    where = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
    every = [*_long_lines(lines), *_long_sentences(lines), *_dead_links(page, lines), *_dead_files(lines)]
    return [f"{where}:{number}: {what}" for number, what in sorted(every)]


def _long_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if len(line) > MOST_COLUMNS and not _TABLE.match(line):
            yield number, f"{len(line)} columns; wrap at {MOST_COLUMNS}"


def _long_sentences(lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, text in _blocks(lines):
        for sentence in _SENTENCE_END.split(_LINK.sub(r"\1", _CODE.sub("Code", text))):
            words = [word for word in sentence.split() if _WORD.search(word)]
            if len(words) > MOST_WORDS:
                yield number, f"a sentence of {len(words)} words; at most {MOST_WORDS}: {' '.join(words[:8])} ..."


def _blocks(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Paragraphs, list items and table cells, each with the number of its first line."""
    started, text = 0, ""
    for number, line in _outside_code(lines):
        if not line.strip() or _TABLE.match(line) or _ITEM.match(line) or _HEADING.match(line):
            yield started, text
            started, text = number, ""
        if _TABLE.match(line):
            yield from ((number, cell) for cell in line.split("|"))
        elif not _HEADING.match(line):
            started = started if text else number
            text += _ITEM.sub("", line) + " "
    yield started, text


def _outside_code(lines: list[str]) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(lines, 1):
        if _FENCE.match(line):
            fenced = not fenced
            yield number, ""
        elif not fenced:
            yield number, line


def _dead_links(page: Path, lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in _outside_code(lines):
        reference = _REFERENCE.match(line)
        targets = [target for _, target in _LINK.findall(_CODE.sub("Code", line))]
        for target in [*targets, reference[1]] if reference else targets:
            if "://" in target or target.startswith("mailto:"):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                yield number, f"the link to {target} leads nowhere"
            elif anchor and file.suffix == ".md" and anchor not in _anchors(file):
                yield number, f"{file.name} has no heading for #{anchor}"


def _dead_files(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Files of the repository that the page names in full and that are not there."""
    for number, line in _outside_code(lines):
        for name in _FILE.findall(line):
            if not (ROOT / name).exists():
                yield number, f"there is no {name}"


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = [line for _, line in _outside_code(page.read_text(encoding="utf-8").splitlines())]
    titles = [_HEADING.sub("", line).strip().lower() for line in headings if _HEADING.match(line)]
    return {re.sub(r"[^\w\- ]", "", _LINK.sub(r"\1", title)).replace(" ", "-") for title in titles}


if __name__ == "__main__":
    every = [fault for page in pages() for fault in faults(page)]
    print("\n".join(every))
    sys.exit(bool(every))
