"""How many updates a second Rewirl does, beside the paper's published code and beside dense matrix products alone.

Candidates are timed in turn, slice by slice, so that whatever else slows the machine down hits all alike; what counts
is the median of the ratios within a round. README.md tells how to read the tables.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import tyro

from rewirl import _core
from rewirl.bench import machine
from rewirl.bench import updates as rewirl_updates
from rewirl.bench.interleaved import Candidate, measure, merged_versions, ratio, say, spread

CANDIDATES = Path(__file__).parent / "candidates"

REFERENCE_FILES = ("DS_TD3.py", "TD3.py", "utils.py", "sparse_utils.py")
REFERENCE_NAME = "GhadaSokar/Dynamic-Sparse-Training-for-Deep-Reinforcement-Learning"
PUBLISHED = "as-published reference"

HEADINGS = AS_SPARSE, REFERENCE_DENSE, AS_SPARSE_PUBLISHED, DENSE, PRODUCTS = (
    "x reference DS-TD3, as sparse",
    "x reference TD3",
    "x reference DS-TD3, as sparse, as published",
    "x Rewirl TD3, same threads",
    "x dense products alone",
)


@dataclass(frozen=True)
class Options:
    """Time updates and acting, interleaved, and print a Markdown table of ratios."""

    batch_size: int = 100
    """Samples per update, for every candidate. The paper's TD3 has 100."""

    threads: tuple[int, ...] = (1, 2)
    """Thread counts to time every agent with. Typical: 1 2."""

    sparsities: tuple[float, ...] = (0.51, 0.8, 0.9)
    """Sparsities to time DS-TD3 with; 0.51 is the paper's HalfCheetah setting, lambdas 7 64."""

    structures: tuple[str, ...] = ("unstructured", "4x1", "8x1")
    """Structures of DS-TD3's connections, as of `rewirl train`: blocks of so many outputs that share an input."""

    reference: Path | None = None
    """A checkout of GhadaSokar/Dynamic-Sparse-Training-for-Deep-Reinforcement-Learning to compare with; needs torch."""

    as_published_after: int = 0
    """Time the reference exactly as it was published too, denormal numbers and all, after so many updates which let its
    weights decay; 0 does not. Typical: 5000, which takes minutes."""

    rounds: int = 15
    """How often every candidate gets its turn. Typical: 10 to 30."""

    seconds: float = 0.7
    """Length of one slice of updates; a slice of acting is a quarter of it. Typical: 0.5 to 1."""

    instruction_set: str | None = None
    """What Rewirl's core runs on, such as avx2; None is the best that this machine has."""

    json: Path | None = None
    """File for everything measured, every round included."""

    def __post_init__(self) -> None:
        if not self.threads or min(self.batch_size, self.rounds, *self.threads) < 1 or self.seconds <= 0:
            raise SystemExit("--batch-size, --rounds and --threads must be at least 1, --seconds more than 0")
        if not all(0 < sparsity < 1 for sparsity in self.sparsities):
            raise SystemExit(f"--sparsities must lie between 0 and 1, got {self.sparsities}; dense is always timed")
        missing = [name for name in REFERENCE_FILES if self.reference and not (self.reference / name).is_file()]
        if missing:
            lacking = ", ".join(missing)
            raise SystemExit(f"--reference {self.reference} lacks {lacking}: give a checkout of {REFERENCE_NAME}")
        if self.reference and not _has_torch():
            raise SystemExit("--reference needs torch: pip install 'rewirl[oracle]'")
        if self.as_published_after and not self.reference:
            raise SystemExit("--as-published-after needs --reference DIR")
        if self.as_published_after < 0:
            raise SystemExit(f"--as-published-after must be 0 or more updates, got {self.as_published_after}")
        if self.json and not self.json.parent.is_dir():
            raise SystemExit(f"--json {self.json}: there is no folder {self.json.parent}")
        if self.instruction_set not in (None, *_core.available_instruction_sets()):
            available = ", ".join(_core.available_instruction_sets())
            raise SystemExit(f"--instruction-set {self.instruction_set} is not there; this machine runs: {available}")


def candidates_of(options: Options) -> list[Candidate]:
    """Return all candidates, not yet started."""
    candidates = []
    chosen = {} if options.instruction_set is None else {"instruction_set": options.instruction_set}
    for threads in options.threads:
        common = {"threads": threads, "batch_size": options.batch_size}
        kinds: list[tuple[str, Path, dict[str, Any]]] = [
            ("Rewirl", Path(rewirl_updates.__file__), {"kind": "rewirl", **common, **chosen})
        ]
        if options.reference:
            reference = {"kind": "reference", "directory": str(options.reference.resolve()), **common}
            script, after = CANDIDATES / "reference.py", options.as_published_after
            kinds.append(("reference", script, {**reference, "as_published": False, "warm_up": 200}))
            if after:
                kinds.append((PUBLISHED, script, {**reference, "as_published": True, "warm_up": after}))
        for name, script, specification in kinds:
            candidates.append(Candidate(f"{name} TD3", {**specification, "agent": "td3"}, script))
            for structure in options.structures if name == "Rewirl" else options.structures[:1]:
                in_blocks = {} if structure == "unstructured" else {"structure": structure}
                for sparsity in options.sparsities:
                    sparse = {**specification, "agent": "ds-td3", "sparsity": sparsity, **in_blocks}
                    candidates.append(Candidate(" ".join([name, "DS-TD3", *in_blocks.values()]), sparse, script))
    for number in range(1 + _has_torch()):
        products = {"kind": "products", "threads": 1, "batch_size": options.batch_size, "library": number}
        candidates.append(Candidate("dense products", products, CANDIDATES / "products.py"))
    return candidates


def best(candidates: list[Candidate], name: str, task: str) -> Candidate | None:
    """Return the fastest of the candidates of this name: each may choose its number of threads."""
    named = [c for c in candidates if c.name == name and task in c.rates]
    return max(named, key=lambda c: median(c.rates[task]), default=None)


def opponents(candidates: list[Candidate], row: Candidate, task: str) -> dict[str, Candidate]:
    """Return whom a row is compared with, by column heading."""
    as_sparse = [c for c in candidates if c.sparsity == row.sparsity]
    same_threads = [c for c in candidates if c.threads == row.threads]
    columns = {
        AS_SPARSE: best(as_sparse, "reference DS-TD3", task),
        REFERENCE_DENSE: best(candidates, "reference TD3", task),
        AS_SPARSE_PUBLISHED: best(as_sparse, f"{PUBLISHED} DS-TD3", task),
        DENSE: best(same_threads, "Rewirl TD3", task),
        PRODUCTS: best(candidates, "dense products", task),
    }
    return {heading: candidate for heading, candidate in columns.items() if candidate is not None}


def table(candidates: list[Candidate], task: str, unit: str) -> str:
    """Return one task's Markdown table, ratios first."""
    rows = [c for c in candidates if task in c.rates]
    compared = {heading for row in rows for heading in opponents(candidates, row, task)}
    headings = [heading for heading in HEADINGS if heading in compared]
    lines = [
        "| agent | sparse | threads | connections | "
        + "".join(f"{heading} | " for heading in headings)
        + f"{unit} | spread |",
        "|---|" + "---:|" * (len(headings) + 5),
    ]
    for row in rows:
        against = opponents(candidates, row, task)
        ratios = [
            f"{ratio(row.rates[task], against[heading].rates[task]):.2f}" if heading in against else ""
            for heading in headings
        ]
        sparse = "" if row.sparsity is None else f"{row.sparsity:.0%}"
        connections = "" if row.connections is None else f"{row.connections:,}"
        measured = [f"{median(row.rates[task]):,.0f}", f"{spread(row.rates[task]):.0%}"]
        name = " by ".join([row.name, *([row.facts["library"]] if "library" in row.facts else [])])
        cells = [name, sparse, str(row.threads), connections, *ratios, *measured]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(candidates: list[Candidate], options: Options) -> str:
    """Return the Markdown that the command prints."""
    return "\n\n".join(
        [
            f"## Updates, batch {options.batch_size}\n\n" + table(candidates, "update", "updates/s"),
            "## Acting: one exploring action for one observation\n\n" + table(candidates, "explore", "actions/s"),
            f"x = times as fast, median over {options.rounds} interleaved rounds of {options.seconds:g} s; of the "
            "reference the faster thread count. Dense products: those of one TD3 update, one thread, nothing else, by "
            "the faster library.",
            machine.markdown(machine.describe(), merged_versions(candidates)),
        ]
    )


def record(candidates: list[Candidate], options: Options) -> dict[str, Any]:
    """Return everything measured as JSON values."""
    return {
        "batch_size": options.batch_size,
        "seconds": options.seconds,
        "machine": machine.describe(),
        "versions": merged_versions(candidates),
        "contestants": [
            {
                "name": row.name,
                "sparsity": row.sparsity,
                "threads": row.threads,
                "connections": row.connections,
                "rates": row.rates,
                "median_rates": {task: median(rates) for task, rates in row.rates.items()},
                "ratios": {
                    task: {
                        heading: ratio(row.rates[task], other.rates[task])
                        for heading, other in opponents(candidates, row, task).items()
                    }
                    for task in row.rates
                },
            }
            for row in candidates
        ],
    }


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def main(options: Options) -> None:
    candidates = candidates_of(options)
    if not _has_torch():
        say("torch is not installed (pip install 'rewirl[oracle]'): dense products alone are those of NumPy's library")
    measure(candidates, options.rounds, options.seconds, shares={"explore": 0.25})
    print(report(candidates, options))
    if options.json:
        options.json.write_text(json.dumps(record(candidates, options), indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
