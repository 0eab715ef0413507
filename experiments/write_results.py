"""Writes what is generated under results/: for each experiment the index of its runs, its report and the figures in it.

python experiments/write_results.py                # all of them
python experiments/write_results.py ds-drl noise   # some
python experiments/write_results.py --index        # only the indices, without drawing anything
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rewirl.experiments.sweep.index import write_index

RESULTS = Path(__file__).parents[1] / "results"

REPORTS = {
    "ds-drl": ("ds-drl",),
    "ninety-percent": ("ninety-percent", *(f"ds-drl/HalfCheetah-v5-td3-{seed}" for seed in (0, 1, 2))),
    "noise": ("noise",),
}
"""What the report of an experiment is about: run directories, and directories that contain some, below results/."""


def write_report(directory: Path, sources: Sequence[Path]) -> None:
    """Write report.md and figures/ of an experiment.

    Args:
        directory: of the experiment.
        sources: run directories, and directories that contain some.
    """
    from rewirl.experiments.report import document, report
    from rewirl.experiments.report.run_data import find_runs

    blocks = report(*find_runs(sources))
    figures = directory / "figures"
    figures.mkdir(exist_ok=True)
    for stale in figures.glob("figure-*.svg"):
        stale.unlink()
    drawn = [block for block in blocks if isinstance(block, document.Figure)]
    for number, figure in enumerate(drawn, 1):
        (figures / f"figure-{number}.svg").write_text(figure.svg, encoding="utf-8")
    (directory / "report.md").write_text(document.markdown(blocks, "figures"), encoding="utf-8")


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
            write_report(RESULTS / name, [RESULTS / source for source in REPORTS[name]])
            print(f"wrote results/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
