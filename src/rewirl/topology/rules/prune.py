"""Gradual magnitude pruning: only follow a changing sparsity (Zhu and Gupta 2017)."""

from __future__ import annotations

from rewirl.topology.rules.by_criteria import ByCriteria


class Prune(ByCriteria):
    """Drop the weights of the smallest magnitude as the sparsity rises; rewire none."""

    drops = "magnitude"
    grows = "random"
    rewires = False
