"""What the core refuses, and that it says why. Past its door everything is trusted."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from cases import random_network

from rewirl import _core
from rewirl.nn import (
    Ensemble,
    TargetNetwork,
    mlp_network,
    tile_shape,
    update_targets,
)

NOTHING = np.empty(0, dtype=np.int64)


def mlp_of_core(sizes, places, values):
    """A chain of linear operations, by the core itself."""
    layers = enumerate(zip(sizes[1:], places, values, strict=True))
    return _core.Network(
        sizes[0],
        [
            ("linear", str(i), [i], {"n_out": n, "bias": 1}, "dense" if p is None else "unstructured", p, v)
            for i, (n, p, v) in layers
        ],
    )


@pytest.fixture
def network():
    return random_network([6, 5, 2], [0.5, None], np.random.default_rng(0))


def zeros(*shape):
    return np.zeros(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (zeros(1, 7, 16), "the input has 7 features, the network takes 6"),
        (zeros(1, 5, 16), "the input has 5 features, the network takes 6"),
        (zeros(1, 6, 8), "width a multiple of 16"),
        (zeros(1, 6, 20), "width a multiple of 16"),
        (zeros(1, 6, 144), "at most 128"),
        (zeros(1, 6, 0), "width a multiple of 16"),
        (zeros(0, 6, 16), "tiles must be"),
        (zeros(1, 6, 32)[:, :, ::2], "contiguous"),
        (zeros(1, 12, 16)[:, ::2], "contiguous"),
        (zeros(1, 6, 32)[:, :, :16], "contiguous"),
        (zeros(2, 6, 16)[::-1], "tiles must not overlap"),
        (np.broadcast_to(zeros(1, 6, 16), (2, 6, 16)), "tiles must not overlap"),
    ],
)
def test_forward_and_backward_refuse_such_tiles(network, pool, x, message):
    ensemble = Ensemble([network], pool)
    with pytest.raises(ValueError, match=message):
        ensemble.forward(x)
    ensemble.forward(zeros(1, 6, 16))
    with pytest.raises(ValueError, match=message):
        ensemble.backward(x, [zeros(1, 2, 16)])


@pytest.mark.parametrize("x", [zeros(6, 16), None, "tiles", zeros(1, 6, 16).astype(complex)])
def test_forward_refuses_what_is_no_tiles(network, pool, x):
    with pytest.raises(TypeError):
        Ensemble([network], pool).forward(x)


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (zeros(1, 3, 32), r"the output gradient must be contiguous \[2, 2, 32\], got \[1, 3, 32\]"),
        (zeros(1, 2, 32), r"\[2, 2, 32\]"),
        (zeros(2, 2, 16), r"\[2, 2, 32\]"),
        (zeros(2, 3, 32)[:, :2], r"contiguous \[2, 2, 32\]"),
        (zeros(2, 2, 64)[:, :, ::2], r"contiguous \[2, 2, 32\]"),
        (zeros(2, 2, 32)[::-1], r"contiguous \[2, 2, 32\]"),
    ],
)
def test_backward_refuses_such_gradients(network, pool, gradient, message):
    ensemble, x = Ensemble([network], pool), zeros(2, 6, 32)
    ensemble.forward(x)
    with pytest.raises(ValueError, match=message):
        ensemble.backward(x, [gradient])


def test_backward_needs_the_batch_of_the_last_forward(network, pool):
    ensemble = Ensemble([network], pool)
    with pytest.raises(ValueError, match="backward needs the batch of the last forward"):
        ensemble.backward(zeros(1, 6, 16), [zeros(1, 2, 16)])
    ensemble.forward(zeros(1, 6, 16))
    with pytest.raises(ValueError, match="backward needs the batch of the last forward"):
        ensemble.backward(zeros(2, 6, 16), [zeros(2, 2, 16)])


def test_backward_refuses_inputs_that_are_not_there(network, pool):
    ensemble = Ensemble([network], pool)
    ensemble.forward(zeros(1, 6, 16))
    with pytest.raises(ValueError, match="inputs_from is beyond the inputs"):
        ensemble.backward(zeros(1, 6, 16), [zeros(1, 2, 16)], inputs_from=6)
    for compute in (ensemble.backward, ensemble.input_gradients):
        compute(zeros(1, 6, 16), [zeros(1, 2, 16)], inputs_from=2)  # of which there is a gradient now
        with pytest.raises(ValueError, match="inputs_from is the number of an input, 0 or more; got -1"):
            compute(zeros(1, 6, 16), [zeros(1, 2, 16)], inputs_from=-1)


@pytest.mark.parametrize("limit", [np.nan, 0.0, -1.0])
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_gradients_are_clipped_to_a_positive_norm(network, pool, limit, size):
    ensemble = Ensemble([network], pool)
    ensemble.forward(zeros(1, 6, 16))
    ensemble.backward(zeros(1, 6, 16), [zeros(1, 2, 16) + np.float32(size)])
    with pytest.raises(ValueError, match="the limit of the norm must be more than 0"):
        ensemble.clip_together(limit)
    with pytest.raises(ValueError, match="one output gradient per network"):
        ensemble.backward(zeros(1, 6, 16), [])


def test_a_target_has_no_gradient_and_no_optimiser(network, pool):
    ensemble = Ensemble([TargetNetwork(network)], pool)
    ensemble.forward(zeros(1, 6, 16))
    with pytest.raises(ValueError, match="a target network has no gradient"):
        ensemble.backward(zeros(1, 6, 16), [zeros(1, 2, 16)])
    with pytest.raises(ValueError, match="a target network has no optimiser"):
        ensemble.adam(1e-3, 0.0)
    with pytest.raises(ValueError, match="a target network has no optimiser"):
        ensemble.networks[0].count_ages()


def test_none_is_no_network(network, pool):
    x, workspace = zeros(1, 6, 16), _core.Workspace(network.core)
    for call in (
        lambda: _core.forward(pool, [workspace, None], x),
        lambda: _core.backward(pool, [None], x, [x]),
        lambda: _core.adam(pool, [None], 1e-3, 0.9, 0.999, 1e-8, 0.0),
        lambda: _core.update_targets(pool, [None], 0.5),
    ):
        with pytest.raises((ValueError, TypeError)):
            call()
    with pytest.raises(TypeError):
        _core.forward(None, [workspace], x)


def test_no_network_is_nothing_to_do(pool):
    assert Ensemble([], pool).forward(zeros(1, 6, 16)) == []
    Ensemble([], pool).backward(zeros(1, 6, 16), [])
    update_targets([], 0.5, pool)


def test_networks_of_a_group_that_take_other_inputs_are_refused(network, pool):
    other = random_network([7, 2], [None], np.random.default_rng(0))
    with pytest.raises(ValueError, match="the input has 6 features, the network takes 7"):
        Ensemble([network, other], pool).forward(zeros(1, 6, 16))


def test_there_is_no_output_before_the_first_forward_nor_an_input_gradient_nobody_asked_for(network, pool):
    workspace, x = _core.Workspace(network.core), zeros(1, 6, 16)
    with pytest.raises(ValueError, match="no output before the first forward"):
        workspace.output()
    with pytest.raises(ValueError, match="no values before the first forward"):
        workspace.value("hidden1")
    _core.forward(pool, [workspace], x)
    _core.backward(pool, [workspace], x, [zeros(1, 2, 16)])
    with pytest.raises(ValueError, match="no input gradient before"):
        workspace.input_gradient()
    _core.backward(pool, [workspace], x, [zeros(1, 2, 16)], True, 0)
    _core.forward(pool, [workspace], zeros(1, 6, 32))
    with pytest.raises(ValueError, match="no input gradient before"):
        workspace.input_gradient()


@pytest.mark.parametrize("size", [5, 7, 0])
def test_acting_needs_a_whole_observation(network, size):
    with pytest.raises(ValueError, match=f"the observation has {size} features, the network takes 6"):
        network.act(zeros(size))


@pytest.mark.parametrize("layer", ["", "hidden2", "0", "input"])
def test_there_are_only_so_many_layers(network, layer):
    for name in ("dense", "connections", "version", "places", "format"):
        with pytest.raises(ValueError, match=f"no operation '{layer}'"):
            getattr(network.core, name)(layer)
        with pytest.raises(ValueError, match="'relu1' is not linear"):
            getattr(network.core, name)("relu1")
    for name in ("values", "writable_values", "first_moment", "second_moment", "born"):
        with pytest.raises(ValueError, match=f"no operation '{layer}'"):
            getattr(network.core, name)(layer, "values")
        with pytest.raises(ValueError, match="no array 'weights'"):
            getattr(network.core, name)("hidden1", "weights")
    with pytest.raises(ValueError, match=f"no operation '{layer}'"):
        network.rewire(layer, NOTHING, NOTHING)
    with pytest.raises(ValueError, match=f"no layer '{layer}'; it has hidden1, output"):
        network.layer(layer)


@pytest.mark.parametrize(
    ("sizes", "places", "values", "message"),
    [
        ([4], [], [], "a network needs an operation"),
        ([4, 0], [None], [zeros(0)], r"n_out .* must be an integer from 1 to 2\^24"),
        ([4, 1.5], [None], [zeros(0)], r"n_out .* must be an integer from 1 to 2\^24"),
        ([-4, 2], [None], [zeros(0)], r"from 1 to 2\^24 inputs"),
        ([4, 2], [None], [zeros(7)], "a dense layer of 4 inputs and 2 outputs needs 8 values, got 7"),
        ([4, 2], [np.array([1, 2])], [zeros(3)], "places and values must have one length"),
        ([4, 2], [np.array([1, 2])], [None], "places and values must have one length"),
        ([4, 2], [None], [None], "a dense layer of 4 inputs and 2 outputs needs 8 values, got 0"),
        ([4, 2], [np.array([1, 8])], [zeros(2)], "place 8 is outside a layer of 8 places"),
        ([4, 2], [np.array([-1, 0])], [zeros(2)], "place -1 is outside"),
        ([4, 2], [np.array([5, 1, 5])], [zeros(3)], "place 5 is given twice"),
        ([2**24, 2**24], [np.array([2**48])], [zeros(1)], f"place {2**48} is outside"),
    ],
)
def test_impossible_networks_are_refused(sizes, places, values, message):
    with pytest.raises(ValueError, match=message):
        mlp_of_core(sizes, places, values)


@pytest.mark.parametrize(("places", "values"), [("places", zeros(8)), (None, "values"), (None, [1.0] * 8)])
def test_places_and_values_are_arrays(places, values):
    with pytest.raises(TypeError, match="of a layer must be an array of"):
        mlp_of_core([4, 2], [places], [values])


def test_layers_too_large_for_their_index_are_refused():
    for sizes in ([2**24 - 1, 2**24 - 1], [2**24, 2**24], [2**31 - 1, 2**31 - 1], [2**31 - 1, 1]):
        with pytest.raises(ValueError, match=r"too few connections for its size|from 1 to 2\^24"):
            mlp_of_core(sizes, [np.array([0])], [zeros(1)])


def test_the_steps_of_adam_are_a_count(network, pool):
    for steps in (-1, 2**53, 2**63 - 1):
        with pytest.raises(ValueError, match="steps must be between"):
            network.steps = steps
    network.steps = 2**53 - 1
    assert network.steps == 2**53 - 1


def test_a_network_is_given_once(network, pool):
    """Two threads would write into it."""
    x = zeros(1, 6, 16)
    with pytest.raises(ValueError, match="a network is given twice"):
        workspace = _core.Workspace(network.core)
        _core.forward(pool, [workspace, workspace], x)
    ensemble = Ensemble([network, network], pool)
    outputs = ensemble.forward(x)  # which changes nothing
    with pytest.raises(ValueError, match="a network is given twice"):
        ensemble.step(x, [output.copy() for output in outputs], 1e-3)
    target = TargetNetwork(network)
    with pytest.raises(ValueError, match="is given twice"):
        _core.update_targets(pool, [target.link, target.link], 0.5)


def test_a_target_follows_one_network_that_is_trained(network):
    target = TargetNetwork(network)
    with pytest.raises(ValueError, match="the target follows a network already"):
        _core.TargetUpdate(target.core, network.core)
    for one, other in ((network, network), (network, target), (target, target)):
        with pytest.raises(ValueError, match="a target is not trainable, what it follows is"):
            _core.TargetUpdate(one.core, other.core)


def moved_by_a_byte(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
    moved = raw.view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def test_arrays_must_be_aligned_to_their_numbers(network, pool):
    generator = np.random.PCG64(0)
    tiles, one, rows = moved_by_a_byte(zeros(1, 6, 16)), moved_by_a_byte(zeros(6)), moved_by_a_byte(zeros(5, 6))
    index, outs = np.zeros(1, np.int64), [zeros(1, 6, 16)]
    Ensemble([network], pool).forward(zeros(1, 6, 16))
    for call in (
        lambda: Ensemble([network], pool).forward(tiles),
        lambda: network.act(one),
        lambda: _core.gather_rows(rows, index, outs),
        lambda: _core.gather_rows(zeros(5, 6), moved_by_a_byte(index), outs),
        lambda: _core.gather_rows(zeros(5, 6), index, [tiles]),
        lambda: _core.sample_rows(pool, generator, rows, 0, 5, 1, outs),
        lambda: _core.squash_gradient(tiles, outs[0]),
        lambda: _core.squash(zeros(1, 2, 16), moved_by_a_byte(zeros(1, 2, 16))),
        lambda: network.rewire("hidden1", moved_by_a_byte(index), NOTHING),
        lambda: network.layers[1].set_values(moved_by_a_byte(zeros(10))),
        lambda: mlp_of_core([6, 1], [None], [one]),
    ):
        with pytest.raises(ValueError, match="not aligned"):
            call()


def test_a_row_that_is_expected_has_to_be_waited_for(pool):
    with pytest.raises(ValueError, match="what is expected has to be waited for"):
        _core.sample_rows(pool, np.random.PCG64(0), zeros(5, 6), 0, 5, 1, [zeros(1, 6, 16)], 2)


@pytest.mark.parametrize("step", [-1, 2])
def test_squash_gradient_refuses_samples_that_are_apart(step):
    apart, together = zeros(1, 3, 16 * abs(step))[:, :, ::step], zeros(1, 3, 16)
    for arguments in ((apart, together), (together, apart)):
        with pytest.raises(ValueError, match="must be contiguous"):
            _core.squash_gradient(*arguments)


def test_sizes_that_no_memory_has_room_for_are_refused():
    generator = np.random.PCG64(0)
    with pytest.raises(ValueError, match="no memory has room"):
        _core.empty_tiles(2**60, 1, 16)
    for count in (2**61, 2**62):
        with pytest.raises(MemoryError):
            _core.normal(generator, count)
    rows, ends, out = zeros(5, 4), np.zeros(5, np.uint8), zeros(1, 4, 16)
    with pytest.raises(ValueError, match="rows need states"):
        _core.sample_windows(generator, rows, ends, 0, 5, 4, 2, 0.9, 2**63, [out])


def test_a_batch_for_which_there_was_no_memory_is_refused_again_and_smaller_ones_are_computed():
    program = (
        "import resource, numpy as np; from rewirl.nn import Ensemble, Pool, mlp_network, pack\n"
        "sizes, rng = [16, *[1024] * 5, 1], np.random.default_rng(0)\n"
        "values = [np.full(n * m, 0.01, np.float32) for n, m in zip(sizes, sizes[1:])]\n"
        "biases = [np.zeros(m, np.float32) for m in sizes[1:]]\n"
        "ensemble = Ensemble([mlp_network(sizes, [None] * 6, values, biases)], Pool(1))\n"
        "x = pack(np.ones((30_000, 16), np.float32))\n"
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 3 * 10**8,) * 2)\n"
        "for _ in range(2):\n"
        "    try: ensemble.forward(x); print('computed')\n"
        "    except MemoryError: print('refused')\n"
        "print(float(ensemble.forward(x[:1])[0].max()) > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["refused", "refused", "True"], done.stderr


def test_only_a_bit_generator_itself_can_give_random_numbers(network):
    """Its capsule alone does not keep it alive."""
    own, same = np.random.PCG64(3), np.random.PCG64(3)
    assert np.array_equal(_core.normal(own, 5), _core.normal(same, 5))
    assert np.isfinite(_core.normal(np.random.PCG64(3), 5)).all()  # nobody else holds this one
    for other in (own.capsule, np.random.Generator(own), network.core, 3):
        for call in (_core.normal, lambda bits, count: network.core.act_squashed(zeros(6), bits, 1.0)):
            with pytest.raises(ValueError, match="NumPy bit generator"):
                call(other, 5)


def test_a_pool_for_which_there_are_not_enough_threads_is_refused():
    """Joining those that there are, so that nobody waits for ever."""
    program = (
        "import resource; from rewirl import _core\n"
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "try: _core.Pool(256)\n"
        "except RuntimeError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_biases_must_fit():
    with pytest.raises(ValueError, match=r"output.bias must have the shape \(2,\), got \(3,\)"):
        mlp_network([4, 2], [None], [zeros(8)], [zeros(3)])


def test_instruction_sets_are_named_when_one_is_not_there():
    before = _core.instruction_set()
    with pytest.raises(ValueError, match=r"'sse9' is not available here; this machine runs: .*portable"):
        _core.use_instruction_set("sse9")
    assert _core.instruction_set() == before
    assert "portable" in _core.available_instruction_sets()


@pytest.mark.parametrize("width", [0, 8, 129, 144])
def test_tiles_have_certain_widths(width):
    with pytest.raises(ValueError, match="width must be a multiple of 16"):
        _core.empty_tiles(1, 1, width)


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_has_a_sample(batch):
    with pytest.raises(ValueError, match="at least one sample"):
        tile_shape(batch)


def test_writing_into_the_network(network):
    network.act(zeros(6))
    network.layers[0].bias[:] = 100.0
    network.layers[1].set_values(np.ones(network.layers[1].connections, dtype=np.float32))
    network.layers[1].bias[:] = 0.5
    assert network.act(zeros(6)).tolist() == [500.5, 500.5]
    network.layers[1].set_values(np.full(network.layers[1].connections, 2.0, dtype=np.float32))
    assert network.act(zeros(6)).tolist() == [1000.5, 1000.5]
    with pytest.raises(ValueError, match="numbers, got 1"):
        network.layers[1].set_values(zeros(1))
    with pytest.raises(ValueError, match="read-only"):
        network.layers[1].values[0] = 1.0


def test_results_of_acting_are_arrays_of_their_own(network):
    first = network.act(zeros(6))
    copy = first.copy()
    network.act(np.ones(6, dtype=np.float32))
    assert np.array_equal(first, copy)
