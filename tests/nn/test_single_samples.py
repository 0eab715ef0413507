"""Networks that learn from one sample at a time: traces, ObGD by hand, weights stored row by row."""

from __future__ import annotations

import numpy as np
import pytest

from rewirl import _core
from rewirl.nn import (
    Add,
    BatchNorm,
    Ensemble,
    LayerNorm,
    LeakyReLU,
    Linear,
    Multiply,
    Network,
    Parameter,
    Pool,
    ReLU,
    SoftplusNormal,
    Stream,
    Tanh,
    begin_sparsely,
    initialised,
    layer_normalised,
    mlp,
    pack,
    unpack,
)

N_IN, N_OUT = 37, 3  # 37 is no multiple of any vector


@pytest.fixture(params=_core.available_instruction_sets())
def instruction_set(request):
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


def places(density, seed=1):
    """Of the layers of `network`; None is dense."""
    if density == 1:
        return {}
    rng = np.random.default_rng(seed)
    shapes = {"hidden1": (33, N_IN), "hidden2": (70, 33), "output": (N_OUT, 70)}
    return {name: np.flatnonzero(rng.random(rows * columns) < density) for name, (rows, columns) in shapes.items()}


def network(density=1.0, operations=None):
    made = initialised(N_IN, operations or layer_normalised((33, 70), N_OUT), places(density), np.random.default_rng(2))
    for name, values in made.arrays():
        if name.endswith(("scale", "shift")):
            made.set_values(name, values + np.random.default_rng(3).normal(0, 0.3, len(values)).astype(np.float32))
    return made


def sample(seed, size=N_IN):
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def by_batches(made, x, d_out):
    """The output and the gradients by name, computed as a batch of one sample."""
    ensemble = Ensemble([made], Pool(1))
    tiles = pack(x[np.newaxis])
    (output,) = ensemble.forward(tiles, 1)
    ensemble.backward(tiles, [pack(d_out[np.newaxis])])
    return unpack(output, 1)[0], {name: ensemble.gradient(0, name).copy() for name in made.first_moments()}


OPERATIONS = {
    "stream-x": None,
    "mlp": mlp((N_IN, 33, 70, N_OUT)),
    "affine": [Linear("hidden1", n_out=33, by_row=True), LayerNorm(), Tanh(), Linear("hidden2", n_out=70, by_row=True),
               ReLU("r"), Linear("gate", of=("input",), n_out=70), Multiply("both", of=("r", "gate")),
               Linear("output", n_out=N_OUT, by_row=True)],
    "read twice": [Linear("a", n_out=33), LayerNorm("n"), Tanh("t", of=("n",)), ReLU("r", of=("n",)),
                   Linear("l", of=("n",), n_out=33), Parameter("p", size=33), Multiply("m", of=("t", "r")),
                   Add("b", of=("m", "t")), Add("c", of=("b", "l")), Add("d", of=("c", "p")), Add("e", of=("d", "a")),
                   LeakyReLU("f", of=("d",), slope=0.1), Add("g", of=("e", "f")), Linear("output", n_out=N_OUT)],
}  # fmt: skip


@pytest.mark.parametrize("density", [1.0, 0.5, 0.08])
def test_a_trace_gathers_the_gradients_of_batches(density, instruction_set):
    made = network(density)
    assert {layer.format for layer in made.layers} == ({"dense"} if density == 1 else {"rows"})
    stream, expected = Stream(made), {name: np.zeros_like(m) for name, m in made.first_moments().items()}
    for step in range(4):
        x, d_out = sample(step), sample(10 + step, N_OUT)
        output, gradients = by_batches(made, x, d_out)
        assert stream.forward(x) == pytest.approx(output, rel=1e-4, abs=1e-5)
        assert made.act(x) == pytest.approx(output, rel=1e-4, abs=1e-5)
        size = stream.step(d_out, 0.0, 0.5, 2.0, 0.7, False)
        expected = {name: 0.7 * trace + gradients[name] for name, trace in expected.items()}
        norm = sum(np.abs(trace, dtype=np.float64).sum() for trace in expected.values())
        assert size == pytest.approx(0.5 / max(0.5 * 2.0 * norm, 1), rel=1e-4)
        for name, trace in made.first_moments().items():
            assert trace == pytest.approx(expected[name], rel=1e-3, abs=1e-5), name
    assert made.steps == 4


@pytest.mark.parametrize("operations", ["mlp", "affine", "read twice"])
def test_other_operations_learn_so_too(operations):
    made = network(operations=OPERATIONS[operations])
    stream, expected = Stream(made), {}
    for step in range(2):
        x, d_out = sample(step), sample(10 + step, N_OUT)
        output, gradients = by_batches(made, x, d_out)
        assert stream.forward(x) == pytest.approx(output, rel=1e-4, abs=1e-5)
        stream.step(d_out, 0.0, 1.0, 2.0, 0.7, False)
        expected = {name: 0.7 * expected.get(name, 0.0) + gradient for name, gradient in gradients.items()}
        for name, trace in made.first_moments().items():
            assert trace == pytest.approx(expected[name], rel=1e-3, abs=1e-5), name


def test_more_inputs_than_are_packed_at_a_time(instruction_set):
    """Of a layer that is stored row by row, 512 inputs are."""
    places = np.flatnonzero(np.random.default_rng(1).random(2 * 1100) < 0.5)
    made = initialised(1100, [Linear("output", n_out=2, by_row=True)], {"output": places}, np.random.default_rng(0))
    stream, x, d_out = Stream(made), sample(0, 1100), sample(1, 2)
    output, gradients = by_batches(made, x, d_out)
    assert stream.forward(x) == pytest.approx(output, rel=1e-4, abs=1e-4)
    size = stream.step(d_out, 0.0, 1.0, 1.0, 0.7, False)
    assert size == pytest.approx(1 / sum(np.abs(gradient).sum() for gradient in gradients.values()), rel=1e-4)
    for name, trace in made.first_moments().items():
        assert trace == pytest.approx(gradients[name], rel=1e-5), name


def test_steps_of_obgd_by_hand():
    arrays = {"output.values": np.float32([0.5, -1]), "output.bias": np.float32([0])}
    made = Network(2, [Linear("output", n_out=1)], {}, arrays)
    stream, one = Stream(made), np.ones(1, np.float32)
    # y = 0.5 - 2 = -1.5; z = (1, 2, 1), ||z|| = 4, M = 2 * 3 * 4 = 24
    assert stream.forward(np.float32([1, 2])) == pytest.approx([-1.5])
    assert stream.step(one, 3.0, 1.0, 2.0, 0.5, False) == pytest.approx(1 / 24)
    assert made.values("output.values") == pytest.approx([0.5 + 3 / 24, -1 + 6 / 24])
    assert made.values("output.bias") == pytest.approx([3 / 24])
    # z = (0.5, 1, 0.5) + (0, 1, 1) = (0.5, 2, 1.5), ||z|| = 4; an error below 1 counts as 1: M = 2 * 4 = 8
    stream.forward(np.float32([0, 1]))
    assert stream.step(one, -0.5, 1.0, 2.0, 0.5, True) == pytest.approx(1 / 8)
    assert made.values("output.values") == pytest.approx([0.625 - 0.5 * 0.5 / 8, -0.75 - 0.5 * 2 / 8])
    assert all((trace == 0).all() for trace in made.first_moments().values())  # it was told to reset them
    # z = (1, 0, 1); M = 0.1 * 2 * 2 = 0.4 is below 1, so the step is alpha
    stream.forward(np.float32([1, 0]))
    before = made.values("output.values").copy()
    assert stream.step(one, 1.0, 0.1, 2.0, 0.5, False) == pytest.approx(0.1)
    assert made.values("output.values") - before == pytest.approx([0.1, 0], abs=1e-7)


def test_traces_go_with_their_connections():
    made = network(0.5)
    stream, layer = Stream(made), made.layer("hidden2")
    stream.forward(sample(0))
    stream.step(sample(1, N_OUT), 1.0, 1.0, 2.0, 0.7, False)
    before = dict(zip(layer.places().tolist(), made.first_moments()["hidden2.values"].tolist(), strict=True))
    free = np.setdiff1d(np.arange(33 * 70), layer.places())[:40]
    made.rewire("hidden2", np.arange(0, 200, 5), free)
    after = dict(zip(layer.places().tolist(), made.first_moments()["hidden2.values"].tolist(), strict=True))
    assert len(after) == len(before) and layer.format == "rows"
    assert all(after[place] == (0 if place in set(free.tolist()) else before[place]) for place in after)
    x, d_out = sample(2), sample(3, N_OUT)
    output, gradients = by_batches(made, x, d_out)
    assert stream.forward(x) == pytest.approx(output, rel=1e-4, abs=1e-5)
    values = layer.values.copy()
    size = stream.step(d_out, 3.0, 1.0, 2.0, 0.0, False)  # a decay of 0 leaves the gradient alone
    assert made.first_moments()["hidden2.values"] == pytest.approx(gradients["hidden2.values"], rel=1e-3, abs=1e-5)
    assert layer.values - values == pytest.approx(3 * size * gradients["hidden2.values"], rel=1e-2, abs=1e-6)


def test_a_dense_layer_that_loses_connections_is_stored_by_row():
    made = network()
    stream = Stream(made)
    made.rewire("hidden1", np.arange(100, dtype=np.int64), np.empty(0, np.int64))
    assert made.layer("hidden1").format == "rows"
    x, d_out = sample(2), sample(3, N_OUT)
    _, gradients = by_batches(made, x, d_out)
    stream.forward(x)
    stream.step(d_out, 0.0, 1.0, 2.0, 0.7, False)
    assert made.first_moments()["hidden1.values"] == pytest.approx(gradients["hidden1.values"], rel=1e-3, abs=1e-5)


def test_rows_are_saved_with_their_traces_and_restored():
    made = network(0.3)
    stream = Stream(made)
    stream.forward(sample(0))
    stream.step(sample(1, N_OUT), 1.0, 1.0, 2.0, 0.7, False)
    again = Network.from_state(*made.state())
    assert [layer.format for layer in again.layers] == ["rows"] * 3
    for name, trace in made.first_moments().items():
        assert np.array_equal(again.first_moments()[name], trace)
    other = Stream(again)
    for each in (stream, other):
        each.forward(sample(4))
        each.step(sample(5, N_OUT), -2.0, 1.0, 2.0, 0.7, False)
    assert all(np.array_equal(values, again.values(name)) for name, values in made.arrays())


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("density", [1.0, 0.5])
def test_most_weights_begin_at_zero(density, zeros):
    made = network(density)
    begin_sparsely(made, zeros, np.random.default_rng(0))
    for layer in made.layers:
        n_out, n_in = layer.shape
        weights, connected = layer.weights(), np.bincount(layer.places() // n_in, minlength=n_out)
        most = n_in - int(np.ceil(zeros * n_in))
        assert (np.count_nonzero(weights, axis=1) == np.minimum(connected, most)).all()
        assert np.abs(weights).max() <= 1 / np.sqrt(n_in) and (layer.bias == 0).all()
        assert np.count_nonzero(weights, axis=0).min() >= 0 and len(np.unique(weights[weights != 0])) > 5
    others = network(0.5)
    begin_sparsely(others, 0.0, np.random.default_rng(0), per_connection=True)
    layer = others.layer("hidden2")
    connected = np.bincount(layer.places() // 33, minlength=70)
    assert (np.abs(layer.weights()).max(axis=1) <= 1 / np.sqrt(connected)).all()
    assert np.abs(layer.weights()).max() > 1 / np.sqrt(33)


def test_the_gradient_of_a_softplus_normal_is_that_of_autograd():
    torch = pytest.importorskip("torch")
    outputs, drawn = sample(0, 8) * 2, sample(1, 4)
    raw = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
    normal = torch.distributions.Normal(raw[:4], torch.nn.functional.softplus(raw[4:]))
    (normal.log_prob(torch.tensor(drawn)) - 0.3 * normal.entropy()).sum().backward()
    assert SoftplusNormal(4).gradient(outputs, drawn, -0.3) == pytest.approx(raw.grad.numpy(), rel=1e-5)
    many = np.stack([SoftplusNormal(4).sample(outputs, rng).copy() for rng in [np.random.default_rng(0)] * 4000])
    assert many.mean(axis=0) == pytest.approx(outputs[:4], abs=0.15)
    assert many.std(axis=0) == pytest.approx(np.log1p(np.exp(outputs[4:])), rel=0.05)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([Linear("output", n_out=2), BatchNorm("norm")], r"'norm' \(batch_norm\) does not learn from a single sample"),
        ([Linear("output", n_out=2, height=4, format="blocks")], r"\(linear, blocks\) does not learn"),
    ],
)
def test_what_cannot_learn_so_is_refused_by_name(operations, message):
    made = initialised(4, operations, {}, np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        Stream(made)


def test_shapes_and_networks_that_do_not_learn_are_refused():
    made = network()
    stream = Stream(made)
    with pytest.raises(ValueError, match="the sample has 3 numbers, expected 37"):
        stream.forward(sample(0, 3))
    with pytest.raises(ValueError, match="the gradient of the output has 5 numbers, expected 3"):
        stream.step(sample(0, 5), 1.0, 1.0, 2.0, 0.7, False)
    for bad in (np.nan, np.inf, -1.0):
        for place, message in enumerate(("the learning rate must be", "kappa must be", "the decay of traces must be")):
            numbers = [1.0, 2.0, 0.7]
            numbers[place] = bad
            with pytest.raises(ValueError, match=message):
                stream.step(sample(0, N_OUT), 1.0, *numbers, False)
    target = Network.from_state(*made.state(training=False), trainable=False)
    with pytest.raises(ValueError, match="a network that is not trainable does not learn"):
        Stream(target)
    wide = [Linear("output", n_out=1, by_row=True)]
    with pytest.raises(ValueError, match="row by row has at most 65,536 inputs, got 70000"):
        initialised(70_000, wide, {"output": np.arange(10)}, np.random.default_rng(0))
