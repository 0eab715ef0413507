"""Which connections exist, and how that changes. Pure NumPy; imports only the ground."""

from rewirl.topology.budget import densities, layer_budgets, shares_of_best
from rewirl.topology.config import TopologyConfig
from rewirl.topology.distribution import erdos_renyi, erdos_renyi_for_sparsity, uniform
from rewirl.topology.indices import random_free_indices, random_indices
from rewirl.topology.initial import random_topology
from rewirl.topology.rewire import Rewiring, drop_scores, rewire
from rewirl.topology.rule import Rule
from rewirl.topology.rules.registry import RULES, make_rule
from rewirl.topology.schedule import density_at
from rewirl.topology.state import LayerState

random_empty_places = random_free_indices
"""The name of version 0.1, for rules written then."""

__all__ = [
    "RULES",
    "LayerState",
    "Rewiring",
    "Rule",
    "TopologyConfig",
    "densities",
    "density_at",
    "drop_scores",
    "erdos_renyi",
    "erdos_renyi_for_sparsity",
    "layer_budgets",
    "make_rule",
    "random_empty_places",
    "random_free_indices",
    "random_indices",
    "random_topology",
    "rewire",
    "shares_of_best",
    "uniform",
]
