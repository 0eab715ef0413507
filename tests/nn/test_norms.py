"""Batches in parts, rows of unit norm, ReLU within norms, and the statistics of batch renormalisation."""

from __future__ import annotations

import numpy as np
import pytest
from cases import random_places, tiles_with_rubbish
from compositions import COMPOSITIONS, network_of

from rewirl.nn import (
    BatchNorm,
    BatchRenorm,
    Ensemble,
    LayerNorm,
    Linear,
    Network,
    Pool,
    ReLU,
    pack,
    reference,
    tile_shape,
    unpack,
)
from rewirl.nn.operations import from_json, to_json

FORMATS = {"dense": (None, 1), "unstructured": (0.3, 1), "blocks": (0.3, 4), "blocks with a rest": (0.3, 8)}
N_IN, N_OUT = 21, 36


def unit_network(kind, rng, bias=True):
    density, height = FORMATS[kind]
    places = None if density is None else random_places((N_OUT, N_IN), density, rng, height)
    count = N_IN * N_OUT if places is None else len(places)
    layer = Linear("a", n_out=N_OUT, bias=bias, height=height, unit_norm=True)
    arrays = {"a.values": rng.normal(size=count).astype(np.float32)}
    return Network(N_IN, [layer], {"a": places}, arrays)


def matrix(network):
    (layer,) = network.layers
    return reference.matrix(layer.shape, layer.places(), layer.values)


@pytest.mark.parametrize(
    ("step", "kind"), [*((step, kind) for step in ("step", "adam") for kind in FORMATS), ("regress", "dense")]
)
def test_rows_have_unit_norm_after_every_step(instruction_set, pool, kind, step):
    rng = np.random.default_rng(0)
    network, free = unit_network(kind, rng), unit_network(kind, np.random.default_rng(0))
    if step == "regress":
        network, free = (Network(N_IN, [Linear("a", n_out=1, unit_norm=unit)], {}, {"a.values": start})
                         for start in [rng.normal(size=N_IN).astype(np.float32)] for unit in (True, False))  # fmt: skip
    else:
        free = Network(N_IN, [Linear("a", n_out=N_OUT, height=FORMATS[kind][1])], {"a": places_of(network)},
                       {"a.values": network.values("a.values").copy()})  # fmt: skip
    for turn in range(3):
        x = pack(rng.normal(size=(50, N_IN)).astype(np.float32))
        before = matrix(network)
        free.layers[0].set_values(network.layers[0].values.copy())
        for each in (network, free):
            ensemble = Ensemble([each], pool)
            if step == "regress":
                weights = pack(np.full((50, 1), 0.02, np.float32))
                ensemble.regress(x, np.zeros_like(weights), weights, [np.zeros_like(weights)], 0.1)
                continue
            (output,) = ensemble.forward(x)
            if step == "step":
                ensemble.step(x, [output.copy()], 0.1)
            else:
                ensemble.backward(x, [output.copy()])
                ensemble.adam(0.1)
        found, expected = matrix(network), reference.unit_rows(matrix(free))
        assert np.abs(found - expected).max() < 1e-6, turn
        norms = np.sqrt((found**2).sum(axis=1))
        assert norms[(before != 0).any(axis=1)] == pytest.approx(1.0, abs=1e-6)
        assert not norms[(before == 0).all(axis=1)].any()  # units without inputs stay what they are


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_of_zeros_are_divided_by_nothing(instruction_set, pool, kind):
    rng = np.random.default_rng(0)
    network, x = unit_network(kind, rng), pack(rng.normal(size=(20, N_IN)).astype(np.float32))
    network.set_values("a.values", np.zeros_like(network.values("a.values")))
    ensemble = Ensemble([network], pool)
    (output,) = ensemble.forward(x)
    ensemble.step(x, [np.zeros_like(output)], 0.1)
    assert not network.values("a.values").any()


def places_of(network):
    (layer,) = network.layers
    return None if layer.dense else layer.places()


@pytest.mark.parametrize("kind", ["unstructured", "blocks"])
def test_a_rewiring_leaves_rows_of_unit_norm_and_zeros_zero(pool, kind):
    rng = np.random.default_rng(1)
    network = unit_network(kind, rng)
    height = FORMATS[kind][1]
    (layer,) = network.layers
    places = np.sort(layer.places())
    rows, columns = np.divmod(places, N_IN)
    group = rows[0] // height
    gone = np.flatnonzero(np.isin(layer.places(), places[(rows // height == group) & (columns == columns[0])]))
    free = next(c for c in range(N_IN) if group * height * N_IN + c not in places)
    grown = (group * height + np.arange(height)) * N_IN + free
    for moments in layer.moments:
        moments[:] = rng.uniform(0.1, 1, len(moments))
    before = [dict(zip(layer.places().tolist(), moments.tolist(), strict=True)) for moments in layer.moments]
    expected = matrix(network)
    expected.reshape(-1)[layer.places()[gone]] = 0
    network.rewire("a", gone, grown)
    found = matrix(network)
    assert np.abs(found - reference.unit_rows(expected)).max() < 1e-6
    assert not found.reshape(-1)[grown].any()
    norms = np.sqrt((found**2).sum(axis=1))
    assert ((norms == 0) | (np.abs(norms - 1) < 1e-6)).all()
    for moments, old in zip(layer.moments, before, strict=True):  # new ones begin at zero, others stay as they are
        all_of = dict(zip(layer.places().tolist(), moments.tolist(), strict=True))
        assert all(all_of[place] == (0.0 if place in grown else old[place]) for place in all_of)


def test_a_unit_of_zeros_and_one_without_inputs_give_no_nan(pool):
    """Behind a batch norm: both have the same output for every sample."""
    places = np.arange(N_IN, dtype=np.int64)  # the first unit alone has inputs
    operations = [Linear("a", n_out=3, bias=False, unit_norm=True), BatchNorm("norm"), ReLU()]
    network = Network(N_IN, operations, {"a": places}, {"a.values": np.zeros(N_IN, np.float32)})
    network.set_values("norm.shift", np.ones(3, np.float32))  # with 0 the ReLU would let no gradient through
    ensemble = Ensemble([network], pool)
    rng = np.random.default_rng(0)
    x = pack(rng.normal(size=(40, N_IN)).astype(np.float32))
    for _ in range(3):
        (output,) = ensemble.forward(x, 40)
        ensemble.step(x, [pack(rng.normal(size=(40, 3)).astype(np.float32))], 0.1)
        ensemble.update_statistics()
        assert np.isfinite(output).all()
    values = network.values("a.values")
    assert np.isfinite(values).all() and np.linalg.norm(values) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [16, 100, 256])
def test_a_joint_batch_has_the_statistics_of_both_halves(batch, threads):
    rng = np.random.default_rng(batch)
    operations = [BatchNorm("first"), Linear("a", n_out=300), BatchNorm("second"), ReLU(), Linear("b", n_out=2)]
    arrays = {"a.values": rng.normal(size=300 * N_IN), "b.values": rng.normal(size=600)}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    network, pool = Network(N_IN, operations, {}, arrays), Pool(threads)
    halves = rng.normal(size=(2, batch, N_IN)).astype(np.float32)
    pulls = rng.normal(size=(2, batch, 2)).astype(np.float32)
    tiles, width = tile_shape(batch)
    joint, pull = np.empty((2 * tiles, N_IN, width), np.float32), np.empty((2 * tiles, 2, width), np.float32)
    for half in range(2):
        joint[half * tiles :][:tiles] = tiles_with_rubbish(halves[half], rng)
        pull[half * tiles :][:tiles] = pack(pulls[half])
    ensemble = Ensemble([network], pool)
    (output,) = ensemble.forward(joint, batch, parts=2)
    (inputs,) = ensemble.backward(joint, [pull], inputs_from=0)
    parameters = {name: array.astype(np.float64) for name, array in network.arrays()}
    parameters |= {f"{layer.name}.values": layer.weights().astype(np.float64) for layer in network.layers}
    rows = halves.reshape(-1, N_IN).astype(np.float64)
    values = reference.run(operations, parameters, rows)
    expected, of_inputs = reference.gradients(operations, parameters, values, pulls.reshape(-1, 2).astype(np.float64))
    for found, wanted in ((output, values[-1]), (inputs, of_inputs)):
        both = np.concatenate([unpack(found[:tiles], batch), unpack(found[tiles:], batch)])
        assert np.abs(both - wanted).max() < 1e-4 * np.abs(wanted).max()
    for name in ("a.values", "first.scale", "second.scale", "second.shift"):
        wanted = expected[name].reshape(-1)
        assert np.abs(ensemble.gradient(0, name) - wanted).max() < 1e-4 * np.abs(wanted).max(), name
    ensemble.update_statistics()
    mean, variance = rows.mean(0), rows.var(0, ddof=1)
    assert network.values("first.mean") == pytest.approx(0.1 * mean, abs=1e-6)
    assert network.values("first.variance") == pytest.approx(0.9 + 0.1 * variance, abs=1e-5)
    pool.close()
    with pytest.raises(ValueError, match="3 batches do not share out"):
        ensemble.forward(joint, batch, parts=3)


def test_renormalisation_begins_when_its_statistics_have_moved_often_enough(pool):
    rng = np.random.default_rng(0)
    network = Network(N_IN, [BatchRenorm("norm", warm_up=2, momentum=0.5)], {}, {})
    plain = Network(N_IN, [BatchNorm("norm", momentum=0.5)], {}, {})
    ensembles = [Ensemble([each], pool) for each in (network, plain)]
    same = []
    for _ in range(4):
        x = pack((5 + 3 * rng.normal(size=(50, N_IN))).astype(np.float32))
        outputs = [ensemble.forward(x, 50)[0].copy() for ensemble in ensembles]
        same.append(np.array_equal(*outputs))
        for ensemble in ensembles:
            ensemble.update_statistics()
    assert same == [True, True, False, False]
    assert network.values("norm.moves").tolist() == [4.0]
    for name in ("mean", "variance"):
        assert np.array_equal(network.values(f"norm.{name}"), plain.values(f"norm.{name}"))


@pytest.mark.parametrize("norm", [LayerNorm(), BatchNorm(), BatchRenorm()])
def test_a_relu_after_a_norm_is_done_with_it(instruction_set, pool, norm):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(37, N_IN)).astype(np.float32)
    fused, bare = Network(N_IN, [norm, ReLU("out")], {}, {}), Network(N_IN, [norm], {}, {})
    made = [Ensemble([each], pool).forward(pack(rows), 37)[0] for each in (fused, bare)]
    assert np.array_equal(made[0], np.maximum(made[1], 0))
    assert np.array_equal(fused.predict(pack(rows)), np.maximum(bare.predict(pack(rows)), 0))
    single = [fused.act(row) for row in rows]
    assert np.array_equal(single, [np.maximum(bare.act(row), 0) for row in rows])
    assert np.abs(np.array(single) - unpack(fused.predict(pack(rows)), 37)).max() < 1e-5


def test_settings_go_through_files_and_usual_ones_are_left_out():
    operations = [BatchRenorm(r_max=2.0, d_max=1.0, warm_up=5), Linear(n_out=4, unit_norm=True), Linear(n_out=2)]
    saved = to_json(operations)
    assert from_json(saved) == operations
    assert "unit_norm" in saved[1] and "unit_norm" not in saved[2]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (BatchRenorm(r_max=0.5), "r_max of the operation batch_renorm1 must be at least 1"),
        (BatchRenorm(d_max=-1.0), "d_max of the operation batch_renorm1 must be 0 or more"),
        (BatchRenorm(warm_up=-1), "warm_up of the operation batch_renorm1 must be from 0"),
        (BatchRenorm(eps=0.0), "eps of the operation batch_renorm1 must be more than 0"),
    ],
)
def test_impossible_settings_are_refused(operation, message):
    with pytest.raises(ValueError, match=message):
        Network(N_IN, [operation], {}, {})


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_memory_that_is_shared_changes_no_bit(name, threads):
    """Of the gradients of hidden values; and of hidden values, where no gradient is asked for."""
    rng, pool = np.random.default_rng(0), Pool(threads)
    network = network_of(COMPOSITIONS[name], rng)
    x = tiles_with_rubbish(rng.normal(size=(300, 11)).astype(np.float32), rng)
    pull = pack(rng.normal(size=(300, network.n_out)).astype(np.float32))
    keeping, sharing = Ensemble([network], pool), Ensemble([network], pool, dense_gradients=False)
    passing = Ensemble([network], pool, gradients=False, batch_statistics=True)
    (expected,) = keeping.forward(x, 300)
    assert np.array_equal(expected, sharing.forward(x, 300)[0])
    assert np.array_equal(unpack(expected, 300), unpack(passing.forward(x, 300)[0], 300))
    inputs = [ensemble.backward(x, [pull], inputs_from=0)[0] for ensemble in (keeping, sharing)]
    assert np.array_equal(*inputs)
    for operation, array in network.core.learnables():
        of = [ensemble.gradient(0, f"{operation}.{array}") for ensemble in (keeping, sharing)]
        assert np.array_equal(*of), (operation, array)
    (last,) = sharing.input_gradients(x, [pull], inputs_from=4)  # of actions, say
    assert np.array_equal(last, inputs[0][:, 4:])
    if network.layers:
        with pytest.raises(ValueError, match="does not keep the gradients of hidden values"):
            sharing.dense_gradient(0, network.layers[0].name, x)
    pool.close()
