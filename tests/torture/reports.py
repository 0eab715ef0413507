"""Runs whose files were changed, in reports and on resuming: each is named and left out, and no other one is lost."""

from __future__ import annotations

import random
from pathlib import Path

from parsers import REFUSED, Report
from scenario import Score, scenario
from trainees import AGENTS, Output, finished

from rewirl.experiments.report.run_data import read_run
from rewirl.storage.checkpoint import load_latest
from rewirl.storage.metrics_log import MetricsLog


@scenario("reports", 1_000)
def reports(runs: int, seed: int, directory: Path) -> Score:
    """Make reports of two sound runs and one with changed settings, evaluations or topologies."""
    score, rng, target = Score(), random.Random(seed), Report()
    corpus = target.seeds()
    for number in range(runs):
        with score.trial(f"report {number}"):
            score.faults += 1
            score.refused += target.run(target.mutate(rng, corpus)) == REFUSED
            score.compared += 1
    return score


@scenario("log-bits", 2_000)
def log_bits(runs: int, seed: int, directory: Path) -> Score:
    """Flip bits of the log of a finished run: the report and the checkpoint notice each."""
    score, rng, path = Score(), random.Random(seed), directory / "run"
    finished(path, AGENTS[0], 1, Output())
    log = path / "metrics.jsonl"
    whole = log.read_bytes()
    saved = load_latest(path / "checkpoints", score.problems.append)
    assert saved is not None
    offset, expected = saved.values["metrics_offset"], saved.values["metrics_sha256"]
    for number in range(runs):
        with score.trial(f"bit {number}"):
            changed, bit = bytearray(whole), rng.randrange(8 * len(whole))
            changed[bit // 8] ^= 1 << bit % 8
            log.write_bytes(changed)
            score.faults += 1
            try:
                read_run(path)
            except ValueError:
                score.refused += 1
            else:
                raise AssertionError(f"bit {bit % 8} of byte {bit // 8} changes a report unnoticed")
            if bit // 8 < offset:
                opened = MetricsLog(log, lambda message: None, truncate_to=offset)
                found = opened.sha256
                opened.close()
                if found == expected:
                    raise AssertionError(f"bit {bit % 8} of byte {bit // 8} is resumed from unnoticed")
                score.compared += 1
    return score
