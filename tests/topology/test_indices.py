from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from rewirl.seeding import generator
from rewirl.topology import random_free_indices, random_indices, random_topology
from rewirl.topology.indices import distinct


@given(seed=st.integers(0, 1000), total=st.integers(0, 400), share=st.floats(0, 1))
def test_distinct_draws_so_many_different_sorted_integers_in_range(seed, total, share):
    count = int(share * total)
    drawn = distinct(generator(seed, "t"), count, total)
    assert drawn.dtype == np.int64
    assert len(drawn) == count
    assert (np.diff(drawn) > 0).all()
    assert not count or (drawn[0] >= 0 and drawn[-1] < total)


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5), (1, 0)])
def test_distinct_refuses_what_there_is_not(count, total):
    with pytest.raises(ValueError, match="cannot draw"):
        distinct(generator(0, "t"), count, total)


@pytest.mark.parametrize("count", [2, 4])  # of 6: drawn directly, and drawn as the complement
def test_every_set_is_equally_likely(count):
    rng = generator(3, "t")
    draws = 15_000
    masks = np.array([(1 << distinct(rng, count, 6)).sum() for _ in range(draws)])
    sets, observed = np.unique(masks, return_counts=True)
    assert len(sets) == 15
    assert chisquare(observed).pvalue > 1e-3


@given(
    seed=st.integers(0, 1000), total=st.integers(1, 300), occupied_share=st.floats(0, 1), grown_share=st.floats(0, 1)
)
def test_random_free_indices_are_empty_distinct_and_so_many(seed, total, occupied_share, grown_share):
    rng = generator(seed, "t")
    occupied = distinct(rng, int(occupied_share * total), total)
    count = int(grown_share * (total - len(occupied)))
    grown = random_free_indices(occupied, total, count, rng)
    assert grown.dtype == np.int64
    assert len(grown) == count
    assert (np.diff(grown) > 0).all()
    assert not count or (grown[0] >= 0 and grown[-1] < total)
    assert not np.isin(grown, occupied).any()


def test_random_free_indices_takes_all_that_are_empty_and_refuses_more():
    occupied = np.array([0, 1, 4, 9])
    assert random_free_indices(occupied, 10, 6, generator(0, "t")).tolist() == [2, 3, 5, 6, 7, 8]
    with pytest.raises(ValueError, match="cannot draw 7 distinct indices out of 6"):
        random_free_indices(occupied, 10, 7, generator(0, "t"))


def test_random_free_indices_is_uniform_over_the_free_indices_and_over_pairs_of_them():
    rng = generator(5, "t")
    occupied = np.array([0, 3, 4, 5, 9])
    pairs, observed = np.unique(
        [random_free_indices(occupied, 11, 2, rng) for _ in range(15_000)], axis=0, return_counts=True
    )
    assert len(pairs) == 15  # all pairs of the six free indices
    assert chisquare(observed).pvalue > 1e-3


def test_random_indices_is_erdos_renyi_each_index_with_the_same_probability_and_a_binomial_count():
    rng = generator(1, "t")
    draws, density, shape = 6000, 0.3, (3, 7)
    sets = [random_indices(shape, density, rng) for _ in range(draws)]
    counts = np.array([len(indices) for indices in sets])
    assert counts.mean() == pytest.approx(21 * density, abs=4 * np.sqrt(21 * 0.21 / draws))
    assert counts.var() == pytest.approx(21 * 0.21, rel=0.1)
    assert chisquare(np.bincount(np.concatenate(sets), minlength=21)).pvalue > 1e-3


def test_random_indices_at_the_ends_and_beyond():
    assert random_indices((4, 5), 0.0, generator(0, "t")).tolist() == []
    assert random_indices((4, 5), 1.0, generator(0, "t")).tolist() == list(range(20))
    for density in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="density"):
            random_indices((4, 5), density, generator(0, "t"))


def test_random_topology_is_none_where_dense_and_the_same_for_the_same_stream():
    shapes = [(64, 17), (64, 64), (6, 64)]
    first, second = (random_topology(shapes, [0.4, 0.1, 1.0], generator(7, "t")) for _ in range(2))
    assert first[2] is None and second[2] is None
    for layer in range(2):
        np.testing.assert_array_equal(first[layer], second[layer])
    other = random_topology(shapes, [0.4, 0.1, 1.0], generator(8, "t"))
    assert not np.array_equal(first[1], other[1])


def test_random_topology_refuses_a_layer_that_got_no_connection():
    with pytest.raises(ValueError, match=r"layer 2, 1 x 2 .*another seed"):
        random_topology([(2, 4), (1, 2)], [1.0, 1e-9], generator(0, "t"))


def test_a_large_first_topology_takes_memory_for_its_connections_only():
    tracemalloc.start()
    try:
        (indices,) = random_topology([(4096, 4096)], [0.01], generator(0, "t"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(indices) == pytest.approx(167_772, rel=0.02)
    assert peak < 40 * len(
        indices
    )  # 8 bytes a connection and the copies of a sort; a mask of bytes has 100 a connection
