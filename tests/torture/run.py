"""The torture suite: `python tests/torture/run.py [SCENARIO ...]` does harm at length and prints what came of it.

Every module beside this one that is no test is imported; its functions marked with `@scenario` are the scenarios. Exits
with 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "training"), str(HERE.parent / "experiments")]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # so that processes can be forked from this one

from scenario import SCENARIOS, Score  # noqa: E402

COLUMNS = ("faults", "survived", "compared", "refused")


def main() -> int:
    """Run the scenarios asked for; return the exit code."""
    for file in sorted(HERE.glob("*.py")):
        if file.stem not in ("run", "conftest") and not file.stem.startswith("test_"):
            importlib.import_module(file.stem)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = f"{', '.join(SCENARIOS)}; none given is all; kills=4 is four runs of it"
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO[=RUNS]", help=names)
    parser.add_argument("--runs", type=int, help="how many runs of each, in place of its usual number")
    parser.add_argument("--seed", type=int, default=0, help="decides when and where harm is done")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores there too")
    asked = parser.parse_args()
    wanted: dict[str, int] = {}
    for word in asked.scenarios or SCENARIOS:
        name, _, number = word.partition("=")
        if name not in SCENARIOS:
            parser.error(f"no scenario {name!r}; there are {', '.join(SCENARIOS)}")
        if number and not number.isdecimal():
            parser.error(f"{word}: {number!r} is no number of runs")
        wanted[name] = int(number or 0) or asked.runs or SCENARIOS[name][1]
    scores: dict[str, Score] = {}
    print(f"{'scenario':<16}" + "".join(f"{column:>10}" for column in COLUMNS) + "   seconds", flush=True)
    for name, runs in wanted.items():
        function, _ = SCENARIOS[name]
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix=f"torture-{name}-", ignore_cleanup_errors=True) as directory:
            score = scores[name] = function(runs, asked.seed, Path(directory))
        numbers = "".join(f"{getattr(score, column):>10,}" for column in COLUMNS)
        held = "" if score.holds else "   DID NOT HOLD"
        print(f"{name:<16}{numbers}{time.perf_counter() - began:>10.1f}{held}", flush=True)
        for line in score.notes:
            print(f"  note: {line}", flush=True)
        for line in score.problems:
            print(f"  problem: {line}", flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps({name: asdict(score) for name, score in scores.items()}, indent=1) + "\n")
    return 0 if all(score.holds for score in scores.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
