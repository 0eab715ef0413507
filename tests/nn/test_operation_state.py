"""Networks of any operations: saved and restored, and refused where they cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from compositions import COMPOSITIONS, N_IN, network_of

from rewirl.nn import (
    Add,
    BatchNorm,
    Ensemble,
    LayerNorm,
    Multiply,
    Network,
    Parameter,
    ReLU,
    Tanh,
    TargetNetwork,
    mlp,
    pack,
    unpack,
    update_targets,
)


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
    update_targets([target], 1.0, pool)
    for name_of_array, array in one.arrays():
        if name_of_array.partition(".")[2] != "values":  # those of layers have an order of their own
            assert np.array_equal(array, target.values(name_of_array))


def test_acting_sees_steps_and_what_is_written(pool):
    """Layers keep a dense copy for single samples, which is renewed after their values have changed."""
    rng = np.random.default_rng(0)
    network = network_of(COMPOSITIONS["residual block"], rng)
    x, pull = pack(rng.normal(size=(40, N_IN)).astype(np.float32)), pack(rng.normal(size=(40, 2)).astype(np.float32))

    def acts_as_it_is():
        assert network.act(x[0, :, 0].copy()) == pytest.approx(network.predict(x)[0, :, 0], rel=1e-4, abs=1e-4)

    acts_as_it_is()
    ensemble = Ensemble([network], pool)
    ensemble.forward(x)
    ensemble.step(x, [pull], 1e-2)
    acts_as_it_is()
    for name, array in network.arrays():
        network.set_values(name, array * 2)
    acts_as_it_is()


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


def test_a_saved_variance_that_is_negative_is_refused():
    network = network_of([BatchNorm("norm"), Tanh()], np.random.default_rng(0))
    arrays, values = network.state()
    arrays["norm.variance"][0] = 0
    Network.from_state(arrays, values)
    arrays["norm.variance"][0] = -1
    with pytest.raises(ValueError, match=r"norm\.variance of a network, of variances, is negative"):
        Network.from_state(arrays, values)


def test_networks_of_0_1_0_load():
    """Its layers have numbers for names."""
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
