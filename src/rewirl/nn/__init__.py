"""Sparse networks and their optimiser on the native core. Knows matrices and batches, not reinforcement learning."""

from rewirl._core import Pool
from rewirl.nn.architectures import (
    HiddenLayers,
    batch_normalised,
    batch_renormalised,
    layer_normalised,
    layered,
    residual,
)
from rewirl.nn.categorical import Bins, Distributions, cross_entropy, of_smaller_mean
from rewirl.nn.ensemble import Ensemble, refuse_nonfinite
from rewirl.nn.heads import (
    LOG_STD_BOUNDS,
    LogStd,
    Samples,
    SquashedGaussian,
    minimum,
    normal,
    sample_one,
    squash,
    squash_gradient,
)
from rewirl.nn.initialise import Initialisation, Scale, Start, initialised, mlp_network
from rewirl.nn.layer import Layer, Places
from rewirl.nn.mlp import mlp, names_of
from rewirl.nn.native import headers, load_native
from rewirl.nn.network import Network
from rewirl.nn.operations import (
    Add,
    BatchNorm,
    BatchRenorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    Multiply,
    Operation,
    Parameter,
    ReLU,
    Tanh,
)
from rewirl.nn.stream import SoftplusNormal, Stream, begin_sparsely
from rewirl.nn.target import TargetNetwork, update_targets
from rewirl.nn.tiles import Tiles, empty_tiles, mean_weights, pack, tile_shape, unpack

__all__ = [
    "LOG_STD_BOUNDS",
    "Add",
    "BatchNorm",
    "BatchRenorm",
    "Bins",
    "Distributions",
    "Ensemble",
    "HiddenLayers",
    "Initialisation",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogStd",
    "Multiply",
    "Network",
    "Operation",
    "Parameter",
    "Places",
    "Pool",
    "ReLU",
    "Samples",
    "Scale",
    "SoftplusNormal",
    "SquashedGaussian",
    "Start",
    "Stream",
    "Tanh",
    "TargetNetwork",
    "Tiles",
    "batch_normalised",
    "batch_renormalised",
    "begin_sparsely",
    "cross_entropy",
    "empty_tiles",
    "headers",
    "initialised",
    "layer_normalised",
    "layered",
    "load_native",
    "mean_weights",
    "minimum",
    "mlp",
    "mlp_network",
    "names_of",
    "normal",
    "of_smaller_mean",
    "pack",
    "refuse_nonfinite",
    "residual",
    "sample_one",
    "squash",
    "squash_gradient",
    "tile_shape",
    "unpack",
    "update_targets",
]
