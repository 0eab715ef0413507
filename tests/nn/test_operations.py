"""Every operation, and compositions of them, against the float64 reference and against PyTorch's autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import tiles_with_rubbish

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
    ReLU,
    Tanh,
    TargetNetwork,
    pack,
    reference,
    unpack,
    update_targets,
)
from rewirl.nn.operations import named

BATCHES = [1, 100, 256, 512]

COMPOSITIONS = {
    "linear": [Linear(n_out=7)],
    "linear without bias": [Linear(n_out=40, bias=False), ReLU(), Linear(n_out=3, bias=False)],
    "relu first": [ReLU(), Linear(n_out=5)],
    "relu last": [Linear(n_out=9), ReLU()],
    "relu read twice": [Linear("a", n_out=9), ReLU("b"), Linear("c", n_out=9), Add(of=("b", "c"))],
    "linear read beside its relu": [Linear("a", n_out=9), ReLU("b"), Add(of=("a", "b"))],
    "leaky relu": [Linear(n_out=9), LeakyReLU(slope=0.2), Linear(n_out=4)],
    "tanh": [Tanh(), Linear(n_out=9), Tanh(), Linear(n_out=4), Tanh()],
    "add": [Linear("a", n_out=9), Linear("b", n_out=9, of=("input",)), Add(of=("a", "b"))],
    "add to itself": [Linear("a", n_out=9), Add(of=("a", "a"))],
    "multiply": [Linear("a", n_out=9), Linear("b", n_out=9, of=("input",)), Multiply(of=("b", "a"))],
    "multiply by itself": [Linear("a", n_out=9), Multiply(of=("a", "a"))],
    "layer norm": [LayerNorm(), Linear(n_out=4)],
    "layer norm without affine": [Linear(n_out=9), LayerNorm(affine=False)],
    "norm before the activation": [Linear(n_out=30), LayerNorm(), ReLU(), Linear(n_out=4)],
    "norm after the activation": [Linear(n_out=30), ReLU(), LayerNorm(), Linear(n_out=4)],
    "parameter": [Linear("a", n_out=9), Parameter("p", size=9), Add(of=("a", "p"))],
    "parameter as a factor": [Parameter("p", size=9), Linear("a", n_out=9, of=("input",)), Multiply(of=("a", "p"))],
    "residual block": [
        Linear("in", n_out=20),
        LayerNorm("norm"),
        Linear("wide", n_out=50),
        ReLU(),
        Linear("narrow", n_out=20),
        Add("sum", of=("in", "narrow")),
        LayerNorm("last"),
        Linear("out", n_out=2),
    ],
    "two residual blocks about the input": [
        Linear("a", n_out=11),
        ReLU(),
        Linear("b", n_out=11),
        Add("first", of=("input", "b")),
        Tanh("c"),
        Linear("d", n_out=11),
        Add("second", of=("first", "d")),
    ],
    "batch norm": [BatchNorm(), Linear(n_out=4)],
    "batch norm without affine": [Linear(n_out=9), BatchNorm(affine=False)],
    "batch norm before the activation": [Linear(n_out=30), BatchNorm(), ReLU(), Linear(n_out=20), BatchNorm(), ReLU()],
    "batch norm in a residual block": [
        Linear("in", n_out=20),
        BatchNorm("norm"),
        ReLU(),
        Linear("back", n_out=20),
        Add("sum", of=("in", "back")),
        Linear("out", n_out=2),
    ],
}
N_IN = 11


def network_of(operations, rng, density=0.5):
    """A network of random arrays; every second linear operation is sparse."""
    places, arrays, features, sparse = {}, {}, [N_IN], True
    for operation, name, reads in named(operations):
        n_in = features[reads[0]] if reads else 0
        features.append(operation.made(n_in))
        if isinstance(operation, Linear):
            shape = (operation.n_out, n_in)
            # Every unit has an input: statistics of a unit without one are those of rounding errors.
            exists = (rng.random(shape) < density) | (np.arange(n_in) == rng.integers(n_in, size=(shape[0], 1)))
            places[name] = rng.permutation(np.flatnonzero(exists)) if sparse else None
            count = len(places[name]) if sparse else operation.n_out * n_in
            arrays[f"{name}.values"] = rng.normal(size=count, scale=0.5).astype(np.float32)
            if operation.bias:
                arrays[f"{name}.bias"] = rng.normal(size=operation.n_out).astype(np.float32)
            sparse = not sparse
        elif isinstance(operation, LayerNorm | BatchNorm) and operation.affine:
            arrays[f"{name}.scale"], arrays[f"{name}.shift"] = rng.normal(size=(2, n_in)).astype(np.float32)
        elif isinstance(operation, Parameter):
            arrays[f"{name}.values"] = rng.normal(size=operation.size).astype(np.float32)
        if isinstance(operation, BatchNorm):
            arrays[f"{name}.mean"] = rng.normal(size=n_in).astype(np.float32)
            arrays[f"{name}.variance"] = rng.uniform(0.5, 2, size=n_in).astype(np.float32)
    return Network(N_IN, operations, places, arrays)


def parameters_of(network):
    """The arrays of a network in float64, weights as matrices."""
    found = {name: array.astype(np.float64) for name, array in network.arrays()}
    for layer in network.layers:
        found[f"{layer.name}.values"] = reference.matrix(layer.shape, layer.places(), layer.values)
    return found


def with_torch(network, x, pull, training=True):
    """What PyTorch computes: the output, and the gradients of arrays and input of the sum of output * pull."""
    arrays = {n: torch.tensor(a, requires_grad=True) for n, a in parameters_of(network).items()}
    values = [torch.tensor(x, requires_grad=True)]
    for operation, name, reads in named(network.operations):
        of = [values[i] for i in reads]
        own = {n.partition(".")[2]: a for n, a in arrays.items() if n.partition(".")[0] == name}
        if isinstance(operation, Linear):
            made = torch.nn.functional.linear(of[0], own["values"], own.get("bias"))
        elif isinstance(operation, ReLU):
            made = torch.relu(of[0])
        elif isinstance(operation, LeakyReLU):
            made = torch.nn.functional.leaky_relu(of[0], operation.slope)
        elif isinstance(operation, Tanh):
            made = torch.tanh(of[0])
        elif isinstance(operation, Add):
            made = of[0] + of[1]
        elif isinstance(operation, Multiply):
            made = of[0] * of[1]
        elif isinstance(operation, LayerNorm):
            shape = of[0].shape[1:]
            made = torch.nn.functional.layer_norm(of[0], shape, own.get("scale"), own.get("shift"), operation.eps)
        elif isinstance(operation, BatchNorm):
            mean, variance = own["mean"].detach().clone(), own["variance"].detach().clone()
            if training and len(x) == 1:  # PyTorch refuses a batch of one: all there is to say is known
                made = (of[0] - of[0]) * 0 + own.get("shift", torch.zeros(1, dtype=torch.float64))
            else:
                made = torch.nn.functional.batch_norm(
                    of[0],
                    mean,
                    variance,
                    own.get("scale"),
                    own.get("shift"),
                    training,
                    operation.momentum,
                    operation.eps,
                )
        else:
            made = own["values"].expand(len(x), -1)
        values.append(made)
    (values[-1] * torch.tensor(pull)).sum().backward()
    gradients = {n: a.grad.numpy() for n, a in arrays.items() if a.grad is not None}
    return values[-1].detach().numpy(), gradients, values[0].grad.numpy()


def near(found, expected, tolerance=2e-4):
    scale = max(np.abs(expected).max(initial=0.0), 1.0)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0.0) <= tolerance * scale


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_operations_are_those_of_the_reference_and_of_autograd(instruction_set, pool, name, batch):
    rng = np.random.default_rng(batch)
    network = network_of(COMPOSITIONS[name], rng)
    rows, pull = rng.normal(size=(batch, N_IN)), rng.normal(size=(batch, network.n_out))
    rows, pull = rows.astype(np.float32), pull.astype(np.float32)
    x = tiles_with_rubbish(rows, rng)
    parameters = parameters_of(network)
    ensemble = Ensemble([network], pool)
    (output,) = ensemble.forward(x, samples=batch)
    (inputs,) = ensemble.backward(x, [pack(pull)], inputs_from=0)

    float64 = rows.astype(np.float64), pull.astype(np.float64)
    values = reference.run(network.operations, parameters, float64[0])
    goals = [(values[-1], *reference.gradients(network.operations, parameters, values, float64[1]))]
    goals.append(with_torch(network, *float64))
    for made, of_arrays, of_inputs in goals:
        near(unpack(output, batch), made)
        near(unpack(inputs, batch), of_inputs)
        for operation, array in network.core.learnables():
            expected = of_arrays.get(f"{operation}.{array}", np.zeros_like(network.values(f"{operation}.{array}")))
            if (operation, array) in {(layer.name, "values") for layer in network.layers}:
                expected = expected.reshape(-1)[network.layer(operation).places()]
            near(ensemble.gradient(0, f"{operation}.{array}"), expected)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_outside_of_training_statistics_are_the_running_ones(instruction_set, pool, name):
    rng = np.random.default_rng(1)
    network = network_of(COMPOSITIONS[name], rng)
    rows = rng.normal(size=(100, N_IN)).astype(np.float32)
    x = tiles_with_rubbish(rows, rng)
    expected = reference.run(network.operations, parameters_of(network), rows.astype(np.float64), training=False)[-1]
    pull = rng.normal(size=(100, network.n_out)).astype(np.float32)
    made, _, of_inputs = with_torch(network, rows.astype(np.float64), pull.astype(np.float64), training=False)
    near(expected, made, 1e-9)
    near(unpack(network.predict(x), 100), expected)
    near(network.act(rows[5])[np.newaxis], expected[5:6])
    frozen = Ensemble([network], pool, batch_statistics=False)
    near(unpack(frozen.forward(x)[0], 100), expected)
    near(unpack(frozen.input_gradients(x, [pack(pull)])[0], 100), of_inputs)


@pytest.mark.parametrize("batch", BATCHES)
def test_running_statistics_are_pytorchs(pool, batch):
    rng = np.random.default_rng(batch)
    network = network_of([BatchNorm("norm", momentum=0.3)], rng)
    rows = rng.normal(size=(batch, N_IN)).astype(np.float32)
    before = {name: network.values(f"norm.{name}").copy() for name in ("mean", "variance")}
    ensemble = Ensemble([network], pool)
    ensemble.forward(tiles_with_rubbish(rows, rng), samples=batch)
    assert all(np.array_equal(network.values(f"norm.{name}"), array) for name, array in before.items())
    ensemble.update_statistics()
    if batch > 1:
        mean, variance = (torch.tensor(before[name]) for name in ("mean", "variance"))
        torch.nn.functional.batch_norm(torch.tensor(rows), mean, variance, training=True, momentum=0.3)
        assert network.values("norm.mean") == pytest.approx(mean.numpy(), abs=1e-5)
        assert network.values("norm.variance") == pytest.approx(variance.numpy(), abs=1e-5)
    else:
        assert network.values("norm.mean") == pytest.approx(0.7 * before["mean"] + 0.3 * rows[0], abs=1e-5)


def test_padding_enters_no_statistic(pool):
    rng = np.random.default_rng(0)
    network = network_of(COMPOSITIONS["batch norm in a residual block"], rng)
    rows, pull = rng.normal(size=(100, N_IN)).astype(np.float32), rng.normal(size=(100, 2)).astype(np.float32)
    results = []
    for _ in range(2):
        ensemble, x = Ensemble([network], pool), tiles_with_rubbish(rows, rng)
        (output,) = ensemble.forward(x, samples=100)
        (inputs,) = ensemble.backward(x, [pack(pull)], inputs_from=0)
        results.append((unpack(output, 100), unpack(inputs, 100), ensemble.gradient(0, "in.values").copy()))
        assert not inputs[:, :, 100 % inputs.shape[2] :][-1].any()
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
    with pytest.raises(ValueError, match="needs the number of samples"):
        ensemble.forward(x)
    with pytest.raises(ValueError, match="no 113 samples"):
        ensemble.forward(x, samples=113)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["residual block", "batch norm in a residual block", "parameter as a factor"])
def test_results_do_not_depend_on_the_number_of_threads(name, threads):
    from rewirl.nn import Pool

    results = []
    for count in (1, threads):
        rng, pool = np.random.default_rng(0), Pool(count)
        network = network_of(COMPOSITIONS[name], rng)
        ensemble = Ensemble([network], pool)
        for _ in range(3):
            x = tiles_with_rubbish(rng.normal(size=(300, N_IN)).astype(np.float32), rng)
            (output,) = ensemble.forward(x, samples=300)
            ensemble.step(x, [pack(unpack(output, 300))], 1e-2, 1e-3)
            ensemble.update_statistics()
        pool.close()
        results.append({name: array.tobytes() for name, array in network.state()[0].items()})
    assert results[0] == results[1]


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("name", ["residual block", "batch norm in a residual block", "parameter"])
def test_a_clipped_step_is_pytorchs(pool, name, decoupled):
    """Of Adam and AdamW, with the gradients' global norm clipped."""
    rng = np.random.default_rng(0)
    network = network_of(COMPOSITIONS[name], rng)
    names = [f"{operation}.{array}" for operation, array in network.core.learnables()]
    theirs = {name: torch.nn.Parameter(torch.tensor(network.values(name).astype(np.float64))) for name in names}
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimiser = kind(theirs.values(), lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    ensemble = Ensemble([network], pool)
    for limit in (1e-2, 0.5, 1e6):
        x = pack(rng.normal(size=(100, N_IN)).astype(np.float32))
        (output,) = ensemble.forward(x, samples=100)
        ensemble.backward(x, [pack(unpack(output, 100))])
        for array, parameter in theirs.items():
            parameter.grad = torch.tensor(ensemble.gradient(0, array).astype(np.float64))
        norm = torch.nn.utils.clip_grad_norm_(theirs.values(), limit)
        (found,) = ensemble.clip(limit)
        assert found == pytest.approx(float(norm), rel=1e-6)
        optimiser.step()
        ensemble.adam(0.01, 0.1, decoupled)
        for array, parameter in theirs.items():
            assert network.values(array) == pytest.approx(parameter.detach().numpy(), abs=2e-5)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_a_network_is_saved_and_goes_on_to_the_bit(pool, name):
    rng = np.random.default_rng(0)
    one = network_of(COMPOSITIONS[name], rng)
    batches = [pack(rng.normal(size=(40, N_IN)).astype(np.float32)) for _ in range(6)]
    if one.core.learnables():
        one.count_ages()

    def learn(network, target, some):
        ensemble = Ensemble([network], pool)
        for x in some:
            (output,) = ensemble.forward(x, samples=40)
            ensemble.step(x, [pack(unpack(output, 40))], 1e-2)
            ensemble.update_statistics()
            update_targets([target], 0.1, pool)

    target = TargetNetwork(one)
    learn(one, target, batches[:3])
    other = Network.from_state(*one.state())
    again = TargetNetwork.restored(other, *target.state())
    assert other.operations == one.operations
    for network, its_target in ((one, target), (other, again)):
        learn(network, its_target, batches[3:])
    for a, b in ((one, other), (target, again)):
        assert a.state()[1] == b.state()[1]
        assert {n: x.tobytes() for n, x in a.state()[0].items()} == {n: x.tobytes() for n, x in b.state()[0].items()}
    for name_of_array, array in one.arrays():
        if name_of_array.partition(".")[2] != "values":
            assert np.abs(array - target.values(name_of_array)).max() < 1


def test_values_in_the_callers_memory(pool):
    rng = np.random.default_rng(0)
    one, other = (network_of(COMPOSITIONS["residual block"], np.random.default_rng(0)) for _ in range(2))
    memory = {name: array.copy() for name, array in one.arrays()}
    for name, array in memory.items():
        one.use_memory(name, array)
    x, pull = pack(rng.normal(size=(40, N_IN)).astype(np.float32)), pack(rng.normal(size=(40, 2)).astype(np.float32))
    for network in (one, other):
        ensemble = Ensemble([network], pool)
        ensemble.forward(x)
        ensemble.step(x, [pull], 1e-2)
    assert all(np.array_equal(memory[name], array) for name, array in other.arrays())
    sample = x[0, :, 0].copy()
    before = one.act(sample)
    for name, array in memory.items():
        array *= 2
        other.set_values(name, array)
    one.values_changed()
    assert not np.array_equal(one.act(sample), before)
    assert np.array_equal(one.act(sample), other.act(sample))
    layer = one.layers[0]
    one.rewire(layer.name, np.arange(3), layer.places()[:3])
    assert not np.shares_memory(layer.values, memory[f"{layer.name}.values"])
    read_only = np.zeros(2, np.float32)
    read_only.flags.writeable = False
    with pytest.raises(TypeError):
        one.use_memory("out.bias", read_only)
    with pytest.raises(ValueError, match="the array has 2 numbers, got 3"):
        one.use_memory("out.bias", np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([], "a network needs an operation"),
        ([Add(of=("input", "nobody"))], "reads 'nobody', which is no operation before it"),
        ([Add(of=("input",))], "reads 2 values, `of` has 1"),
        ([Add()], "reads 2 values, `of` has 1"),
        ([ReLU("a"), ReLU("a")], "different names"),
        ([ReLU("input")], "different names"),
        ([ReLU("a.b")], "without dots"),
        ([Tanh("a"), Tanh("b", of=("input",))], "nothing reads what a makes"),
        ([Parameter(size=3)], "nothing reads the input"),
        ([Parameter(size=0), Add(of=("input", "parameter1"))], "must be an integer from 1"),
        ([Parameter(size=3), Add(of=("input", "parameter1"))], "adds values of 11 and 3 features"),
        ([Parameter(size=3), Multiply(of=("input", "parameter1"))], "multiplies values of 11 and 3 features"),
        ([LayerNorm(eps=0.0)], "eps .* must be more than 0"),
        ([LayerNorm(eps=np.nan)], "must be finite"),
        ([BatchNorm(momentum=2.0)], "momentum .* between 0 and 1"),
    ],
)
def test_impossible_networks_are_refused(operations, message):
    with pytest.raises(ValueError, match=message):
        Network(N_IN, operations, {}, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(operations={}), "must be a list of objects"),
        (lambda v: v["operations"][0].update(kind="cube"), "there is no operation 'cube'"),
        (lambda v: v["operations"][0].update(kind=["relu"]), "there is no operation"),
        (lambda v: v["operations"][0].update(colour=3), "cannot have 'colour'"),
        (lambda v: v["operations"][0].update(n_out=2.5), "cannot have 'n_out'"),
        (lambda v: v["operations"][0].update(n_out=2**40), "impossible size"),
        (lambda v: v["operations"][0].update(name=3), "cannot have 'name'"),
        (lambda v: v["operations"][5].update(of="in"), "cannot have 'of'"),
        (lambda v: v["operations"][5].update(of=["in", "out"]), "no operation before it"),
        (lambda v: v.update(n_in=-1), "number of inputs"),
    ],
)
def test_a_saved_network_that_cannot_be_is_refused(change, message):
    arrays, values = network_of(COMPOSITIONS["residual block"], np.random.default_rng(0)).state()
    change(values)
    with pytest.raises(ValueError, match=message):
        Network.from_state(arrays, values)


def test_networks_of_0_1_0_load():
    """Its layers have numbers for names."""
    from rewirl.nn import mlp

    rng = np.random.default_rng(0)
    network = network_of(mlp([N_IN, 20, 2]), rng)
    arrays, values = network.state()
    old = {n.replace("hidden1.", "0.").replace("output.", "1."): a for n, a in arrays.items()}
    assert values == {"sizes": [N_IN, 20, 2], "steps": 0} and "0.places" in old
    again = Network.from_state(old, values)
    assert {n: a.tobytes() for n, a in again.state()[0].items()} == {n: a.tobytes() for n, a in arrays.items()}
    target = TargetNetwork.restored(
        again, {n: a for n, a in old.items() if "m" not in n}, {**values, "behind": [True, False]}
    )
    assert target.state()[1]["stale"] == [True, False]
