"""A sparse layer in PyTorch: the same numbers as a masked dense one, in every way that PyTorch calls a layer."""

from __future__ import annotations

import copy
import math
import os
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import linear

from rewirl import _core
from rewirl.torch import SparseLinear


def of_dense(layer, x, dy):
    """Output and gradients of the masked dense layer in float64: y, dx, dvalues, dbias."""
    x, weight = x.detach().double().requires_grad_(), layer.dense().double().requires_grad_()
    bias = layer.bias.detach().double().requires_grad_()
    y = linear(x, weight, bias)
    y.backward(dy.double())
    return y.detach(), x.grad, weight.grad.reshape(-1)[layer.indices], bias.grad


def assert_near(actual, expected, terms=1):
    """Compare sums of so many terms of the order of 1, whose partial sums are larger than they may be themselves."""
    scale = max(math.sqrt(terms), float(expected.abs().max()) if expected.numel() else 0.0)
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=3e-6 * scale)


@pytest.fixture(params=_core.available_instruction_sets())
def each_instruction_set(request):
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    yield
    _core.use_instruction_set(before)


@settings(max_examples=60, deadline=None)
@example(27, 1, 300, 0.0, "unstructured", 1, 944)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 300),
    st.sampled_from([0.0, 0.5, 0.8, 0.95]),
    st.sampled_from(["unstructured", "4x1", "8x1"]),
    st.integers(1, 2),
    st.integers(0, 2**31),
)
def test_gradients_are_those_of_a_masked_dense_layer(n_in, n_out, batch, sparsity, structure, threads, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(n_out if structure == "unstructured" else 1, n_in, generator=generator) >= sparsity
    weight = torch.randn(n_out, n_in, generator=generator)
    layer = SparseLinear.from_dense(
        weight, torch.randn(n_out, generator=generator), mask.expand(n_out, n_in), structure
    )
    x = torch.randn(batch, n_in, generator=generator, requires_grad=True)
    dy = torch.randn(batch, n_out, generator=generator)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y = layer(x)
        y.backward(dy)
    finally:
        torch.set_num_threads(before)
    for actual, expected in zip(
        (y.detach(), x.grad, layer.values.grad, layer.bias.grad), of_dense(layer, x, dy), strict=True
    ):
        assert_near(actual, expected, max(n_in, n_out, batch))


@pytest.mark.parametrize("structure", ["unstructured", "4x1", "8x1"])
def test_long_batches_and_all_threads_give_the_same_bits(structure, each_instruction_set):
    layer = SparseLinear(96, 80, 0.8, structure=structure, seed=1)
    x, dy = torch.randn(2500, 96), torch.randn(2500, 80)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        layer.zero_grad()
        rows = x.clone().requires_grad_()
        y = layer(rows)
        y.backward(dy)
        found.append((y.detach(), rows.grad, layer.values.grad.clone(), layer.bias.grad.clone()))
    torch.set_num_threads(before)
    for one, two, dense in zip(*found, of_dense(layer, x, dy), strict=True):
        assert torch.equal(one, two)
        assert_near(one, dense)


def test_connections_in_another_order_compute_the_same():
    layer = SparseLinear(30, 24, 0.6, structure="4x1", seed=0)
    other = copy.deepcopy(layer)
    shuffled = torch.randperm(layer.connections)
    other.load_state_dict({"indices": layer.indices[shuffled], "values": layer.values[shuffled], "bias": layer.bias})
    x = torch.randn(9, 30)
    ys = [each(x) for each in (layer, other)]
    assert torch.equal(*ys)
    for y in ys:
        y.square().sum().backward()
    assert torch.equal(layer.values.grad[shuffled], other.values.grad)


def test_used_twice_in_one_forward_and_under_no_grad():
    layer = SparseLinear(16, 16, 0.5, seed=3)
    x = torch.randn(5, 16)
    weight = layer.dense().requires_grad_()
    bias = layer.bias.detach().clone().requires_grad_()
    torch.tanh(layer(torch.tanh(layer(x)))).sum().backward()
    torch.tanh(linear(torch.tanh(linear(x, weight, bias)), weight, bias)).sum().backward()
    torch.testing.assert_close(layer.values.grad, weight.grad.reshape(-1)[layer.indices])
    torch.testing.assert_close(layer.bias.grad, bias.grad)
    with torch.no_grad():
        assert not layer(x).requires_grad
    with torch.inference_mode():
        assert torch.equal(layer(x), layer(x.clone()))
        assert layer(x).is_inference()


@pytest.mark.parametrize("structure", ["unstructured", "8x1"])
def test_gradients_of_gradients(structure):
    layer = SparseLinear(11, 16, 0.5, structure=structure, seed=2)
    weight, bias = layer.dense().requires_grad_(), layer.bias.detach().clone().requires_grad_()
    x = torch.randn(7, 11)

    def penalty(function, *parameters):
        rows = x.clone().requires_grad_()
        y = torch.tanh(function(rows)).square().sum()
        first = torch.autograd.grad(y, [rows, *parameters], create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), [rows, *parameters])

    of_rows, of_values, of_bias = penalty(layer, layer.values, layer.bias)
    dense = penalty(lambda rows: linear(rows, weight * (layer.dense() != 0), bias), weight, bias)
    torch.testing.assert_close(of_rows, dense[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(of_values, dense[1].reshape(-1)[layer.indices], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(of_bias, dense[2], rtol=1e-4, atol=1e-4)


def test_inputs_of_any_layout_and_any_leading_dimensions():
    layer = SparseLinear(12, 10, 0.5, seed=4)
    x = torch.randn(6, 12)
    y = layer(x)
    assert torch.equal(layer(x.T.contiguous().T), y)
    assert torch.equal(layer(torch.randn(6, 24)[:, ::2].copy_(x)), y)
    assert torch.equal(layer(x.view(2, 3, 12)), y.view(2, 3, 10))
    assert torch.equal(layer(x[0]), layer(x[:1])[0])
    assert torch.equal(layer(x[:1].expand(3, 12)), layer(x[:1]).expand(3, 10))
    assert torch.equal(layer(torch._neg_view(-x)), y)
    rows = x.clone().requires_grad_()
    layer(rows).sum().backward()  # an expanded gradient
    torch.testing.assert_close(rows.grad, layer.dense().sum(dim=0).expand(6, 12))


def test_an_empty_batch():
    layer = SparseLinear(12, 10, 0.5, seed=4)
    x = torch.empty(3, 0, 12, requires_grad=True)
    y = layer(x)
    assert y.shape == (3, 0, 10)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert not layer.values.grad.any()
    assert not layer.bias.grad.any()


def test_what_it_cannot_compute_is_refused_in_words():
    layer = SparseLinear(12, 10, 0.5, seed=4)
    with pytest.raises(TypeError, match=r"float32 on the CPU; its input has torch\.float64 on cpu"):
        layer(torch.randn(3, 12, dtype=torch.float64))
    with pytest.raises(TypeError, match=r"its input has torch\.float32 on meta"):
        layer(torch.randn(3, 12, device="meta"))
    with pytest.raises(TypeError, match=r"its values has torch\.float64"):
        copy.deepcopy(layer).double()(torch.randn(3, 12))
    with pytest.raises(ValueError, match=r"the input must be \[\.\.\., 12\], got \[3, 11\]"):
        layer(torch.randn(3, 11))
    with pytest.raises(TypeError, match="the input must be a tensor, got ndarray"):
        layer(np.zeros((3, 12), np.float32))
    for transform in (torch.vmap, torch.func.jacrev, lambda f: torch.func.grad(lambda x: f(x).sum())):
        with pytest.raises(
            RuntimeError, match=r"no transforms of torch\.func, such as grad, jvp or vmap; use backward"
        ):
            transform(layer)(torch.randn(2, 12))
    with pytest.raises(RuntimeError, match="neither vectorize=True nor is_grads_batched=True"):
        torch.autograd.functional.jacobian(layer, torch.randn(12), vectorize=True)
    for structure in ("2:4", "3x1"):
        with pytest.raises(ValueError, match=f"unstructured, 4x1 or 8x1, not {structure}"):
            SparseLinear(12, 10, structure=structure)
    for wrong, said in (
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"sparsity": "0.9"}, "sparsity must be a number, got '0.9'"),
        ({"in_features": 3.5}, "in_features must be a whole number, got 3.5"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            SparseLinear(**{"in_features": 12, "out_features": 5, **wrong})
    with pytest.raises(ValueError, match="sparsity of 1"):
        SparseLinear(12, 10, sparsity=1)
    with pytest.raises(ValueError, match="whole blocks"):
        SparseLinear.from_dense(torch.eye(8), structure="4x1")


def test_a_backward_pass_after_the_connections_have_changed_is_refused():
    layer = SparseLinear(12, 10, 0.5, seed=4)
    y = layer(torch.randn(3, 12))
    free = np.setdiff1d(np.arange(120), layer.indices.numpy())
    layer.rewire(np.arange(2), free[:2])
    with pytest.raises(RuntimeError, match="from before the connections of a SparseLinear changed"):
        y.sum().backward()


def test_state_with_other_connections_is_loaded_and_a_broken_one_is_not(tmp_path):
    layer, other = SparseLinear(20, 16, 0.5, seed=1), SparseLinear(20, 16, 0.8, seed=2)
    x = torch.randn(4, 20)
    torch.save(layer.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    values = other.values
    other.load_state_dict(state)
    assert torch.equal(other(x), layer(x))
    assert other.values is values  # which an optimiser owns
    third = SparseLinear(20, 16, 0.8)
    third.load_state_dict(state, assign=True)
    assert torch.equal(third(x), layer(x))
    third.rewire(np.arange(9), np.setdiff1d(np.arange(320), third.indices.numpy())[:9])
    third.load_state_dict(state)  # which is what it was
    assert torch.equal(third(x), layer(x))
    for indices, said in ((state["indices"] * 0, "twice"), (state["indices"] + 300, "outside"), (x, "shape|size")):
        with pytest.raises((ValueError, RuntimeError), match=said):
            other.load_state_dict({**state, "indices": indices})
        assert torch.equal(other(x), layer(x))
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({name: state[name] for name in ("values", "bias")})


def test_copies_are_of_their_own():
    model = torch.nn.Sequential(SparseLinear(12, 10, 0.5, seed=4), torch.nn.ReLU(), SparseLinear(10, 3, 0.2, seed=5))
    x = torch.randn(3, 12)
    y = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), y)
        with torch.no_grad():
            other[0].values.zero_()
        assert torch.equal(model(x), y)


def test_autocast_computes_in_float32():
    layer = SparseLinear(12, 10, 0.5, seed=4)
    x = torch.randn(3, 12).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, layer(x.float()))
    y.sum().backward()
    assert x.grad.dtype == torch.bfloat16


def test_compiled_as_a_whole_with_gradients():
    model = torch.nn.Sequential(SparseLinear(12, 16, 0.5, seed=4), torch.nn.ReLU(), SparseLinear(16, 3, 0.2, seed=5))
    x = torch.randn(3, 12, requires_grad=True)
    y = model(x)
    y.square().sum().backward()
    expected = [x.grad.clone(), *(p.grad.clone() for p in model.parameters())]
    model.zero_grad()
    x.grad = None
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x), y)
    compiled(x).square().sum().backward()
    assert all(map(torch.equal, expected, [x.grad, *(p.grad for p in model.parameters())]))


def test_threads_share_a_layer():
    layer = SparseLinear(64, 64, 0.5, structure="8x1", seed=1)
    xs = [torch.randn(50, 64) for _ in range(8)]
    expected = [layer(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: layer(x), xs * 4))
    assert all(map(torch.equal, expected * 4, found))


class Outputs(torch.utils.data.Dataset):
    def __init__(self, layer):
        self.layer = layer

    def __len__(self):
        return 4

    def __getitem__(self, index):
        with torch.no_grad():
            return self.layer(torch.full((300, 128), float(index)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_of_a_data_loader_have_the_layer():
    torch.manual_seed(0)
    data = Outputs(SparseLinear(128, 128, 0.5, seed=0))
    expected = torch.stack([data[index] for index in range(4)])  # with threads of this process
    [found] = torch.utils.data.DataLoader(data, batch_size=4, num_workers=1, multiprocessing_context="fork")
    assert torch.equal(found, expected)


def test_the_seed_is_the_generators_of_pytorch_unless_given():
    torch.manual_seed(3)
    one, two = SparseLinear(20, 20), SparseLinear(20, 20)
    torch.manual_seed(3)
    again = SparseLinear(20, 20)
    assert torch.equal(one.indices, again.indices) and torch.equal(one.values, again.values)
    assert not torch.equal(one.indices, two.indices)
    assert torch.equal(SparseLinear(20, 20, seed=1).values, SparseLinear(20, 20, seed=1).values)


def test_values_and_biases_begin_within_one_over_the_root_of_the_inputs_that_units_have():
    layer = SparseLinear(200, 60, 0.9, seed=0)
    rows = layer.indices // 200
    bound = torch.bincount(rows, minlength=60).clamp(min=1).rsqrt()
    for of_bound in (layer.values.detach() / bound[rows], layer.bias.detach() / bound):
        assert 0.9 < of_bound.abs().max() <= 1 + 1e-6 and abs(float(of_bound.abs().mean()) - 0.5) < 0.1
        assert of_bound.min() < -0.9 and of_bound.max() > 0.9


def test_nothing_else_imports_torch():
    code = (
        "import sys; sys.modules['torch'] = None\nimport rewirl, rewirl.cli.main\n"
        "try:\n    import rewirl.torch\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "rewirl.torch needs PyTorch: pip install 'rewirl[torch]'"


@pytest.mark.parametrize("structure", ["unstructured", "8x1"])
def test_connections_that_others_write_are_computed_with(structure):
    x = torch.randn(5, 24)
    one, other = (SparseLinear(24, 16, sparsity=0.5, structure=structure, seed=seed) for seed in (0, 1))
    expected = other(x)
    assert torch.equal(torch.func.functional_call(one, dict(other.state_dict()), (x,)), expected)
    before = one(x)
    assert torch.allclose(before, x @ one.dense().T + one.bias, atol=1e-5)
    shallow = copy.copy(one)
    one.rewire(np.arange(8), np.setdiff1d(np.arange(24 * 16), one.indices.numpy())[:0])
    assert torch.allclose(shallow(x), x @ one.dense().T + one.bias, atol=1e-5)
    target = SparseLinear.from_dense(other.dense().flip(1), torch.zeros(16), structure=structure)
    assert not torch.equal(target.indices, other.indices)
    with torch.no_grad():
        for mine, theirs in zip(target.state_dict().values(), other.state_dict().values(), strict=True):
            mine.copy_(theirs)
    assert torch.equal(target(x), expected)
    for written in (target.indices.data, torch.from_numpy(target.indices.numpy())):  # PyTorch does not notice these
        written.copy_(other.indices.flip(0))
        target.values.data.copy_(other.values.detach().flip(0))
        assert torch.allclose(target(x), expected, atol=1e-5)
        written.copy_(other.indices)
        target.values.data.copy_(other.values.detach())
        assert torch.equal(target(x), expected)


def test_layers_in_a_transformers_encoder_as_the_table_says():
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder.linear1, encoder.linear2 = SparseLinear(8, 16, sparsity=0.5), SparseLinear(16, 8, sparsity=0.5)
    x = torch.randn(2, 3, 8)
    encoder(x).sum().backward()
    encoder.eval()
    assert torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            y = encoder(x)
        normed = encoder.norm1(x + encoder.self_attn(x, x, x)[0])
        torch.testing.assert_close(y, encoder.norm2(normed + encoder.linear2(encoder.linear1(normed).relu())))
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    with torch.no_grad(), pytest.raises(AttributeError, match="weight"):
        encoder(x)
