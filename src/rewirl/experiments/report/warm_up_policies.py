"""Tells runs apart by the policies that acted at first, where their names do not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rewirl.experiments.report.labels import options_of
from rewirl.experiments.report.run_data import RunData

_OPTION = "warm_up_policy"


def options_of_all(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """Return the options of each of some runs, a policy with its hash where runs that are else alike have several.

    Policies of the runs' own seeds are taken for one: a sweep trains each in the same way.

    Args:
        runs: any.
    """
    options = [options_of(run) for run in runs]
    alike: dict[str, dict[str, list[int]]] = {}
    for number, (run, own) in enumerate(zip(runs, options, strict=True)):
        policy = run.record["config"].get(_OPTION)
        if _OPTION in own and isinstance(policy, dict):
            key = json.dumps([run.env, run.agent, own], sort_keys=True)
            alike.setdefault(key, {}).setdefault(str(policy.get("sha256")), []).append(number)
    for by_policy in alike.values():
        of_own_seed = _of_own_seed({sha256: [runs[number] for number in of] for sha256, of in by_policy.items()})
        others = [sha256 for sha256 in by_policy if sha256 not in of_own_seed]
        if len(others) + bool(of_own_seed) > 1:
            for sha256 in others:
                for number in by_policy[sha256]:
                    options[number][_OPTION] = f"{options[number][_OPTION]} {sha256[:8]}"
    return options


def _of_own_seed(by_policy: dict[str, list[RunData]]) -> list[str]:
    """Return the policies of which each has the seed of the one run that it is of; none where two have one seed."""
    seeds = {
        sha256: of[0].seed
        for sha256, of in by_policy.items()
        if all(run.seed == run.record["config"][_OPTION].get("seed") == of[0].seed for run in of)
    }
    return list(seeds) if len(set(seeds.values())) == len(seeds) else []
