"""NaN stays NaN in every kernel, wherever it can reach, and disturbs nothing that it cannot reach."""

from __future__ import annotations

import numpy as np
import pytest
from cases import gradients, random_network
from compositions import N_IN, network_of

from rewirl.nn import (
    BatchNorm,
    Bins,
    Ensemble,
    LayerNorm,
    LeakyReLU,
    Linear,
    Network,
    ReLU,
    SquashedGaussian,
    Tanh,
    cross_entropy,
    empty_tiles,
    minimum,
    of_smaller_mean,
    pack,
    squash,
    unpack,
)

BATCHES = [1, 17, 100, 256]
FORMATS = {
    "dense": ([None, None, None], None),
    "unstructured": ([0.5, 0.3, 0.9], None),
    "sparser": ([0.05, 0.1, 0.5], None),
    "blocks of 4": ([0.5, 0.3, 0.9], [4, 4, 4]),
    "blocks of 8": ([0.5, 0.3, 0.9], [8, 8, 8]),
}
SIZES = [30, 65, 40, 16]


def reached(network, unit, from_layer=0):
    """Which outputs a value of a layer's inputs reaches through connections, bool [outputs]."""
    marked = np.zeros(network.layers[from_layer].shape[1], bool)
    marked[unit] = True
    for layer in network.layers[from_layer:]:
        n_out, n_in = layer.shape
        rows, columns = np.divmod(layer.places(), n_in)
        marked = np.bincount(rows[marked[columns]], minlength=n_out) > 0
    return marked


def networks(of, seed=0):
    densities, heights = FORMATS[of]
    rng = np.random.default_rng(seed)
    return random_network(SIZES, densities, rng, heights=heights), rng


def nan_where(found, expected_nan, undisturbed):
    assert np.array_equal(np.isnan(found), expected_nan)
    assert np.array_equal(found[~expected_nan], undisturbed[~expected_nan])


@pytest.mark.parametrize("of", FORMATS)
@pytest.mark.parametrize("batch", BATCHES)
def test_nan_of_a_sample_reaches_every_output_that_it_has_a_path_to(instruction_set, pool, of, batch):
    network, rng = networks(of)
    rows = rng.normal(size=(batch, SIZES[0])).astype(np.float32)
    unit, sample = int(np.argmax([reached(network, u).sum() for u in range(SIZES[0])])), batch // 2
    assert reached(network, unit).any()
    ensemble = Ensemble([network], pool)
    before = unpack(ensemble.forward(pack(rows))[0], batch)
    broken = rows.copy()
    broken[sample, unit] = np.nan
    lost = np.zeros((batch, SIZES[-1]), bool)
    lost[sample] = reached(network, unit)
    nan_where(unpack(ensemble.forward(pack(broken))[0], batch), lost, before)
    nan_where(unpack(network.predict(pack(broken)), batch), lost, before)
    for act in (network.act, network.act_squashed):  # may reach further: rows are computed together, with zeros
        assert np.isnan(act(broken[sample]))[lost[sample]].all() and np.isfinite(act(rows[sample])).all()


@pytest.mark.parametrize("of", FORMATS)
def test_the_gate_of_nan_lets_the_gradient_through(instruction_set, pool, of):
    """A hidden unit that is NaN is no unit that is off: its bias has the gradient that comes back to it."""
    network, rng = networks(of)
    batch, ensemble = 100, Ensemble([network], pool)
    rows = rng.normal(size=(batch, SIZES[0])).astype(np.float32)
    for first, after in ((0, 1), (1, 2)):
        layer, following = network.layers[first], network.layers[after]
        places = following.places()
        unit = int(np.bincount(places % following.shape[1], minlength=following.shape[1]).argmax())
        layer.bias[unit] = np.nan
        ensemble.forward(pack(rows))
        ensemble.backward(pack(rows), [pack(np.ones((batch, SIZES[-1]), np.float32))], inputs_from=0)
        connections, _ = gradients(ensemble)[after]
        assert np.isnan(connections[places % following.shape[1] == unit]).any()
        assert gradients(ensemble)[first][1][unit] != 0
        layer.bias[unit] = 0


@pytest.mark.parametrize("of", FORMATS)
def test_nan_of_a_gradient_reaches_back(instruction_set, pool, of):
    network, rng = networks(of)
    batch, ensemble = 100, Ensemble([network], pool)
    rows = rng.normal(size=(batch, SIZES[0])).astype(np.float32)
    d = np.ones((batch, SIZES[-1]), np.float32)
    output = int(np.bincount(network.layers[2].places() // SIZES[2]).argmax())
    d[:50, output] = np.nan
    ensemble.forward(pack(rows))
    (of_inputs,) = ensemble.backward(pack(rows), [pack(d)], inputs_from=0)
    of_inputs = unpack(of_inputs, batch)
    assert np.isnan(gradients(ensemble)[2][1][output])
    assert np.isnan(of_inputs[:50]).any() and np.isfinite(of_inputs[50:]).all()


@pytest.mark.parametrize(
    "operations",
    [
        [ReLU(), Linear(n_out=5)],
        [Linear("a", n_out=9), ReLU("b"), Linear("c", n_out=9), ReLU()],
        [LeakyReLU(slope=0.0), Linear(n_out=5)],
        [Tanh(), Linear(n_out=5), Tanh()],
    ],
)
def test_operations_that_are_not_fused(instruction_set, pool, operations):
    network = network_of(operations, np.random.default_rng(0), 1.0)
    rows = np.random.default_rng(1).normal(size=(40, N_IN)).astype(np.float32)
    rows[13, 2] = np.nan
    (output,) = Ensemble([network], pool).forward(pack(rows))
    nan = np.isnan(unpack(output, 40))
    assert nan[13].all() and not np.delete(nan, 13, axis=0).any()
    assert np.isnan(network.act(rows[13])).all()


@pytest.mark.parametrize("first", [True, False])
def test_the_least_of_nan_and_a_number_is_nan(instruction_set, first):
    outputs = [pack(np.array([[value], [1.0]], np.float32)) for value in ((np.nan, 3.0) if first else (3.0, np.nan))]
    ones, zeros, out = pack(np.ones((2, 1), np.float32)), empty_tiles(2, 1), empty_tiles(2, 1)
    minimum(outputs, 1.0, ones, zeros, out)
    assert np.isnan(unpack(out, 2)[0, 0]) and unpack(out, 2)[1, 0] == 1


def test_distributions_of_nan_are_nan(instruction_set):
    """Of logits, of returns that move them, and of the smaller of two of which one is NaN."""
    bins = Bins(-5.0, 5.0, 7)
    logits = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    sound = bins.of_logits(pack(logits))
    logits[4, 2] = np.nan
    broken = bins.of_logits(pack(logits))
    assert np.isnan(unpack(broken.mean, 20)).reshape(-1).nonzero()[0].tolist() == [4]
    for one, other in ((sound, broken), (broken, sound)):
        assert np.isnan(unpack(of_smaller_mean(one, other), 20)[4]).any()
    offset, scale = np.zeros((20, 1), np.float32), np.ones((20, 1), np.float32)
    offset[3], scale[6] = np.nan, np.nan
    moved = unpack(bins.moved(sound.probability, pack(offset), pack(scale)), 20)
    assert np.isnan(moved).any(axis=1).nonzero()[0].tolist() == [3, 6]
    assert np.isnan(cross_entropy(broken.probability, sound.probability, pack(scale[:, :1])))


def test_actions_and_samples_of_nan_are_nan(instruction_set):
    raw = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    raw[4, 1] = raw[9, 5] = np.nan  # a mean, and the logarithm of a standard deviation
    out = empty_tiles(20, 3)
    for scale, bound in ((0.2, 0.5), (0.2, 0.0)):
        squash(pack(raw[:, :3]), out, np.random.default_rng(1), scale, bound)
        assert np.argwhere(np.isnan(unpack(out, 20))).tolist() == [[4, 1]]
    gaussian = SquashedGaussian(20, 3)
    samples = gaussian.sample(pack(raw), out, np.random.default_rng(1))
    assert np.argwhere(np.isnan(unpack(samples.values, 20))).tolist() == [[4, 1], [9, 2]]
    assert np.flatnonzero(np.isnan(unpack(samples.log_probability, 20))).tolist() == [4, 9]
    ones = pack(np.ones((20, 3), np.float32))
    gradient = unpack(gaussian.gradient(samples, ones, pack(np.ones((20, 1), np.float32))), 20)
    assert np.isnan(gradient[9, 5]) and np.isnan(gradient[4, 1]) and np.isfinite(np.delete(gradient, [4, 9], 0)).all()


@pytest.mark.parametrize("by_age", [False, True])
def test_a_gradient_whose_square_is_infinite_is_a_step_of_0(instruction_set, pool, by_age):
    """As one divided by infinity is 0, not NaN: an estimate refined by a step of Newton would have 0 times infinity."""
    network = random_network([5, 40, 3], [0.5, None], np.random.default_rng(0))
    if by_age:
        network.count_ages()
    before = [array.copy() for _, array in network.arrays()]
    ensemble, x = Ensemble([network], pool), pack(np.ones((20, 5), np.float32))
    ensemble.forward(x)
    ensemble.backward(x, [pack(np.zeros((20, 3), np.float32))])
    for name, _ in network.arrays():
        ensemble.gradient(0, name)[:] = 2e19
    ensemble.adam(1e-3)
    assert all(np.array_equal(array, one) for (_, array), one in zip(network.arrays(), before, strict=True))


def test_a_variance_that_is_infinite_normalises_to_0(instruction_set, pool):
    network = network_of([LayerNorm("norm"), Linear("out", n_out=3)], np.random.default_rng(0), 1.0)
    network.set_values("norm.shift", np.arange(N_IN, dtype=np.float32))
    rows = np.random.default_rng(1).normal(size=(20, N_IN)).astype(np.float32) * np.float32(1e25)
    ensemble = Ensemble([network], pool)
    ensemble.forward(pack(rows))
    assert (unpack(ensemble.value(0, "norm"), 20) == np.arange(N_IN)).all()
    assert network.act(rows[0]) == pytest.approx(unpack(ensemble.outputs()[0], 20)[0])


@pytest.mark.parametrize("norm", [LayerNorm("norm"), BatchNorm("norm")])
def test_a_single_sample_has_the_zeros_of_a_batch(instruction_set, norm):
    network = Network(N_IN, [norm, ReLU(), Tanh()], {}, {})
    network.set_values("norm.scale", np.full(N_IN, -1, np.float32))
    network.set_values("norm.shift", np.full(N_IN, -0.0, np.float32))
    rows = np.zeros((20, N_IN), np.float32)
    for output in (unpack(network.predict(pack(rows)), 20), network.act(rows[0])):
        assert (output == 0).all() and not np.signbit(output).any()


def test_both_zeros_become_the_same_zero(instruction_set, pool):
    """max(-0, 0) is +0 as ever: an instruction that keeps NaN of its second operand would give -0."""
    network = network_of([Linear("a", n_out=4, bias=False), ReLU(), ReLU()], np.random.default_rng(0), 1.0)
    network.set_values("a.values", np.full_like(network.values("a.values"), -0.0))
    for rows in (np.zeros((20, N_IN), np.float32), np.full((20, N_IN), -0.0, np.float32)):
        outputs = [unpack(Ensemble([network], pool).forward(pack(rows))[0], 20), network.act(rows[0])]
        assert not any(np.signbit(output).any() for output in outputs)
