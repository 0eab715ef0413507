"""What is odd about the scale of the observations and rewards that a run has seen before its first update."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rewirl.agents.agent import Agent
from rewirl.agents.config import setting
from rewirl.replay import Replay

_LARGE, _LARGE_REWARD, _SMALL = 1e5, 1e6, 1e-6
_UNEVEN = 100
"""Times the median feature. On Humanoid-v5, where contact forces are 370 times that, dense TD3 fails with the settings
of Sokar et al., and learns to walk with normalised observations besides
(docs/paper.md). HumanoidStandup-v5 has 300, no other task of MuJoCo over 20."""
_BEYOND_NORMS = 1e18
"""Observations whose variance float32 has no number for, not much later."""
_STRETCH = 1_000  # transitions


def of_scales(replay: Replay, agent: Agent | None = None) -> Iterator[str]:
    """Yield what is odd, a line each.

    Args:
        replay: what the run has seen.
        agent: that learns from it; what it normalises is not odd. None has everything as it is.
    """
    if not isinstance(replay, Replay) or not len(replay):
        return
    count = len(replay)
    with np.errstate(over="ignore"):
        total = np.zeros(replay.observations.shape[1])
        for begin in range(0, count, _STRETCH):  # of large observations a copy may be more than there is room for
            part = replay.observations[begin : min(begin + _STRETCH, count)]
            total += np.square(part, dtype=np.float64).sum(axis=0)
        features = np.sqrt(total / count)
        rewards = float(np.sqrt(np.square(replay.rewards[:count], dtype=np.float64).mean()))
    largest = int(np.argmax(features))
    normalised = agent is not None and agent.normalisation.observations is not None
    norms_first = agent is not None and _normalised_first(agent.networks())
    limit = _BEYOND_NORMS if norms_first else _LARGE
    uneven = features[largest] / np.median(features[features > 0]) if features[largest] > 0 else 1.0
    if 0 < features[largest] < _SMALL:  # variances get 1e-8 more before they divide, which is more than theirs
        yield (
            f"warning: observations are as small as {features[largest]:.0e}: the networks will see no difference "
            "between them, normalised or not; multiply them, as by gymnasium.wrappers.TransformObservation"
        )
    elif features[largest] > limit and not normalised:
        yield (
            f"warning: observations are as large as {features[largest]:.0e} (feature {largest}): actions will be at "
            "their bounds, whatever is seen; train with normalise_observations (--normalise-observations)"
        )
    elif uneven > _UNEVEN and not normalised and not norms_first:
        yield (
            f"feature {largest} of the observations is {uneven:,.0f} times as large as the median one, so networks may "
            "hardly see the others; normalise_observations (--normalise-observations) makes them alike"
        )
    scaled = agent is not None and agent.normalisation.returns is not None
    if 0 < rewards < _SMALL:
        yield (
            f"warning: rewards are as small as {rewards:.0e}, and learning is poor with such, scaled or not; multiply "
            "them, as by gymnasium.wrappers.TransformReward"
        )
    elif rewards > _LARGE_REWARD and not scaled:
        yield (
            f"warning: rewards are as large as {rewards:.0e}, and learning is poor with such; train with "
            "scale_rewards (--scale-rewards)"
        )
    elif agent is not None:
        yield from _of_bound(replay, agent)


def _normalised_first(networks: Mapping[str, Any]) -> bool:
    """Tell whether all networks begin with a norm over the batch, to which the scale of its inputs is nothing."""
    first = [next(iter(getattr(network, "operations", [])), None) for network in networks.values()]
    return all(getattr(operation, "kind", "") in ("batch_norm", "batch_renorm") for operation in first)


def _of_bound(replay: Replay, agent: Agent) -> Iterator[str]:
    """Say that values will be beyond what critics can say, if theirs are distributions within a bound.

    A value is taken for the mean reward times the steps that count: 1 / (1 - gamma), or those of an episode.
    """
    config = agent.config
    bound, returns = setting(config, "bound"), agent.normalisation.returns
    if bound is None or (returns is not None and not returns.count):
        return
    mean, ends = float(replay.rewards[: len(replay)].mean(dtype=np.float64)), replay.state()[0]["ends"]
    length = len(ends) / max(1, int(ends.sum()))
    value = mean * (length if config.gamma == 1 else min(1 / (1 - config.gamma), length))
    value *= agent.normalisation.reward_factor
    remedy = "give" if returns is not None else "train with scale_rewards, or give"
    if abs(value) > bound:
        yield (
            f"warning: values will be about {value:.3g}, and those of the critics end at {bound:g} (bound): they can "
            f"say no more of them; {remedy} a larger bound (--bound)"
        )
