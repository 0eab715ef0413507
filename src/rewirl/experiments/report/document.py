"""A document of headings, paragraphs, tables and figures, as one HTML page or as Markdown.

The texts of its blocks are text in either: what looks like markup in them is shown, not obeyed.
"""

from __future__ import annotations

import html as html_standard
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from rewirl.printing import visible


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Lines of code."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; the first column names the rows, columns with figures are set flush right."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """A picture."""

    drawn: str | Callable[[], str]
    """An SVG element, or what draws it once it is asked for."""
    title: str
    alt: str
    """What one sees in it, in words."""
    bare: str | None = None
    """The same without its legend, for a page that has one for several figures; None where the legend is its own."""

    @cached_property
    def svg(self) -> str:
        """It as an SVG element."""
        return self.drawn if isinstance(self.drawn, str) else self.drawn()


@dataclass(frozen=True)
class Legend:
    """What the lines of several figures are, once; a document without a page leaves it to the figures."""

    entries: Sequence[tuple[str, str]]
    """Labels, each with an SVG element of how it is drawn."""


@dataclass(frozen=True)
class Fold:
    """Begins a part of the page that is opened by whoever wants it."""

    summary: str


@dataclass(frozen=True)
class EndFold:
    """Ends it."""


Block = Heading | Text | Items | Code | Table | Figure | Legend | Fold | EndFold

_LINE = 28
"""Characters from which on a cell with figures may be broken."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #444; --page: #fff; --line: #ddd; --strong: #888;
  --code: #f5f5f5; --focus: #0072B2; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --soft: #b8b8b8; --page: #16181c; --line: #3a3d44; --strong: #80858f; --code: #22252b;
    --focus: #56B4E9; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 74rem; color: var(--ink); background: var(--page);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 .5rem; padding-top: .5rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.1rem; margin: 1.75rem 0 .25rem; }
p, ul { margin: .5rem 0; max-width: 50rem; }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; }
.scroll { overflow-x: auto; margin: 1rem 0; }
.scroll:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
pre { margin: 0; padding: .75rem; background: var(--code); font-size: .85rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
.caption { margin: 1.25rem 0 0; color: var(--soft); font-size: .9rem; }
.caption + .scroll { margin-top: .25rem; }
th, td { padding: .3rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { border-bottom: 2px solid var(--strong); vertical-align: bottom; }
tbody th { font-weight: 600; min-width: 10rem; }
.number { text-align: right; }
td.number { white-space: nowrap; }
td.long { white-space: normal; min-width: 10rem; }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1.25rem; margin: 1rem 0; padding: 0; max-width: none;
  list-style: none; font-size: .875rem; }
.legend li { display: flex; align-items: center; gap: .4rem; }
.legend svg { flex: none; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1.25rem;
  margin: 1rem 0; }
figure { margin: 0; min-width: 0; }
figure svg { width: 100%; max-width: 34rem; height: auto; display: block; fill: currentColor; }
figcaption { font-size: .875rem; color: var(--soft); }
figcaption strong { display: block; color: var(--ink); }
@media print {
  body { max-width: none; font-size: 11pt; padding: 0; }
  .figures { grid-template-columns: 1fr 1fr; gap: .75rem; }
  figcaption { font-size: 8.5pt; }
  .scroll { overflow: visible; }
  figure, tr { break-inside: avoid; }
  h2, h3, .caption { break-after: avoid; }
  pre { white-space: pre-wrap; }
  table { font-size: 7.5pt; }
  th, td { padding: .2rem .3rem; }
  tbody th { min-width: 5.5rem; }
  td.long { min-width: 0; }
  td.number { white-space: normal; }
}
"""


def html(blocks: Sequence[Block]) -> str:
    """Return one self-contained page: no script, and nothing from elsewhere.

    Args:
        blocks: in their order; the first heading of level 1 is the title. Figures that follow each other stand side by
            side where there is room.
    """
    title = next((block.text for block in blocks if isinstance(block, Heading) and block.level == 1), "Report")
    parts: list[str] = []
    number = 0
    for index, block in enumerate(blocks):
        if isinstance(block, Figure):
            number += 1
            if index == 0 or not isinstance(blocks[index - 1], Figure):
                parts.append('<div class="figures">')
            parts.append(_figure(block, number))
            if index + 1 == len(blocks) or not isinstance(blocks[index + 1], Figure):
                parts.append("</div>")
        elif isinstance(block, Fold):
            parts.append(f"<details><summary>{_text(block.summary)}</summary>")
        elif isinstance(block, EndFold):
            parts.append("</details>")
        else:
            parts.append(_element(block, index))
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{_text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def markdown(blocks: Sequence[Block], figures: str | None = None) -> str:
    """Return the document as Markdown.

    Args:
        blocks: in their order.
        figures: where its figures are, figure-1.svg and so on, seen from the Markdown file; None leaves them out.
    """
    parts = []
    number = 0
    for block in blocks:
        match block:
            case Heading():
                parts.append(f"{'#' * block.level} {_block(block.text)}")
            case Text():
                parts.append(_block(block.text))
            case Items():
                parts.append("\n".join(f"* {_block(item)}" for item in block.items))
            case Code():
                parts.append(_fenced(block.text))
            case Table():
                numeric = _numeric(block)
                rule = ["---:" if right else "---" for right in numeric]
                lines = [[*map(_marked, block.head)], rule, *([*map(_marked, row)] for row in block.rows)]
                parts += [_block(block.caption), "\n".join("| " + " | ".join(line) + " |" for line in lines)]
            case Figure():
                number += 1
                if figures is not None:
                    alt = _marked(f"{block.title}. {block.alt}")
                    parts.append(f"![{alt}]({quote(figures)}/figure-{number}.svg)")
    return "\n\n".join(parts) + "\n"


def folded(summary: str, blocks: Sequence[Block]) -> list[Block]:
    """Return blocks as a part of the page that is opened by whoever wants it; elsewhere they are as they were."""
    return [Fold(summary), *blocks, EndFold()]


def _element(block: Heading | Text | Items | Code | Table | Legend, number: int) -> str:
    match block:
        case Heading():
            return f"<h{block.level}>{_text(block.text)}</h{block.level}>"
        case Text():
            return f"<p>{_text(block.text)}</p>"
        case Items():
            return "<ul>\n" + "\n".join(f"<li>{_text(item)}</li>" for item in block.items) + "\n</ul>"
        case Code():
            return (
                f'<div class="scroll" tabindex="0" role="region" aria-label="Commands"><pre><code>{_text(block.text)}'
                "</code></pre></div>"
            )
        case Table():
            return _table(block, number)
        case Legend():
            entries = [f"<li>{_of_the_page(svg)}<span>{_text(label)}</span></li>" for label, svg in block.entries]
            return '<ul class="legend">\n' + "\n".join(entries) + "\n</ul>"


def _table(table: Table, number: int) -> str:
    kinds = ["number" if right else "" for right in _numeric(table)]
    head = "".join(
        f'<th scope="col"{_class(kind)}>{_text(cell)}</th>' for cell, kind in zip(table.head, kinds, strict=True)
    )
    rows = []
    for first, *rest in table.rows:
        cells = "".join(
            f"<td{_class(kind, cell)}>{_text(cell)}</td>" for cell, kind in zip(rest, kinds[1:], strict=True)
        )
        rows.append(f'<tr><th scope="row">{_text(first)}</th>{cells}</tr>')
    return (
        f'<p class="caption" id="table-{number}">{_text(table.caption)}</p>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="table-{number}">'
        f'<table aria-labelledby="table-{number}"><thead><tr>{head}</tr></thead>\n<tbody>'
        + "\n".join(rows)
        + "</tbody></table></div>"
    )


def _class(kind: str, cell: str = "") -> str:
    """Return the class of a cell as an attribute; one that is too long for a line is broken."""
    words = " ".join(word for word in (kind, "long" if len(cell) > _LINE else "") if word)
    return f' class="{words}"' if words else ""


def _figure(figure: Figure, number: int) -> str:
    # Several SVG elements share the ids of one page.
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>f{number}-", figure.bare or figure.svg)
    svg = _of_the_page(svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{_text(figure.alt)}" ', 1)
    caption = f"<strong>{_text(figure.title)}</strong>{_text(figure.alt)}"
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def _of_the_page(svg: str) -> str:
    """Return a figure in the page's colours, which may be dark: its black is the ink, its white the page."""
    return re.sub("#000000", "currentColor", svg.replace("#ffffff", "var(--page)"))


def _numeric(table: Table) -> list[bool]:
    """Return which columns hold figures: most of their cells begin like one, empty ones not counted if others are."""
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(table.head)
    figure = re.compile(r"[-+]?\d|-?$")
    cells = [[cell for cell in column if cell.strip("-")] or column for column in columns]
    return [
        index > 0 and sum(bool(figure.match(cell)) for cell in column) > 0.5 * len(column)
        for index, column in enumerate(cells)
    ]


def _text(text: str) -> str:
    """Return text as HTML: the one door to the page for what is not markup of ours."""
    return html_standard.escape(visible(text, lines=True))


_PUNCTUATION = re.compile(r"([\\`*\[\]~$|#])|((?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "://": "&#58;//"}
_LINK = re.compile(r"\bwww\.", re.IGNORECASE)
_AT_A_START = re.compile(r"^(?:([-+=])|(\d+)([.)]))")


def _marked(text: str) -> str:
    """Return text as one line of Markdown: the one door to it for what is not markup of ours."""
    line = " ".join(visible(text, lines=True).split())
    for character, entity in _ENTITIES.items():
        line = line.replace(character, entity)
    line = _LINK.sub(lambda match: match[0][:-1] + "&#46;", line)
    return _PUNCTUATION.sub(r"\\\g<0>", line).replace("&\\#", "&#")


def _block(text: str) -> str:
    """Return text as Markdown that begins a line, where a hyphen or a number would begin a list."""
    return _AT_A_START.sub(lambda match: f"\\{match[1]}" if match[1] else f"{match[2]}\\{match[3]}", _marked(text))


def _fenced(text: str) -> str:
    """Return lines of code as Markdown, in a fence longer than any in them."""
    runs = [len(run) for run in re.findall(r"`+", text)]
    fence = "`" * max(3, 1 + max(runs, default=0))
    return f"{fence}\n{visible(text, lines=True)}\n{fence}"
