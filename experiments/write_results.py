"""Writes what is generated from results/: for each experiment the index of its runs, its report and the figures in it.

Of ds-drl also docs/paper.md, and the tables of returns in README.md, docs/ds-td3.md and docs/ds-sac.md. Of figures the
end of docs/paper.md.

python experiments/write_results.py                # all of them
python experiments/write_results.py ds-drl noise   # some
python experiments/write_results.py --index        # only the indices, without drawing anything
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rewirl.experiments.sweep.index import write_index

if TYPE_CHECKING:
    from rewirl.experiments.report.document import Block

RESULTS = Path(__file__).parents[1] / "results"

PAGE = RESULTS.parent / "docs" / "paper.md"
BEGIN, END = "<!-- generated: python experiments/write_results.py -->", "<!-- end of what is generated -->"
BEGIN_ANALYSES = "<!-- generated: python experiments/write_results.py figures -->"
PAGES_WITH_RETURNS = [
    RESULTS.parent / name for name in ("README.md", "docs/paper.md", "docs/ds-td3.md", "docs/ds-sac.md")
]

REPORTS = {
    "ds-drl": ("ds-drl",),
    "ninety-percent": ("ninety-percent", *(f"ds-drl/HalfCheetah-v5-td3-{seed}" for seed in (0, 1, 2))),
    "noise": ("noise",),
    "cartpole": ("cartpole",),
    "small": ("small",),
    "on-policy": ("on-policy",),
    "pqn": ("pqn",),
    "streams": ("streams",),
    "minatar": ("minatar",),
    "frontier": ("frontier",),
    "blocks": ("blocks",),
    "plasticity": ("plasticity",),
    "why-ds-sac": ("why-ds-sac",),
    "why-humanoid": (
        "why-humanoid",
        *(f"ds-drl/Humanoid-v5-{agent}-{seed}" for agent in ("td3", "ds-td3") for seed in range(5)),
    ),
    "figures": ("figures",),
}
"""What the report of an experiment is about: run directories, and directories that contain some, below results/."""

BASELINES = {"blocks": "ds-td3, sparsity 0.9"}
"""Groups that all others of an experiment are compared with, instead of sparse ones with dense ones."""


def write_report(directory: Path, sources: Sequence[Path], baseline: str | None = None) -> None:
    """Write report.md and figures/ of an experiment.

    Args:
        directory: of the experiment.
        sources: run directories, and directories that contain some.
        baseline: the group that all others are compared with, if any.
    """
    from rewirl.experiments.report import document, report
    from rewirl.experiments.report.run_data import find_runs

    blocks = report(*find_runs(sources), baseline=baseline)
    figures = directory / "figures"
    figures.mkdir(exist_ok=True)
    for stale in figures.glob("figure-*.svg"):
        stale.unlink()
    drawn = [block for block in blocks if isinstance(block, document.Figure)]
    for number, figure in enumerate(drawn, 1):
        (figures / f"figure-{number}.svg").write_text(figure.svg, encoding="utf-8")
    text = document.markdown(blocks, "figures").replace(f"{RESULTS}/", "")  # of runs left out, not of this machine
    (directory / "report.md").write_text(text, encoding="utf-8")


def write_part_of_page(page: Path, begin: str, figures: Path, blocks: Sequence[Block]) -> None:
    """Write a part of a report into a page, between two marks that are there.

    Args:
        page: the page, in Markdown.
        begin: the mark that it follows; `END` follows it.
        figures: directory for the figures; made if it does not exist.
        blocks: the part.
    """
    from rewirl.experiments.report import document

    figures.mkdir(exist_ok=True)
    for stale in figures.glob("figure-*.svg"):
        stale.unlink()
    for number, figure in enumerate((block for block in blocks if isinstance(block, document.Figure)), 1):
        (figures / f"figure-{number}.svg").write_text(figure.svg, encoding="utf-8")
    where = Path(os.path.relpath(figures, page.parent)).as_posix()
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(END)
    lines = map(_short, document.markdown(blocks, where).splitlines())
    page.write_text("\n".join([before + begin, *lines, END + after]), encoding="utf-8")


def write_paper_page(experiment: str) -> None:
    """Write what the runs of an experiment say of the paper into its page: of ds-drl, or of figures."""
    from rewirl.experiments.report import analyses_report, paper_report
    from rewirl.experiments.report.run_data import find_runs

    begin, of = {"ds-drl": (BEGIN, paper_report), "figures": (BEGIN_ANALYSES, analyses_report)}[experiment]
    runs = find_runs([RESULTS / source for source in REPORTS[experiment]])[0]
    write_part_of_page(PAGE, begin, RESULTS / experiment / "paper", of(runs))
    print(f"wrote docs/{PAGE.name}, of {experiment}")


def write_returns_of_pages(sources: Sequence[Path]) -> None:
    """Write the tables of returns on other pages; see `returns_tables`.

    Args:
        sources: run directories, and directories that contain some.
    """
    from returns_tables import write_returns

    from rewirl.experiments.report.run_data import find_runs
    from rewirl.experiments.report.run_groups import group_runs

    write_returns(PAGES_WITH_RETURNS, group_runs(find_runs(sources)[0])[0])


def _short(line: str) -> str:
    """Return a line as the pages have them: paragraphs wrapped, and of what a figure shows its title."""
    if line.startswith("!["):
        return re.sub(r"^!\[(.*?)\. .*\]\(", r"![\1](", line)
    return line if line.startswith("|") else textwrap.fill(line, 118)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is asked for; return the exit code."""
    experiments = sorted({path.parents[1].name for path in RESULTS.glob("*/*/config.json")})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", help=f"among {', '.join(experiments)}; default: all")
    parser.add_argument("--index", action="store_true", help="write the indices only")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.experiments if name not in experiments]
    if unknown:
        parser.error(f"no experiment {unknown[0]!r} under results/; there are {', '.join(experiments)}")
    for name in options.experiments or experiments:
        write_index(RESULTS / name)
        if name in REPORTS and not options.index:
            write_report(RESULTS / name, [RESULTS / source for source in REPORTS[name]], BASELINES.get(name))
            print(f"wrote results/{name}")
    if options.index:
        return 0
    for name in ("ds-drl", "figures"):
        if name in (options.experiments or experiments):
            write_paper_page(name)
    if "ds-drl" in (options.experiments or experiments):
        write_returns_of_pages([RESULTS / source for source in REPORTS["ds-drl"]])
        print(f"wrote the tables of returns on {', '.join(page.name for page in PAGES_WITH_RETURNS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
