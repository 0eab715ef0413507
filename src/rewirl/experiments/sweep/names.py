"""Names of run directories: environment, agent or label, a short hash of the settings, and the seed.

A run with the default settings of its agent and environment has no hash: HalfCheetah-v5-ds-td3-0. Any other one has:
HalfCheetah-v5-rigl-3f9c2a71-0. The index of the directory says which settings a hash stands for. Version 0.1 wrote all
settings into the name instead; its directories are found too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewirl.options.resolve import differing
from rewirl.options.train import TrainConfig
from rewirl.storage import strict_json

LONGEST_LABEL = 40

_HASH_DIGITS = 8
_LONGEST_ENV = 80
_HASH_AND_SEED = re.compile(r"-[0-9a-f]{8}-\d+$")

_LONGEST_OLD_NAME = 150
_OLD_OPTIONS = (
    *("env_kwargs", "warm_up_policy", "total_timesteps", "eval_every", "eval_episodes"),
    *("hidden_sizes", "learning_rate", "weight_decay", "bias_correction", "batch_size", "gamma", "n_steps"),
    *("n_steps_after", "tau", "redo_every", "redo_threshold", "learning_starts", "buffer_size", "buffer_distance"),
    *("buffer_empty_every", "buffer_minimum", "resample_noise_from", "policy_delay", "policy_noise", "noise_clip"),
    *("exploration_noise", "target_update_interval", "temperature", "target_entropy", "n_step_entropy"),
    *("sparsity", "lambdas", "layer_sparsities", "actor_sparsity", "critic_sparsity", "initial_sparsity"),
    *("sparsity_start", "sparsity_end", "distribution", "structure", "ablate_below", "initial_scale", "rule", "drop"),
    *("grow", "regrow_dropped", "adapt_every", "adapt_fraction", "anneal", "adapt_offset", "adapt_end"),
)
"""The options of version 0.1 in the order in which its names have them."""


@dataclass(frozen=True)
class RunNames:
    """The names that the directory of a run may have."""

    name: str
    """Of a new directory."""
    identity: str
    """The name without its label: the same for the same settings and seed, whatever they are called."""
    old: str | None
    """What version 0.1 called it; None if it has options that version did not know."""
    description: dict[str, Any]
    """Agent, environment and options that differ from their defaults, as JSON values: all but the seed."""

    @property
    def known(self) -> tuple[str, ...]:
        """All names that need no directory to be looked at."""
        return tuple(name for name in (self.name, self.identity, self.old) if name is not None)


def names_of(config: TrainConfig, agent_config: Any, label: str = "", source: RunNames | None = None) -> RunNames:
    """Return the names of a run.

    Args:
        config: settings of the run.
        agent_config: settings of its agent.
        label: stands for the agent in the name of a run that has a hash; empty is the agent.
        source: names of the run whose policy it starts from, instead of the path in its settings.
    """
    options: dict[str, Any] = {name: _json(value) for name, value in differing(config, agent_config).items()}
    if source is not None:
        options["warm_up_policy"] = source.description
    description = {"agent": config.agent, "env": config.env, "options": options}
    env, agent = word(config.env), word(config.agent)
    plain = f"{env}-{agent}"
    name = identity = f"{_shortened(plain)}-{config.seed}"
    if options:
        digest = hashlib.sha256(strict_json.canonical(description, plain)).hexdigest()[:_HASH_DIGITS]
        name, identity = (
            f"{env[:_LONGEST_ENV]}-{label_or_agent}-{digest}-{config.seed}"
            for label_or_agent in (label or agent, agent)
        )
    old = None
    if all(option in _OLD_OPTIONS for option in options) and (source is None or source.old is not None):
        words = {option: word(options[option]) for option in _OLD_OPTIONS if option in options}
        if source is not None and source.old is not None:
            words["warm_up_policy"] = source.old.removeprefix(f"{env}-").removesuffix(f"-{config.seed}")
        parts = [plain, *(f"{option.replace('_', '-')}={value}" for option, value in words.items())]
        old = f"{_shortened('-'.join(parts))}-{config.seed}"
    return RunNames(name, identity, old, description)


class Directories:
    """The run directories that exist below a directory, by their names.

    Args:
        parent: the directory; it need not exist.
    """

    def __init__(self, parent: Path) -> None:
        try:
            self._names = {path.name for path in parent.iterdir()}
        except OSError:
            self._names = set()
        self._by_hash: dict[str, list[str]] = {}
        for name in sorted(self._names):
            if match := _HASH_AND_SEED.search(name):
                self._by_hash.setdefault(match[0], []).append(name)

    def find(self, names: RunNames) -> str:
        """Return the name that the directory of a run has: with its label, with another one, or of version 0.1.

        A run that has no directory yet gets its new name.
        """
        if names.name in self._names:
            return names.name
        if match := _HASH_AND_SEED.search(names.identity):
            env = names.identity[: -len(match[0])].removesuffix(f"-{word(names.description['agent'])}")
            for name in self._by_hash.get(match[0], []):
                if name.startswith(f"{env}-"):
                    return name
        return names.old if names.old in self._names and names.old is not None else names.name


def same_run(name: str, names: Iterable[str]) -> bool:
    """Tell whether a directory's name is one of some names of one run, whatever its label is."""
    match = _HASH_AND_SEED.search(name)
    return any(name == other or (match is not None and other.endswith(match[0])) for other in names)


def word(value: Any) -> str:
    """Return a value as a part of a directory's name."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(word, value))
    if isinstance(value, dict):
        value = json.dumps(value, sort_keys=True, separators=(",", ":"))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return re.sub(r"[^A-Za-z0-9_.,=+-]+", "-", str(value)).strip("-")


def _shortened(name: str) -> str:
    if len(name) <= _LONGEST_OLD_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: _LONGEST_OLD_NAME - 13]}-{digest}"


def _json(value: Any) -> Any:
    return [_json(each) for each in value] if isinstance(value, tuple) else value
