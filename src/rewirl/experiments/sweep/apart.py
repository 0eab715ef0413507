"""What tells the settings of a sweep apart, in words: the names of runs have a hash instead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rewirl.experiments.sweep.plan import PlannedRun
from rewirl.storage.values import to_values

_SHOWN_ELSEWHERE = ("agent", "env", "seed", "total_timesteps")


def told_apart(runs: Iterable[PlannedRun]) -> dict[str, str]:
    """Return the options in which each run differs from others of its agent and environment, by its name.

    Such as "adapt_every 500, hidden_sizes 256 256"; empty where it differs in none, or has none of those.
    """
    alike: defaultdict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for run in runs:
        alike[run.config.agent, run.config.env][run.name] = _options(run)
    result = {}
    for group in alike.values():
        first, *others = group.values()
        differ = [option for option, value in first.items() if any(other[option] != value for other in others)]
        for name, options in group.items():
            own = [(option, options[option]) for option in differ if options[option] is not None]
            result[name] = ", ".join(f"{option} {_typed(value)}" for option, value in own)
    return result


def _options(run: PlannedRun) -> dict[str, Any]:
    agent = to_values(run.agent_config)
    options = {**to_values(run.config), **agent, **agent["topology"]}
    policy = options["warm_up_policy"]
    if policy is not None:  # that of each seed is of another directory
        options["warm_up_policy"] = Path(policy).name.rpartition("-")[0] if run.after else policy
    return {name: value for name, value in options.items() if name not in (*_SHOWN_ELSEWHERE, "topology")}


def _typed(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
