"""The networks of SimBa, XQC and CrossQ: what they are made of, and how their weights begin."""

from __future__ import annotations

import numpy as np
import pytest

from rewirl.nn import (
    Add,
    BatchNorm,
    BatchRenorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    ReLU,
    batch_normalised,
    batch_renormalised,
    initialised,
    layer_normalised,
    residual,
)


def kinds(operations):
    return " ".join(operation.kind for operation in operations)


def test_they_are_made_of_what_the_papers_say():
    block = "layer_norm linear relu linear add"
    assert kinds(residual((8, 8), 3)) == f"linear {block} {block} layer_norm linear"
    assert kinds(batch_normalised((8, 6), 3)) == "batch_norm linear batch_norm relu linear batch_norm relu linear"
    layers = "linear relu batch_renorm"
    assert kinds(batch_renormalised((8, 6), 3)) == f"batch_renorm {layers} {layers} linear"
    assert [o.n_out for o in residual((8,), 3) if isinstance(o, Linear)] == [8, 32, 8, 3]
    assert all(o.unit_norm for o in batch_normalised((8, 6), 3) if isinstance(o, Linear))
    with pytest.raises(ValueError, match="give one size, not"):
        residual((8, 6), 3)


def test_their_operations_read_what_they_should_and_have_the_settings_of_the_papers():
    norm = {"eps": 1e-3, "momentum": 0.01}
    assert residual((8,), 3) == [
        Linear("embed", n_out=8), LayerNorm("norm1", eps=1e-6), Linear("wide1", n_out=32), ReLU("relu1"),
        Linear("narrow1", n_out=8), Add("block1", of=("embed", "narrow1")), LayerNorm("norm", eps=1e-6),
        Linear("output", n_out=3),
    ]  # fmt: skip
    assert [o.of for o in residual((8, 8), 3) if isinstance(o, Add)] == [("embed", "narrow1"), ("block1", "narrow2")]
    assert batch_normalised((6,), 3) == [
        BatchNorm("norm0", **norm), Linear("hidden1", n_out=6, bias=False, unit_norm=True), BatchNorm("norm1", **norm),
        ReLU("relu1"), Linear("output", n_out=3, unit_norm=True),
    ]  # fmt: skip
    assert batch_renormalised((6,), 3) == [
        BatchRenorm("norm0", **norm), Linear("hidden1", n_out=6), ReLU("relu1"), BatchRenorm("norm1", **norm),
        Linear("output", n_out=3),
    ]  # fmt: skip
    assert layer_normalised((6,), 3) == [
        Linear("hidden1", n_out=6, by_row=True), LayerNorm("norm1", affine=False), LeakyReLU("leaky_relu1", slope=0.01),
        Linear("output", n_out=3, by_row=True),
    ]  # fmt: skip


@pytest.mark.parametrize(("n_in", "n_out"), [(40, 40), (30, 50), (50, 30), (7, 1), (1, 7)])
def test_orthogonal_weights_have_rows_or_columns_of_norm_1_at_right_angles(n_in, n_out):
    network = initialised(n_in, [Linear("a", n_out=n_out)], {}, np.random.default_rng(0), "orthogonal")
    w = network.layers[0].weights().astype(np.float64)
    products = w @ w.T if n_out <= n_in else w.T @ w
    assert products == pytest.approx(np.eye(min(n_in, n_out)), abs=1e-6)
    assert not network.values("a.bias").any()


def test_he_weights_have_the_variance_2_over_the_inputs_and_no_outliers():
    network = initialised(200, [Linear("a", n_out=300)], {}, np.random.default_rng(0), "he")
    w = network.values("a.values")
    assert np.var(w) == pytest.approx(2 / 200, rel=0.02) and np.mean(w) == pytest.approx(0, abs=1e-3)
    assert np.abs(w).max() < 2.28 * np.sqrt(2 / 200)


@pytest.mark.parametrize("initialisation", ["he", "orthogonal"])
def test_scales_of_sparse_layers(initialisation):
    rng, shape = np.random.default_rng(0), (120, 80)
    places = np.sort(rng.choice(shape[0] * shape[1], 1200, replace=False))

    def values(scale):
        network = initialised(
            80, [Linear("a", n_out=120)], {"a": places}, np.random.default_rng(1), initialisation, scale
        )
        return network.layers[0].weights().reshape(-1)[places]

    fan_in = np.bincount(places // 80, minlength=120)[places // 80]
    assert values("sparse") == pytest.approx(values("dense") * np.sqrt(80 / fan_in), rel=1e-5)
    assert np.abs(values("largest")).min() > 1.2 * np.abs(values("dense")).mean()


def test_rows_of_unit_norm_begin_with_it():
    places = np.arange(0, 600, 3)
    operations = [Linear("a", n_out=30, unit_norm=True)]
    network = initialised(20, operations, {"a": places}, np.random.default_rng(0), "orthogonal")
    assert np.linalg.norm(network.layers[0].weights(), axis=1) == pytest.approx(1.0, abs=1e-6)
