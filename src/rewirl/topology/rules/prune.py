"""Gradual magnitude pruning: only drop the smallest weights, as a changing sparsity asks for (Zhu and Gupta 2017)."""

from __future__ import annotations

from rewirl.topology.rules.set import SET


class Prune(SET):
    """Drop the smallest weights; rewire nothing."""

    drops = "magnitude"
    rewires = False
