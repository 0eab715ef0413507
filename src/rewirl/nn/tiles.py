"""Batches as the core stores them: batch-minor tiles, so that a connection serves many samples at once.

A batch of B samples with F features is a float32 array [tiles, F, width]: sample i is column `i % width` of tile
`i // width`. Columns beyond the batch are padding; they hold finite numbers that nothing reads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewirl import _core

Tiles = NDArray[np.float32]


def tile_shape(batch: int) -> tuple[int, int]:
    """Return how many tiles of what width hold a batch.

    Args:
        batch: number of samples, at least 1.

    Returns:
        (tiles, width): tiles of equal width, a multiple of 16, at most 128 (112 with AVX2), as few as possible or one
        more, whichever takes less time.

    Raises:
        ValueError: batch is less than 1.
    """
    if batch < 1:
        raise ValueError(f"a batch has at least one sample, got {batch}")
    fewest = -(-batch // _core.widest_tile())
    shapes = [(tiles, -(-batch // (tiles * _core.LANE)) * _core.LANE) for tiles in (fewest, fewest + 1)]
    # Padding is computed too, and each tile loads every index and weight: with AVX2 as many loads as for 16 samples.
    return min(shapes, key=lambda shape: shape[0] * (shape[1] + _core.LANE))


def empty_tiles(batch: int, features: int) -> Tiles:
    """Return zeroed tiles for a batch, float32 [tiles, features, width], aligned to cache lines."""
    tiles, width = tile_shape(batch)
    return _core.empty_tiles(tiles, features, width)


def pack(rows: NDArray[np.float32]) -> Tiles:
    """Return samples [batch, features] as tiles [tiles, features, width], padded with zeros."""
    batch, features = rows.shape
    out = empty_tiles(batch, features)
    _, width = tile_shape(batch)
    for tile, block in enumerate(out):
        part = rows[tile * width : (tile + 1) * width]
        block[:, : len(part)] = part.T
    return out


def unpack(tiles: Tiles, batch: int) -> NDArray[np.float32]:
    """Return the samples of tiles [tiles, features, width] as an array of its own, float32 [batch, features]."""
    _, features, _ = tiles.shape
    rows: NDArray[np.float32] = tiles.transpose(0, 2, 1).reshape(-1, features)[:batch].copy()
    return rows


def mean_weights(batch: int) -> Tiles:
    """Return 1/batch for every sample and 0 for padding, float32 [tiles, 1, width]: a mean is a sum with these."""
    return pack(np.full((batch, 1), 1.0 / batch, dtype=np.float32))
