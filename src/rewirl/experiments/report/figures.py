"""The report's figures, as SVG elements."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report.aggregates import Estimate
from rewirl.printing import visible

# Okabe and Ito's colours, which colour-blind readers can tell apart; lines and marks differ as well, for print.
# 7 colours times 7 dashes or marks: no two of 49 labels look the same.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
MARKS = "osD^vPX"
GREY = "#808080"
"""Of what others have published: no label has it."""
_PATTERNS = {"-": (), "--": (7, 3), "-.": (12, 3, 2, 3), ":": (2, 3)}

Floats = NDArray[np.float64]
Style = Mapping[str, int]
"""For each label the number of its colour, the same in all figures of a report."""


def _look(number: int) -> tuple[str, int]:
    """Return the colour of a label and the number of its dashes and mark."""
    return COLOURS[number % len(COLOURS)], (number + number // len(COLOURS)) % len(DASHES)


def swatch(number: int) -> str:
    """Return a small SVG element with the line and the mark that a label has.

    Args:
        number: of its colour.
    """
    from matplotlib.markers import MarkerStyle

    colour, look = _look(number)
    dashes = DASHES[look]
    pattern = _PATTERNS[dashes] if isinstance(dashes, str) else dashes[1]
    marker = MarkerStyle(MARKS[look])
    outlines: Any = marker.get_path().transformed(marker.get_transform()).to_polygons()
    outline = "".join(f"M{' '.join(f'{20 + 8 * x:.1f},{7 - 8 * y:.1f}' for x, y in points)}Z" for points in outlines)
    return (
        '<svg width="40" height="14" viewBox="0 0 40 14" aria-hidden="true">'
        f'<path d="M1,7H39" stroke="{colour}" stroke-width="2" stroke-dasharray="{" ".join(map(str, pattern))}"/>'
        f'<path d="{outline}" fill="{colour}"/></svg>'
    )


def lines(
    series: Mapping[str, tuple[Floats, Floats, Floats, Floats]],
    thin: Sequence[tuple[str, Floats, Floats]],
    style: Style,
    x: str,
    y: str,
    limits: tuple[float | None, float | None] = (None, None),
    legend: bool = True,
    published: Mapping[str, tuple[Floats, Floats, Floats, Floats]] | None = None,
) -> str:
    """Draw curves with bands.

    Args:
        series: by label the x and y values, and the lower and upper bounds of the band, float64 [points] each.
        thin: label, x and y values of single runs, drawn thin.
        style: colours.
        x: name of the axis, with its unit.
        y: name of the axis, with its unit.
        limits: of the y axis.
        legend: whether it says which curve is what.
        published: curves of others, as `series`; drawn in grey behind all others, with a mark at every point.
    """

    def draw(axes: Any) -> None:
        for number, (label, (at, value, low, high)) in enumerate((published or {}).items()):
            mark = MARKS[number % len(MARKS)]
            axes.plot(at, value, color=GREY, marker=mark, markersize=4, linewidth=0.9, label=_entry(label), zorder=1)
            axes.fill_between(at, low, high, color=GREY, alpha=0.12, linewidth=0, zorder=1)
        for label, (at, value, low, high) in series.items():
            colour, dashes = _look(style[label])
            axes.plot(at, value, color=colour, linestyle=DASHES[dashes], label=_entry(label), linewidth=1.6)
            axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
        for label, at, values in thin:
            colour, _ = _look(style[label])
            name = None if label in series else _entry(label)
            axes.plot(at, values, color=colour, linewidth=0.6, label=name)
        axes.set_xlim(left=0)
        axes.set_ylim(*limits)

    return _svg(draw, x, y, legend)


def points(positions: Mapping[str, tuple[float, Estimate]], style: Style, x: str, y: str, legend: bool = True) -> str:
    """Draw points with intervals.

    Args:
        positions: by label the x value and the estimate.
        style: colours.
        x: name of the axis, with its unit.
        y: name of the axis, with its unit.
        legend: whether it says which point is what.
    """

    def draw(axes: Any) -> None:
        for label, (at, estimate) in positions.items():
            colour, mark = _look(style[label])
            reach = [[estimate.value - estimate.low], [estimate.high - estimate.value]]
            axes.errorbar(
                [at],
                [estimate.value],
                yerr=np.maximum(reach, 0),
                fmt=MARKS[mark],
                color=colour,
                capsize=4,
                label=_entry(label),
            )
        axes.set_xlim(0, 1.15 * max(at for at, _ in positions.values()))
        axes.margins(y=0.2)

    return _svg(draw, x, y, legend)


def inputs(before: Floats, after: Floats, kinds: Mapping[str, int]) -> str:
    """Draw the connections of every input, at the start and now.

    Args:
        before: connections at the first record, float64 [inputs].
        after: connections at the last one, float64 [inputs].
        kinds: what the inputs are from an index on, by the word for it.
    """

    def draw(axes: Any) -> None:
        at = np.arange(len(before))
        if len(at) <= 60:
            axes.bar(at, after, width=0.75, color=COLOURS[5], label="at the end")
            axes.plot(at, before, "_", color="black", markersize=max(3, 160 / len(at)), label="at the start")
        else:
            axes.step(at, after, where="mid", color=COLOURS[0], linewidth=0.9, label="at the end")
            axes.step(at, before, where="mid", color="black", linewidth=0.6, label="at the start")
        for word, begin in kinds.items():
            axes.axvline(begin - 0.5, color="black", linestyle=":", linewidth=1)
            axes.text(begin - 0.3, 0.98, word, transform=axes.get_xaxis_transform(), va="top", fontsize=9)
        axes.set_ylim(0, 1.15 * max(1.0, before.max(), after.max()))
        axes.set_xlim(-0.7, len(at) - 0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)

    return _svg(draw, "index of the input", "connections of the input")


_STYLE: Any = {"svg.hashsalt": "rewirl", "svg.fonttype": "path", "font.size": 10, "text.parse_math": False}
"""Labels are text: a dollar sign in one begins no formula."""


_WIDTH, _HEIGHT, _LINE = 5.2, 3.3, 0.19
"""Inches: of a figure, of one without its legend, and of a line of the legend."""


_ENTRY = " "
"""Begins the labels of curves and points: one that began with _ would be in no legend."""


def _entry(label: str) -> str:
    return _ENTRY + label


def _svg(draw: Callable[[Any], None], x: str, y: str, legend: bool = True) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a box is drawn for it
        matplotlib.rcdefaults()  # not what a matplotlibrc in the working directory says, which may name programs
        matplotlib.rcParams.update(_STYLE)
        picture = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        axes = picture.add_subplot()
        draw(axes)
        axes.set(xlabel=x, ylabel=y)
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        labels = [label.removeprefix(_ENTRY) for label in labels]
        if labels and legend:
            columns = 1 if max(map(len, labels)) > 24 else 2
            labels = [fill(visible(label), 56) for label in labels]
            rows = [labels[at : at + columns] for at in range(0, len(labels), columns)]
            of_text = sum(max(label.count("\n") + 1 for label in row) for row in rows)
            picture.set_figheight(_HEIGHT + _LINE * of_text)  # the legend takes no room from the curves
            picture.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=9)
        # savefig would draw it once more for its layout alone
        canvas, layout = FigureCanvasSVG(picture), picture.get_layout_engine()
        assert layout is not None
        picture.dpi = canvas.fixed_dpi
        layout.execute(picture)
        picture.set_layout_engine("none")
        out = io.StringIO()
        canvas.print_svg(out, metadata={"Date": None})  # type: ignore[no-untyped-call]
    text = out.getvalue()
    return text[text.index("<svg ") :]


def spread(at: Floats, values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the curve of a mean with a band of one standard deviation, for `lines`.

    Args:
        at: x values, float64 [points].
        values: y values of every run, float64 [runs, points].
    """
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    return at, mean, mean - deviation, mean + deviation
