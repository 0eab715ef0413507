"""Operations that do in one call what smaller ones do in several, and what is computed from outputs."""

from __future__ import annotations

import numpy as np
import pytest
from cases import random_network
from scipy.stats import kstest
from test_arguments import zeros

from rewirl import _core
from rewirl.nn import (
    Ensemble,
    Network,
    Pool,
    TargetNetwork,
    empty_tiles,
    minimum,
    mlp_network,
    normal,
    pack,
    squash,
    squash_gradient,
    unpack,
)

RATE, DECAY = 1e-2, 1e-3


def networks(count: int, density: float | None, outputs: int = 1) -> list[Network]:
    return [
        random_network([9, 40, 30, outputs], [density, density, None], np.random.default_rng(i)) for i in range(count)
    ]


def bits(ensemble: Ensemble) -> list[bytes]:
    return [array.tobytes() for network in ensemble.networks for array in network.state()[0].values()]


@pytest.mark.parametrize("density", [None, 0.5, 0.1])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [1, 2])
def test_descending_is_backward_and_adam(instruction_set, density, threads, count):
    rng = np.random.default_rng(0)
    x = pack(rng.normal(size=(150, 9)).astype(np.float32))
    pulls = [pack(rng.normal(size=(150, 2)).astype(np.float32)) for _ in range(count)]
    ends = []
    for fused in (False, True):
        pool = Pool(threads)
        ensemble = Ensemble(networks(count, density, 2), pool)
        for _ in range(3):
            ensemble.forward(x)
            if fused:
                ensemble.step(x, pulls, RATE, DECAY)
            else:
                ensemble.backward(x, pulls)
                ensemble.adam(RATE, DECAY)
        ends.append(bits(ensemble))
        pool.close()
    assert ends[0] == ends[1]


@pytest.mark.parametrize("density", [None, 0.5, 0.1])
@pytest.mark.parametrize("threads", [1, 2])
def test_regressing_is_descending_on_squared_errors(instruction_set, density, threads):
    rng = np.random.default_rng(0)
    x, targets = pack(rng.normal(size=(150, 9)).astype(np.float32)), pack(rng.normal(size=(150, 1)).astype(np.float32))
    weights = pack(rng.uniform(size=(150, 1)).astype(np.float32))
    pool = Pool(threads)
    one, other = Ensemble(networks(2, density), pool), Ensemble(networks(2, density), pool)
    errors = [empty_tiles(150, 1) for _ in range(2)]
    for _ in range(3):
        one.regress(x, targets, weights, errors, RATE, DECAY)
        expected = [output - targets for output in other.forward(x)]
        other.step(x, [np.float32(2) * error * weights for error in expected], RATE, DECAY)
        assert all(np.array_equal(e, f) for e, f in zip(errors, expected, strict=True))
    assert bits(one) == bits(other)
    other.networks[1].layers[2].bias[:] = np.nan
    with pytest.raises(FloatingPointError, match="the difference from its target of network 2 is not finite"):
        other.regress(x, targets, weights, errors, RATE, DECAY)
    pool.close()


def test_regression_is_refused_where_it_makes_no_sense(pool):
    x, y = empty_tiles(20, 9), empty_tiles(20, 1)
    (single,) = networks(1, 0.5)
    (double,) = networks(1, 0.5, outputs=2)
    for network, targets, errors, message in (
        (double, y, [y.copy()], "one output"),
        (TargetNetwork(single), y, [y.copy()], "no optimiser"),
        (single, empty_tiles(20, 2), [y.copy()], "the targets must be contiguous"),
        (single, y, [empty_tiles(40, 1)], "the errors must be contiguous"),
        (single, y, [], "one array of errors per network"),
    ):
        with pytest.raises(ValueError, match=message):
            Ensemble([network], pool).regress(x, targets, y, errors, RATE, DECAY)


@pytest.mark.parametrize("batch", [5, 150])
def test_the_minimum_is_over_the_networks(pool, batch):
    rng = np.random.default_rng(0)
    ensemble = Ensemble(networks(3, 0.5), pool)
    outputs = ensemble.forward(pack(rng.normal(size=(batch, 9)).astype(np.float32)))
    wide = pack(rng.normal(size=(batch, 2)).astype(np.float32))
    out = empty_tiles(batch, 1)
    minimum(outputs, 0.9, wide[:, 1:], wide[:, :1], out)
    assert out == pytest.approx(wide[:, :1] + 0.9 * wide[:, 1:] * np.min(outputs, axis=0), abs=1e-6)
    ensemble.networks[1].layers[2].bias[:] = np.nan
    ensemble.forward(pack(rng.normal(size=(batch, 9)).astype(np.float32)))
    minimum(outputs, 0.9, wide[:, 1:], wide[:, :1], out)
    assert np.isnan(unpack(out, batch)).all(), "an error must not be hidden by the other network"
    with pytest.raises(ValueError, match="scale must have the shape"):
        minimum(outputs, 0.9, wide, wide[:, :1], out)
    with pytest.raises(ValueError, match="an output must have the shape"):
        minimum(outputs, 0.9, wide[:, 1:], wide[:, :1], empty_tiles(batch, 2))
    with pytest.raises(ValueError, match="an output is needed"):
        minimum([], 0.9, wide[:, 1:], wide[:, :1], out)


@pytest.mark.parametrize("batch", [5, 150])
def test_squashing_is_tanh_with_clipped_noise(instruction_set, pool, batch):
    rng = np.random.default_rng(0)
    (network,) = networks(1, 0.5, outputs=3)
    (z,) = Ensemble([network], pool).forward(pack(rng.normal(scale=4, size=(batch, 9)).astype(np.float32)))
    noise = normal(np.random.default_rng(7), z.size).reshape(z.shape)
    wide = np.full((z.shape[0], 5, z.shape[2]), 7, dtype=np.float32)
    squash(z, wide[:, 2:])
    assert wide[:, 2:] == pytest.approx(np.tanh(z.astype(np.float64)), abs=5e-7)
    assert (wide[:, :2] == 7).all()
    squash(z, wide[:, 2:], np.random.default_rng(7), 0.4, 0.5)
    expected = np.clip(np.tanh(z.astype(np.float64)) + np.clip(0.4 * noise, -0.5, 0.5), -1, 1)
    assert wide[:, 2:] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="must have the shape"):
        squash(z, wide)


def test_normal_numbers_are_those_of_box_and_muller(instruction_set):
    """Of 32 numbers the first 16 are cosines: points in the plane, from pairs of 32 random bits."""
    found = normal(np.random.default_rng(5), 100_000).astype(np.float64)
    raw = np.random.default_rng(5).bit_generator.random_raw(50_000)
    bits = np.stack([raw & 0xFFFFFFFF, raw >> 32], axis=1).reshape(-1, 2, 16)
    u = (bits[:, 0] >> 8) * 2.0**-24 + 2.0**-25
    angle = np.pi * bits[:, 1].astype(np.uint32).view(np.int32) * 2.0**-31
    radius = np.sqrt(-2 * np.log(u))
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
    assert found == pytest.approx(expected, abs=2e-5)
    assert kstest(found, "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 100])
def test_fewer_normal_numbers_are_the_first_of_more(count):
    assert np.array_equal(normal(np.random.default_rng(5), count), normal(np.random.default_rng(5), 128)[:count])


def test_tanh_is_right_over_its_whole_range(instruction_set, pool):
    """A network of one input with weight 1 hands its input on."""
    network = mlp_network([1, 1], [None], [np.float32([1])], [np.float32([0])])
    ends = np.float32([0, -0.0, 1e-30, -1e-30, 9, -9, 20, -20, 1e30, -1e30, np.inf, -np.inf])
    x = np.concatenate([np.linspace(-10, 10, 5001, dtype=np.float32), ends])
    out = empty_tiles(len(x), 1)
    squash(Ensemble([network], pool).forward(pack(x[:, np.newaxis]))[0], out)
    y = unpack(out, len(x))[:, 0]
    expected = np.tanh(x.astype(np.float64))
    assert y == pytest.approx(expected, rel=5e-7, abs=0)
    assert np.abs(y).max() == 1


def test_the_gradient_of_squashing(pool):
    rng = np.random.default_rng(0)
    y, gradient = rng.uniform(-1, 1, size=(2, 7, 16)).astype(np.float32), rng.normal(size=(2, 3, 16)).astype(np.float32)
    expected = gradient * (1 - y[:, 4:] ** 2)
    squash_gradient(y[:, 4:], gradient)
    assert gradient == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="the gradient must have the shape"):
        squash_gradient(y, gradient)


def test_a_target_network_keeps_no_hidden_activations(pool):
    target = TargetNetwork(networks(1, 0.5)[0])
    ensemble = Ensemble([target], pool)
    (output,) = ensemble.forward(empty_tiles(20, 9))
    with pytest.raises(ValueError, match="does not keep hidden"):
        ensemble.value(0, "hidden1")
    assert ensemble.value(0, "output").shape == output.shape


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sampled_rows_are_those_that_numpy_would_draw(threads):
    pool = Pool(threads)
    rows = np.arange(4100, dtype=np.float32).reshape(100, 41)
    one, other = np.random.default_rng(0), np.random.default_rng(0)
    for filled, count in ((100, 37), (1, 4), (99, 150), (7, 16), (100, 501), (50, 256), (50, 112)):
        out = empty_tiles(count, 41)
        _core.sample_rows(pool, one.bit_generator, rows, 0, filled, count, [out])
        assert np.array_equal(unpack(out, count), rows[other.integers(filled, size=count)])
    many = np.arange(999_993, dtype=np.float32)[:, np.newaxis]  # some draws are rejected, for all to be as likely
    out = empty_tiles(50_000, 1)
    _core.sample_rows(pool, one.bit_generator, many, 0, len(many), 50_000, [out])
    assert np.array_equal(unpack(out, 50_000)[:, 0], other.integers(len(many), size=50_000))
    for filled in (0, 101):
        with pytest.raises(ValueError, match="of 100 rows"):
            _core.sample_rows(pool, one.bit_generator, rows, 0, filled, 5, [empty_tiles(5, 41)])
    with pytest.raises(ValueError, match="differ in number or width"):
        _core.sample_rows(pool, one.bit_generator, rows, 0, 5, 5, [empty_tiles(5, 40), empty_tiles(20, 1)])
    pool.close()


def test_what_is_written_has_memory_of_its_own(pool):
    """Errors written over the targets or weights would give wrong gradients; two networks would share theirs."""
    x, shared = zeros(1, 6, 16), zeros(2, 1, 16)
    ensemble = Ensemble([random_network([6, 1], [None], np.random.default_rng(i)) for i in range(2)], pool)
    for targets, weights, errors in (
        (shared[:1], zeros(1, 1, 16), [shared[:1], zeros(1, 1, 16)]),
        (zeros(1, 1, 16), shared[:1], [zeros(1, 1, 16), shared[:1]]),
        (zeros(1, 1, 16), zeros(1, 1, 16), [shared[:1], shared[:1]]),
        (zeros(1, 1, 16), zeros(1, 1, 16), [shared[:1], shared.reshape(-1)[8:24].reshape(1, 1, 16)]),
    ):
        with pytest.raises(ValueError, match="the errors need memory of their own"):
            ensemble.regress(x, targets, weights, errors, 1e-3)
        with pytest.raises(ValueError, match="the probabilities need memory of their own"):
            ensemble.classify(x, targets, weights, errors, 1e-3)
    ensemble.regress(x, shared[:1], shared[:1], [shared[1:], zeros(1, 1, 16)], 1e-3)
