"""Which connections exist, and how that changes. Pure NumPy; needs no other room of the house."""

from rewirl.topology.config import TopologyConfig
from rewirl.topology.distribution import densities, erdos_renyi, erdos_renyi_for_sparsity, shares_of_best, uniform
from rewirl.topology.places import random_empty_places, random_places, random_topology
from rewirl.topology.rule import LayerState, Rewiring, Rule, rewire
from rewirl.topology.schedule import Schedule, density_at

__all__ = [
    "LayerState",
    "Rewiring",
    "Rule",
    "Schedule",
    "TopologyConfig",
    "densities",
    "density_at",
    "erdos_renyi",
    "erdos_renyi_for_sparsity",
    "random_empty_places",
    "random_places",
    "random_topology",
    "rewire",
    "shares_of_best",
    "uniform",
]
