"""Distributions over bins against PyTorch, and the projection against its words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import tiles_with_rubbish

from rewirl.nn import (
    BatchNorm,
    Bins,
    Ensemble,
    Linear,
    LogStd,
    Network,
    Pool,
    ReLU,
    SquashedGaussian,
    cross_entropy,
    empty_tiles,
    initialised,
    mean_weights,
    of_smaller_mean,
    pack,
    unpack,
)

BINS = Bins(-5.0, 5.0, 101)
VALUES = torch.linspace(-5, 5, 101, dtype=torch.float64)


@pytest.mark.parametrize("batch", [1, 100, 256])
def test_probabilities_means_and_gradients_are_those_of_autograd(instruction_set, batch):
    rng = np.random.default_rng(batch)
    rows = (4 * rng.normal(size=(batch, 101))).astype(np.float32)
    made = BINS.of_logits(tiles_with_rubbish(rows, rng))
    logits = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    expected = torch.softmax(logits, 1)
    mean = (expected * VALUES).sum(1, keepdim=True)
    assert unpack(made.probability, batch) == pytest.approx(expected.detach().numpy(), abs=1e-6)
    assert unpack(made.mean, batch) == pytest.approx(mean.detach().numpy(), abs=1e-5)
    pull = rng.normal(size=(batch, 1)).astype(np.float32)
    (gradient,) = torch.autograd.grad((mean * torch.tensor(pull)).sum(), logits, retain_graph=True)
    assert unpack(BINS.mean_gradient(made, pack(pull)), batch) == pytest.approx(gradient.numpy(), abs=1e-5)
    target = rng.dirichlet(np.full(101, 0.1), size=batch).astype(np.float32)
    loss = -(torch.tensor(target) * torch.log_softmax(logits, 1)).sum(1).mean()
    weights = mean_weights(batch)
    assert cross_entropy(made.probability, pack(target), weights) == pytest.approx(loss.item(), rel=1e-5)


def test_logits_of_any_size_give_probabilities(instruction_set):
    rows = np.float32([[-1e30, 0.0, 1e30], [-3e38, -3e38, -3e38], [500.0, 499.0, -500.0]])
    made = Bins(0.0, 2.0, 3).of_logits(pack(rows))
    expected = [[0, 0, 1], [1 / 3, 1 / 3, 1 / 3], [np.e / (1 + np.e), 1 / (1 + np.e), 0]]
    assert unpack(made.probability, 3) == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize("batch", [5, 256])
def test_a_moved_distribution_keeps_its_mass_and_mean(batch):
    rng = np.random.default_rng(batch)
    probability = rng.dirichlet(np.full(101, 0.3), size=batch).astype(np.float32)
    offset, scale = rng.normal(size=(batch, 1)), rng.uniform(0, 0.6, (batch, 1))
    found = unpack(BINS.moved(*(pack(np.float32(each)) for each in (probability, offset, scale))), batch)
    assert found.sum(axis=1) == pytest.approx(np.ones(batch), abs=1e-5)
    values = VALUES.numpy()
    assert found @ values == pytest.approx((offset[:, 0] + scale[:, 0] * (probability @ values)), abs=1e-4)
    bins = np.clip(offset + scale * values, -5, 5)  # C51, Algorithm 1: each mass goes to the bins beside its place
    expected = np.zeros((batch, 101))
    for sample in range(batch):
        for p, value in zip(probability[sample], bins[sample], strict=True):
            place = (value + 5) / 0.1
            below, above = int(np.floor(place)), int(np.ceil(place))
            if below == above:
                expected[sample, below] += p
            else:
                expected[sample, below] += p * (above - place)
                expected[sample, above] += p * (place - below)
    assert found == pytest.approx(expected, abs=2e-5)


def test_what_falls_beyond_the_bins_is_the_last_of_them():
    bins = Bins(-1.0, 1.0, 3)
    one = pack(np.float32([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3], [0.0, 1.0, 0.0]]))
    found = unpack(bins.moved(one, pack(np.float32([[9], [-9], [0.25]])), pack(np.float32([[1], [1], [0]]))), 3)
    assert found == pytest.approx(np.array([[0, 0, 1], [1, 0, 0], [0, 0.75, 0.25]]), abs=1e-6)


def test_the_smaller_mean_decides_for_each_sample():
    bins = Bins(0.0, 1.0, 2)
    first, second = (bins.of_logits(pack(np.float32(rows))) for rows in ([[0, 2], [0, 0]], [[0, 1], [0, 5]]))
    found = of_smaller_mean(first, second)
    assert np.array_equal(found[0, :, 0], second.probability[0, :, 0])
    assert np.array_equal(found[0, :, 1], first.probability[0, :, 1])


@pytest.mark.parametrize(
    "log_std", [LogStd(), LogStd(-10.0, 2.0), LogStd(-10.0, 2.0, soft=True), LogStd(-20.0, 2.0, soft=True)]
)
def test_standard_deviations_are_those_of_autograd(instruction_set, log_std):
    rng, batch, features = np.random.default_rng(0), 100, 3
    rows = rng.normal(size=(batch, 2 * features)).astype(np.float32)
    rows[:, features:] *= 0.3 if log_std.soft else 12  # beyond both bounds
    gaussian, values = SquashedGaussian(batch, features, log_std), empty_tiles(batch, features)
    gaussian.sample(pack(rows), values, np.random.default_rng(0))  # of which the next one keeps nothing
    samples = gaussian.sample(pack(rows), values, np.random.default_rng(1))
    d_values = rng.normal(size=(batch, features)).astype(np.float32)
    d_density = rng.normal(size=(batch, 1)).astype(np.float32)
    found = unpack(gaussian.gradient(samples, pack(d_values), pack(d_density)), batch)

    outputs = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    mean, of_std = outputs.chunk(2, dim=1)
    half = (log_std.high - log_std.low) / 2
    ls = log_std.low + half * (1 + torch.tanh(of_std)) if log_std.soft else of_std.clamp(log_std.low, log_std.high)
    noise = torch.tensor(unpack(samples.noise, batch), dtype=torch.float64)
    u = mean + ls.exp() * noise
    density = -(noise**2) / 2 - ls - np.log(2 * np.pi) / 2 - 2 * (np.log(2) - u - torch.nn.functional.softplus(-2 * u))
    density = density.sum(1, keepdim=True)
    assert unpack(samples.log_probability, batch) == pytest.approx(density.detach().numpy(), abs=2e-4)
    ((torch.tanh(u) * torch.tensor(d_values)).sum() + (density * torch.tensor(d_density)).sum()).backward()
    assert found == pytest.approx(outputs.grad.numpy(), abs=2e-4, rel=1e-4)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("batch", [40, 133])
def test_a_step_down_the_cross_entropy_is_autograds(batch, parts):
    """Of the first batch; the second one acts through the batch norm alone."""
    rng, bins = np.random.default_rng(batch), 21
    operations = [Linear("a", n_out=30, bias=False), BatchNorm("norm"), ReLU(), Linear("b", n_out=bins)]
    arrays = {"a.values": rng.normal(size=30 * 5), "b.values": 0.3 * rng.normal(size=30 * bins)}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    network, pool = Network(5, operations, {}, arrays), Pool(1)
    rows = rng.normal(size=(parts, batch, 5)).astype(np.float32)
    target = rng.dirichlet(np.full(bins, 0.2), size=batch).astype(np.float32)
    x, m = np.concatenate([tiles_with_rubbish(each, rng) for each in rows]), pack(target)
    probability = np.full_like(m, 7.0)
    ensemble = Ensemble([network], pool)
    ensemble.classify(x, m, mean_weights(batch), [probability], 1e-3, samples=batch, parts=parts)

    a, b = (torch.tensor(arrays[f"{n}.values"].reshape(-1, k), dtype=torch.float64, requires_grad=True)
            for n, k in (("a", 5), ("b", 30)))  # fmt: skip
    hidden = torch.tensor(rows.reshape(-1, 5), dtype=torch.float64) @ a.T
    hidden = torch.relu((hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + 1e-5).sqrt())
    logits = (hidden @ b.T)[:batch]
    (-(torch.tensor(target) * torch.log_softmax(logits, 1)).sum(1).mean()).backward()
    assert unpack(probability, batch) == pytest.approx(torch.softmax(logits, 1).detach().numpy(), abs=1e-5)
    for name, weight in (("a", a), ("b", b)):
        expected = weight.grad.numpy().reshape(-1)
        found = ensemble.gradient(0, f"{name}.values")
        assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)
        moved = network.values(f"{name}.values") - arrays[f"{name}.values"]
        assert np.abs(moved).max() == pytest.approx(1e-3, rel=1e-2)  # the first step of Adam
    pool.close()


def test_the_second_batch_has_no_part_in_the_cross_entropy_wherever_gradients_are_kept(pool):
    """Those of hidden values may be where that of the logits was, whose second half is to be 0 in every step."""
    operations = [Linear("wide", n_out=50), ReLU(), Linear("a", n_out=30), BatchNorm(), ReLU(), Linear("b", n_out=21)]
    rng = np.random.default_rng(0)
    first, second, target = (pack(rng.random((40, features), np.float32)) for features in (5, 5, 21))
    x, learnt = np.concatenate([first, second]), []
    for keep in (True, False):
        network = initialised(5, operations, {}, np.random.default_rng(1))
        ensemble = Ensemble([network], pool, dense_gradients=keep)
        for _ in range(3):
            ensemble.classify(x, target, mean_weights(40), [np.zeros_like(target)], 1e-3, samples=40, parts=2)
        learnt.append(network.state()[0])
    assert all(np.array_equal(array, learnt[1][name]) for name, array in learnt[0].items())
