"""Learning curves and tables from run directories: `python -m rewirl.experiments.curves RUN... --figure curves.png`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from rewirl.experiments.metrics import NETWORKS, final_return, learning_curve_area, training_flops
from rewirl.training.metrics_log import read_metrics

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


@dataclass(frozen=True)
class Curve:
    """The evaluations of one run."""

    agent: str
    env: str
    seed: int
    steps: NDArray[np.int64]
    """Environment steps at each evaluation, [evaluations]."""
    returns: NDArray[np.float64]
    """Mean undiscounted return of each evaluation, [evaluations]."""
    seconds: NDArray[np.float64]
    """Wall-clock seconds since the start of the run, [evaluations]."""
    flops: NDArray[np.float64]
    """Floating-point operations of training until then, as `metrics.training_flops`, [evaluations]."""
    parameters: int
    """Connections of actor and both critics at the end."""

    def at(self, step: int) -> float:
        """Return the return at a step, or at the last evaluation before it; NaN before the first."""
        index = int(np.searchsorted(self.steps, step, side="right")) - 1
        return float(self.returns[index]) if index >= 0 and step <= self.steps[-1] else float("nan")


def read_curve(run: Path) -> Curve:
    """Read the evaluations of a run directory.

    Args:
        run: the directory, with config.json and metrics.jsonl.

    Raises:
        ValueError: the run has no evaluation yet, or its files are not those of a run.
        OSError: a file cannot be read.
    """
    config = json.loads((run / "config.json").read_text())["config"]
    train, agent = config["train"], config["agent"]
    evaluations = [entry for entry in read_metrics(run / "metrics.jsonl") if entry.get("event") == "evaluation"]
    if not evaluations:
        raise ValueError(f"{run} has no evaluation yet")

    def column(name: str) -> NDArray[Any]:
        return np.array([entry[name] for entry in evaluations])

    flops = [
        training_flops(
            {network: [entry["connections"][network]] for network in NETWORKS},
            entry["updates"],
            agent["batch_size"],
            agent.get("policy_delay", 1),
        )
        for entry in evaluations
    ]
    return Curve(
        train["agent"],
        train["env"],
        train["seed"],
        column("step"),
        column("return_mean"),
        column("seconds"),
        np.array(flops, dtype=np.float64),
        sum(evaluations[-1]["connections"][network] for network in NETWORKS),
    )


def table(curves: Sequence[Curve], checkpoints: Sequence[int] = (100_000, 250_000, 500_000, 1_000_000)) -> str:
    """Return a Markdown table: per agent and environment, mean and standard deviation over seeds.

    Args:
        curves: of any agents, environments and seeds.
        checkpoints: steps at which the return is quoted (the latest evaluation); runs that are shorter count as "-".

    Returns:
        The table; "final" is the mean of a run's last 10 evaluations, LCA / 5000 as in the paper's tables.
    """
    head = ["agent", "environment", "seeds", "steps", "connections", "FLOPs"]
    head += [f"return at {step // 1000}k" for step in checkpoints] + ["final", "LCA / 5000"]
    lines = [head, ["---"] * len(head)]
    for (env, agent), group in _groups(curves).items():
        steps = min(int(curve.steps[-1]) for curve in group)
        row = [agent, env, ", ".join(str(curve.seed) for curve in group), f"{steps:,}"]
        row += [f"{np.mean([curve.parameters for curve in group]):,.0f}"]
        row += [f"{np.mean([curve.flops[-1] for curve in group]):.2e}"]
        row += [_spread([curve.at(step) for curve in group]) for step in checkpoints]
        row += [_spread([final_return(curve.returns.tolist()) for curve in group])]
        row += [_spread([learning_curve_area(curve.returns.tolist()) / 5000 for curve in group], ".3f")]
        lines.append(row)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Draw return against environment steps and against training FLOPs, one line per agent, as the paper's Figure 1.

    Args:
        curves: of one environment.
        path: where the picture goes; its suffix decides the format.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    picture, axes = pyplot.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
    groups = _groups(curves)
    for colour, ((_, agent), group) in zip(COLOURS * len(groups), groups.items(), strict=False):
        length = min(len(curve.steps) for curve in group)
        returns = np.stack([_smooth(curve.returns[:length]) for curve in group])
        mean, std = returns.mean(axis=0), returns.std(axis=0)
        label = f"{agent} ({np.mean([c.parameters for c in group]) / 1e3:.0f}k connections, {len(group)} seeds)"
        for axis, x in ((axes[0], group[0].steps[:length] / 1e6), (axes[1], group[0].flops[:length] / 1e12)):
            axis.plot(x, mean, color=colour, label=label)
            axis.fill_between(x, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)
    axes[0].set(xlabel="environment steps (millions)", ylabel="evaluation return")
    axes[1].set(xlabel="training FLOPs (10$^{12}$)")
    axes[0].legend(loc="lower right", frameon=False, fontsize=8)
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.set_xlim(left=0)
    picture.suptitle(
        f"{curves[0].env}: mean and standard deviation over seeds, running mean of 5 evaluations", fontsize=10
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=130)
    pyplot.close(picture)


def main(runs: tyro.conf.Positional[tuple[Path, ...]], *, figure: Path | None = None) -> None:
    """Print a table of runs and draw their learning curves.

    Args:
        runs: run directories.
        figure: where to draw the curves (.png, .svg, .pdf); all runs must be of one environment.
    """
    curves = [read_curve(run) for run in runs]
    print(table(curves))
    if figure is not None:
        if len({curve.env for curve in curves}) != 1:
            raise SystemExit("a figure shows one environment; give runs of one")
        draw(curves, figure)


def _groups(curves: Sequence[Curve]) -> dict[tuple[str, str], list[Curve]]:
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in sorted(curves, key=lambda c: (c.env, c.agent, c.seed)):
        groups.setdefault((curve.env, curve.agent), []).append(curve)
    return groups


def _spread(values: Sequence[float], spec: str = ",.0f") -> str:
    if not np.isfinite(values).all():
        return "-"
    return f"{np.mean(values):{spec}} ± {np.std(values):{spec}}"


def _smooth(values: NDArray[np.float64], window: int = 5) -> NDArray[np.float64]:
    """Return the running mean over the last `window` values, over fewer at the start."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - window, 0)
    result: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return result


if __name__ == "__main__":
    tyro.cli(main)
