"""Every operation, and compositions of them, against the float64 reference and against PyTorch's autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import tiles_with_rubbish
from compositions import COMPOSITIONS, N_IN, network_of

from rewirl.nn import (
    Add,
    BatchNorm,
    BatchRenorm,
    Ensemble,
    LayerNorm,
    LeakyReLU,
    Linear,
    Multiply,
    Pool,
    ReLU,
    Tanh,
    pack,
    reference,
    unpack,
)
from rewirl.nn.operations import named

BATCHES = [1, 100, 256, 512]


def parameters_of(network):
    """The arrays of a network in float64, weights as matrices."""
    found = {name: array.astype(np.float64) for name, array in network.arrays()}
    for layer in network.layers:
        found[f"{layer.name}.values"] = reference.matrix(layer.shape, layer.places(), layer.values)
    return found


def renormed(operation, x, own):
    """Batch renormalisation as Ioffe 2017 has it."""
    mean, sigma = x.mean(0), (x.var(0, correction=0) + operation.eps).sqrt()
    running = (own["variance"] + operation.eps).sqrt()
    r = (sigma / running).clamp(1 / operation.r_max, operation.r_max).detach()
    d = ((mean - own["mean"]) / running).clamp(-operation.d_max, operation.d_max).detach()
    if own["moves"] < operation.warm_up:
        r, d = 1.0, 0.0
    made = (x - mean) / sigma * r + d
    return made * own["scale"] + own["shift"] if operation.affine else made


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
        elif isinstance(operation, BatchRenorm) and training:
            made = renormed(operation, of[0], own)
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


def gradients_near(network, ensemble, of_arrays):
    for operation, array in network.core.learnables():
        expected = of_arrays.get(f"{operation}.{array}", np.zeros_like(network.values(f"{operation}.{array}")))
        if (operation, array) in {(layer.name, "values") for layer in network.layers}:
            expected = expected.reshape(-1)[network.layer(operation).places()]
        near(ensemble.gradient(0, f"{operation}.{array}"), expected)


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
        gradients_near(network, ensemble, of_arrays)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_outside_of_training_statistics_are_the_running_ones(instruction_set, pool, name):
    rng = np.random.default_rng(1)
    network = network_of(COMPOSITIONS[name], rng)
    rows = rng.normal(size=(130, N_IN)).astype(np.float32)  # more than one tile
    x = tiles_with_rubbish(rows, rng)
    expected = reference.run(network.operations, parameters_of(network), rows.astype(np.float64), training=False)[-1]
    pull = rng.normal(size=(130, network.n_out)).astype(np.float32)
    made, of_arrays, of_inputs = with_torch(network, rows.astype(np.float64), pull.astype(np.float64), training=False)
    near(expected, made, 1e-9)
    near(unpack(network.predict(x), 130), expected)
    near(network.act(rows[5])[np.newaxis], expected[5:6])
    frozen = Ensemble([network], pool, batch_statistics=False, dense_gradients=False)
    near(unpack(frozen.forward(x)[0], 130), expected)
    near(unpack(frozen.input_gradients(x, [pack(pull)])[0], 130), of_inputs)
    frozen.backward(x, [pack(pull)])
    gradients_near(network, frozen, of_arrays)


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
        found = ensemble.clip_together(limit)
        assert found == pytest.approx(min(1.0, limit / float(norm)), rel=1e-6)
        optimiser.step()
        ensemble.adam(0.01, 0.1, decoupled)
        for array, parameter in theirs.items():
            assert network.values(array) == pytest.approx(parameter.detach().numpy(), abs=2e-5)
