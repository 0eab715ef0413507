"""How often a bootstrap interval of few runs holds the true value: simulated, and kept as data.

`python -m rewirl.experiments.report.coverage` simulates the table again, in some minutes.
"""

from __future__ import annotations

import math

import numpy as np

from rewirl.printing import result

RUNS = (2, 3, 4, 5, 6, 7, 8, 9, 10)


def simulate(samples: int, runs: int, rng: np.random.Generator, cases: int = 10_000, replicates: int = 5_000) -> float:
    """Return how often the nominal 95% percentile interval by bootstrap holds the true value.

    Returns are normal with one spread. The statistic is a sum of the means of several samples: of one, a mean; of two,
    the difference of two agents (normal returns are symmetric); of four, that over two tasks. All cases share their
    resamples, so that replicates are one product of matrices.

    Args:
        samples: number of samples, each drawn from on its own.
        runs: in each of them.
        rng: draws the returns and the resamples.
        cases: simulated experiments.
        replicates: of a bootstrap.
    """
    resampled = np.concatenate(
        [rng.multinomial(runs, np.full(runs, 1 / runs), size=replicates).T for _ in range(samples)]
    ).astype(np.float64)
    covered = 0
    for begin in range(0, cases, 500):
        returns = rng.standard_normal((min(500, cases - begin), samples * runs))
        low, high = np.quantile(returns @ resampled, (0.025, 0.975), axis=1)
        covered += int(np.sum((low <= 0) & (high >= 0)))
    return covered / cases


# By number of samples, for RUNS: simulated with seed (samples, runs). The standard error is at most 0.005.
COVERAGE = {
    1: (0.501, 0.752, 0.796, 0.838, 0.865, 0.878, 0.888, 0.899, 0.901),
    2: (0.665, 0.801, 0.845, 0.879, 0.893, 0.908, 0.908, 0.922, 0.925),
    4: (0.746, 0.850, 0.879, 0.905, 0.909, 0.916, 0.923, 0.923, 0.925),
    6: (0.778, 0.868, 0.891, 0.908, 0.914, 0.922, 0.927, 0.929, 0.933),
    8: (0.795, 0.870, 0.892, 0.911, 0.921, 0.925, 0.922, 0.933, 0.934),
    10: (0.802, 0.873, 0.900, 0.915, 0.924, 0.922, 0.935, 0.933, 0.933),
}


def coverage(runs: int, samples: int = 2) -> float:
    """Return how often a bootstrap interval of so few runs holds the true value, NaN for a single run.

    Args:
        runs: of the sample with the fewest; beyond the table, its last column.
        samples: 1 for a mean, 2 for a difference of two agents, and as many for every task. Beyond the table, its last
            row.
    """
    if runs < RUNS[0]:
        return math.nan
    row = max(number for number in COVERAGE if number <= samples)
    return COVERAGE[row][min(runs, RUNS[-1]) - RUNS[0]]


def main() -> None:
    """Print the table, simulated."""
    for samples in (1, 2, 4, 6, 8, 10):
        values = [simulate(samples, runs, np.random.default_rng((samples, runs))) for runs in RUNS]
        result(f"    {samples}: ({', '.join(f'{value:.3f}' for value in values)}),")


if __name__ == "__main__":
    main()
