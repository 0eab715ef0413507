"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Return a Markdown table.

    Args:
        headings: of the columns.
        rows: cells of each row.
        words: the first so many columns hold words, the others numbers, which stand right.
    """
    lines = [headings, ["---"] * words + ["---:"] * (len(headings) - words), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
