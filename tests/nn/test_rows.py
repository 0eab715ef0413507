"""Rows of a replay memory, gathered into tiles."""

from __future__ import annotations

import numpy as np
import pytest
from test_arguments import zeros

from rewirl import _core
from rewirl.nn import empty_tiles, reference


@pytest.mark.parametrize("batch", [1, 16, 100, 129, 300])
def test_gather_rows_deals_the_columns_out(batch):
    rng = np.random.default_rng(batch)
    rows, index = rng.normal(size=(50, 7)).astype(np.float32), rng.integers(50, size=batch)
    wide, narrow = empty_tiles(batch, 5), empty_tiles(batch, 3)
    wide[...] = narrow[...] = -1.0
    _core.gather_rows(rows, index, [wide[:, :4], narrow])
    width = wide.shape[2]
    samples = reference.pack(np.arange(batch)[:, np.newaxis] + 1, width)[:, 0] > 0
    for out, columns in ((wide[:, :4], rows[index, :4]), (narrow, rows[index, 4:])):
        assert np.array_equal(np.where(samples[:, np.newaxis], out, 0), reference.pack(columns, width))
        assert (out.transpose(1, 0, 2)[:, ~samples] == -1).all(), "padding was written"
    assert (wide[:, 4] == -1).all(), "a feature that is not its own was written"


@pytest.mark.parametrize(
    ("index", "outs", "message"),
    [
        ([0, 5], [zeros(1, 3, 16)], "row 5 of 5"),
        ([-1], [zeros(1, 3, 16)], "row -1 of 5"),
        ([0], [zeros(1, 4, 16)], "rows have 3 columns, the tiles 4 features"),
        ([0], [zeros(1, 2, 16)], "rows have 3 columns, the tiles 2 features"),
        ([0], [], "rows have 3 columns, the tiles 0 features"),
        ([0] * 17, [zeros(1, 3, 16)], "the batch does not fit into the tiles"),
        ([0], [zeros(1, 3, 32)[:, :, ::2]], "contiguous"),
        ([0] * 12, [zeros(2, 3, 6)], "width a multiple of 16"),
        ([0], [zeros(2, 3, 16)[::-1]], "tiles must not overlap"),
    ],
)
def test_gather_rows_refuses(index, outs, message):
    with pytest.raises(ValueError, match=message):
        _core.gather_rows(zeros(5, 3), np.array(index), outs)


def test_rows_without_columns_are_not_gathered():
    with pytest.raises(ValueError, match="rows without columns"):
        _core.gather_rows(zeros(5, 0), np.array([0]), [])


@pytest.mark.parametrize("out", [np.zeros((1, 3, 16)), np.zeros((1, 3, 16), dtype=np.int32)])
def test_gather_rows_does_not_write_into_a_copy(out):
    """An array of another type would be converted, filled and thrown away."""
    with pytest.raises(TypeError):
        _core.gather_rows(zeros(5, 3), np.array([0]), [out])


def test_gather_rows_does_not_write_what_is_read_only():
    out = zeros(1, 3, 16)
    out.flags.writeable = False
    with pytest.raises(TypeError):
        _core.gather_rows(zeros(5, 3), np.array([0]), [out])
