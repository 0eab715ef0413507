"""WAST: connections go where inputs are important (Sokar et al. 2022, Where to Pay Attention in Sparse Training)."""

from __future__ import annotations

from rewirl.topology.rules.by_importance import ByImportance


class WAST(ByImportance):
    """Drop weak connections of unimportant inputs; grow at important ones."""
