"""The reference against what it follows from: finite differences, PyTorch, and examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rewirl import _core
from rewirl.nn import pack, reference, tile_shape, unpack


def random_reference_network(rng, sizes=(5, 7, 6, 3), density=0.6):
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    masks = [rng.random(shape) < density for shape in shapes]
    weights = [rng.normal(size=shape) * m for shape, m in zip(shapes, masks, strict=True)]
    return weights, masks, [rng.normal(size=n) for n in sizes[1:]]


def test_gradients_are_finite_differences():
    rng = np.random.default_rng(0)
    weights, masks, biases = random_reference_network(rng)
    x, pull = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))

    def loss():
        return float((reference.forward(weights, biases, x)[-1] * pull).sum())

    connections, bias_gradients, inputs = reference.backward(
        weights, masks, reference.forward(weights, biases, x), pull
    )
    step = 1e-6
    for parameters, gradients in ((weights, connections), (biases, bias_gradients), ([x], [inputs])):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            for place in np.ndindex(parameter.shape):
                if parameters is weights and parameter[place] == 0:
                    assert gradient[place] == 0
                    continue
                kept = parameter[place]
                ends = []
                for end in (step, -step):
                    parameter[place] = kept + end
                    ends.append(loss())
                parameter[place] = kept
                assert gradient[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-7)


def test_adam_is_pytorchs():
    rng = np.random.default_rng(1)
    w, m, v = rng.normal(size=9), np.zeros(9), np.zeros(9)
    parameter = torch.nn.Parameter(torch.tensor(w))
    optimiser = torch.optim.Adam([parameter], lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1)
    for step in range(1, 30):
        gradient = rng.normal(size=9)
        parameter.grad = torch.tensor(gradient)
        optimiser.step()
        w, m, v = reference.adam(w, gradient, m, v, step, 0.01, 0.8, 0.99, 1e-6, 0.1)
    assert w == pytest.approx(parameter.detach().numpy(), rel=1e-12)


def test_maintain_sparsity_by_hand():
    weights = np.array([[0.5, -2.0, 0.0], [0.1, -0.6, 3.0]])
    assert reference.maintain_sparsity(weights, 3).tolist() == [[0, -2, 0], [0, -0.6, 3]]
    assert reference.maintain_sparsity(weights, 5).tolist() == weights.tolist()
    assert reference.maintain_sparsity(weights, 6).tolist() == weights.tolist()
    assert not reference.maintain_sparsity(weights, 0).any()


def test_a_stale_connection_gives_way_to_a_grown_one_by_hand():
    """Online: place 0 dropped, place 2 grown and learnt to 4. Target: still 1 at place 0, nothing at place 2."""
    online, target = np.array([[0.0, 2.0, 4.0]]), np.array([[1.0, 2.0, 0.0]])
    target = reference.update_target(target, online, 0.1, connections=2)
    assert target == pytest.approx(np.array([[0.9, 2.0, 0.0]]))  # 0.9 outweighs 0.1 * 4 = 0.4
    target = reference.update_target(target, online, 0.5, connections=2)
    assert target == pytest.approx(np.array([[0.0, 2.0, 2.0]]))  # 0.45 does not outweigh 0.5 * 4 = 2
    target = reference.update_target(target, online, 1.0, connections=2)
    assert np.array_equal(target, online)


def test_rewiring_by_hand():
    exists = np.array([[True, True], [False, False]])
    (w, m), exists = reference.rewire(
        [np.array([[1.0, 2.0], [0, 0]]), np.array([[3.0, 4.0], [0, 0]])], exists, np.array([0]), np.array([3])
    )
    assert w.tolist() == [[0, 2], [0, 0]]
    assert m.tolist() == [[0, 4], [0, 0]]
    assert exists.tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize("batch", [1, 2, 15, 16, 17, 100, 112, 127, 128, 129, 250, 256, 257, 300, 1000])
def test_tiles(instruction_set, batch):
    rows = np.random.default_rng(batch).normal(size=(batch, 3)).astype(np.float32)
    tiles, width = tile_shape(batch)
    assert width % 16 == 0 and width <= _core.widest_tile() <= 128
    assert tiles - -(-batch // _core.widest_tile()) in (0, 1)
    assert tiles * width - batch < 16 * tiles
    packed = pack(rows)
    assert packed.dtype == np.float32 and packed.shape == (tiles, 3, width)
    assert packed.ctypes.data % 64 == 0
    assert np.array_equal(packed, reference.pack(rows, width))
    assert np.array_equal(unpack(packed, batch), rows)
    assert np.array_equal(reference.unpack(packed, batch), rows)


def test_tiles_are_as_wide_as_pays(instruction_set):
    shapes = {batch: tile_shape(batch) for batch in (100, 200, 256, 300)}
    if instruction_set == "avx2":  # 14 vectors of 8
        assert shapes == {100: (1, 112), 200: (2, 112), 256: (4, 64), 300: (3, 112)}
    else:
        assert shapes == {100: (1, 112), 200: (2, 112), 256: (2, 128), 300: (3, 112)}
