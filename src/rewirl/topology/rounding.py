"""A fraction of so few connections that it is less than one: events that rewire nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rewirl.topology.blocks import Blocks
from rewirl.topology.config import TopologyConfig
from rewirl.topology.rules.registry import rule_class
from rewirl.topology.state import LayerState
from rewirl.topology.structure import Structure

_BY_FRACTION = ("set", "rigl", "wast")
"""Rules that rewire no more than the fraction says; a rule of the user's own may, by infinite scores."""


def rounds_to_nothing(config: TopologyConfig, layers: Iterable[tuple[LayerState, Structure | None]]) -> str:
    """Return what to say of events that rewire nothing, as the fraction of each layer is less than one; "" otherwise.

    Args:
        config: of the topology.
        layers: all that are rewired, and how they are arranged.
    """
    changes = config.initial_sparsity is not None or config.ablate_below
    own = ":" in config.rule
    follows = own and rule_class(config.rule).adapts and rule_class(config.rule).rewires
    if not (follows or config.rule in _BY_FRACTION) or changes or not config.adapt_fraction:
        return ""
    counts = [_count(config, layer, structure) for layer, structure in layers]
    most, unit = max(counts, default=(0, ""))
    if not most or int(config.adapt_fraction * most):
        return ""
    nothing = "nothing is ever rewired" + (" but connections whose score is -inf" if own else "")
    digits = 1 - math.floor(math.log10(1 / most))
    least = math.ceil(10**digits / most) / 10**digits
    return (
        f"{nothing}: adapt_fraction is {config.adapt_fraction:g}, and no layer has more than "
        f"{most:,} {unit}{'s' * (most > 1)}, so it is less than one of them; give {least:g} or more, or the rule static"
    )


def _count(config: TopologyConfig, layer: LayerState, structure: Structure | None) -> tuple[int, str]:
    """Return of how many an event rewires the fraction in a layer, and what they are."""
    if isinstance(structure, Blocks) and structure.height_in(layer.shape) > 1:
        return sum(len(part.numbers(layer.indices)) for part in structure.parts(layer.shape)), "block"
    if config.drop == "code" and config.rule in ("set", "rigl"):  # the fraction is of each sign
        return max(int((layer.weights > 0).sum()), int((layer.weights < 0).sum())), "same-sign weight"
    return len(layer.indices), "connection"
