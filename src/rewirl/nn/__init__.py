"""Sparse networks and their optimiser on the native core. Knows matrices and batches, not reinforcement learning."""

from rewirl._core import Pool
from rewirl.nn.gaussian import SquashedGaussian, sample_one
from rewirl.nn.mlp import Group, Initialisation, Layer, SparseMLP, normal, squash_gradient
from rewirl.nn.target import TargetNetwork, update_targets
from rewirl.nn.tiles import Tiles, empty_tiles, mean_weights, pack, tile_shape, unpack

__all__ = [
    "Group",
    "Initialisation",
    "Layer",
    "Pool",
    "SparseMLP",
    "SquashedGaussian",
    "TargetNetwork",
    "Tiles",
    "empty_tiles",
    "mean_weights",
    "normal",
    "pack",
    "sample_one",
    "squash_gradient",
    "tile_shape",
    "unpack",
    "update_targets",
]
