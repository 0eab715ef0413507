"""Sparse networks and their optimiser on the native core. Knows matrices and batches, not reinforcement learning."""

from rewirl._core import Pool
from rewirl.nn.mlp import Group, Layer, SparseMLP, normal, squash_gradient
from rewirl.nn.target import TargetNetwork, update_targets
from rewirl.nn.tiles import Tiles, empty_tiles, mean_weights, pack, tile_shape, unpack

__all__ = [
    "Group",
    "Layer",
    "Pool",
    "SparseMLP",
    "TargetNetwork",
    "Tiles",
    "empty_tiles",
    "mean_weights",
    "normal",
    "pack",
    "squash_gradient",
    "tile_shape",
    "unpack",
    "update_targets",
]
