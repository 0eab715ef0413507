"""Arrays that the core hands out stay good whatever becomes of their owner."""

from __future__ import annotations

import gc

import numpy as np
from cases import random_network
from test_arguments import zeros

from rewirl.nn import Ensemble, TargetNetwork, pack, update_targets


def churn():
    """Reuse freed memory, if there is any."""
    gc.collect()
    return [np.full(4000, 7.0, dtype=np.float32) for _ in range(200)]


def views(network, ensemble):
    layer, gradients = network.layers[0], [ensemble.gradient(0, f"hidden1.{array}") for array in ("values", "bias")]
    return [layer.values, *layer.moments, layer.bias, *layer.bias_moments, *gradients]


def used_network(pool):
    """A network, and the ensemble of it."""
    rng = np.random.default_rng(0)
    network = random_network([60, 50, 2], [0.5, None], rng)
    ensemble, x = Ensemble([network], pool), pack(rng.normal(size=(100, 60)).astype(np.float32))
    (output,) = ensemble.forward(x)
    ensemble.backward(x, [np.ones_like(output)], inputs_from=0)
    ensemble.adam(1e-3, 1e-3)
    return network, ensemble


def test_views_outlive_a_rewiring(pool):
    network, ensemble = used_network(pool)
    kept = views(network, ensemble)
    copies = [view.copy() for view in kept]
    free = np.setdiff1d(np.arange(3000), network.layers[0].places())
    network.rewire(network.layers[0].name, np.arange(500), free[:500])
    rubbish = churn()
    assert all(np.array_equal(view, copy) for view, copy in zip(kept, copies, strict=True))
    assert len(rubbish) == 200


def test_views_outlive_their_network(pool):
    network, ensemble = used_network(pool)
    kept = [*views(network, ensemble), *ensemble.outputs(), ensemble.value(0, "hidden1")]
    copies = [view.copy() for view in kept]
    del network, ensemble
    rubbish = churn()
    assert all(np.array_equal(view, copy) for view, copy in zip(kept, copies, strict=True))
    assert len(rubbish) == 200


def test_the_output_outlives_a_batch_of_another_size(pool):
    _, ensemble = used_network(pool)
    (kept,) = ensemble.outputs()
    copy = kept.copy()
    ensemble.forward(zeros(3, 60, 128))
    rubbish = churn()
    assert np.array_equal(kept, copy)
    assert len(rubbish) == 200


def test_a_target_outlives_the_name_of_its_online_network(pool):
    online, _ = used_network(pool)
    target = TargetNetwork(online)
    values = online.layers[0].values
    online.layers[0].set_values(values + 1)
    places, copy = online.layers[0].places(), values.copy()
    del online, values
    rubbish = churn()
    update_targets([target], 1.0, pool)
    assert np.array_equal(target.layers[0].places(), places)
    assert np.array_equal(target.layers[0].values, copy)
    assert len(rubbish) == 200
