"""Draws the learning curve at the top of the README: DS-TD3 with the preset small/pendulum.

python experiments/first_agent.py                    # trains three seeds in runs/first-agent, some minutes, and draws
python experiments/first_agent.py --runs DIRECTORY   # the same elsewhere; finished runs there are not made again
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rewirl.experiments.report.figures import lines, spread
from rewirl.experiments.report.run_data import RunData, read_run

PICTURE = Path(__file__).parents[1] / "docs" / "first-agent.svg"
SEEDS = (0, 1, 2)


def train(seed: int, directory: Path) -> None:
    """Train one seed, or go on with it; a finished run stays what it is."""
    words = ["train", "--preset", "small/pendulum", "--seed", str(seed), "--run-dir"]
    begun = (directory / "config.json").is_file()
    subprocess.run([sys.executable, "-m", "rewirl", *(["resume"] if begun else words), str(directory)], check=True)


def main() -> None:
    """Train what is missing and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/first-agent"), help="directory of the three runs")
    parser.add_argument("--output", type=Path, default=PICTURE, help="the picture, SVG")
    options = parser.parse_args()
    paths = [options.runs / f"pendulum-{seed}" for seed in SEEDS]
    for seed, path in zip(SEEDS, paths, strict=True):
        train(seed, path)
    draw([read_run(path) for path in paths], options.output)


def draw(runs: Sequence[RunData], output: Path) -> None:
    """Draw the mean of some runs with a band of one standard deviation, and every run as a thin line."""
    label = f"ds-td3, half of its connections, {len(runs)} seeds: mean ± standard deviation"
    steps = runs[0].steps / 1_000
    curve = spread(steps, np.stack([run.returns for run in runs]))
    thin = [(label, steps, run.returns) for run in runs]
    svg = lines({label: curve}, thin, {label: 0}, "thousand steps", "return, 10 episodes")
    output.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
