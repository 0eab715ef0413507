"""The native core under fire: sequences of calls of everything it has, with good arguments and with hostile ones.

An input is the seed of a sequence. Every call has to do what it is asked to, or refuse with TypeError or ValueError;
what is computed with good numbers has to be finite, and now and then it has to be what `rewirl.nn.reference` computes.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

sys.path.insert(0, str(Path(__file__).parents[1] / "nn"))

import cases

from rewirl import _core
from rewirl.nn import Ensemble, pack, reference

CALLS = 80  # in a sequence
SPOILED = 0.3  # share of the calls that get a hostile argument
WIDTHS = (16, 32, 48, 112, 128)


class RefusedError(Exception):
    """A call was refused, as it may be."""


class Native:
    """What fuzz.py asks of a target."""

    name = "native"
    traced = False
    # A sanitizer reserves more addresses than a limit could allow.
    bounded = "REWIRL_FUZZ_SANITIZED" not in os.environ

    def seeds(self) -> list[bytes]:
        return [str(number).encode() for number in range(3)]

    def mutate(self, rng: random.Random, corpus: Sequence[bytes]) -> bytes:
        return str(rng.randrange(2**63)).encode()

    def run(self, data: bytes) -> tuple[int, int]:
        session = Session(int(data))
        session.run()
        return session.accepted, session.refused


class Session:
    """One sequence of calls."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rng = np.random.default_rng(seed)
        self.accepted = self.refused = 0
        self.pools = [_core.Pool(1)]
        self.networks: list[Any] = []
        self.targets: list[Any] = []
        self.updates: list[Any] = []
        self.views: list[Any] = []  # of memory whose owner may be gone
        self.generators = [np.random.PCG64DXSM(seed), np.random.SFC64(seed), np.random.MT19937(seed)]
        self.operations: list[Callable[[], None]] = [
            getattr(self, name) for name in sorted(dir(self)) if name.startswith("do_")
        ]

    def run(self) -> None:
        for _ in range(CALLS):
            operation = self.random.choice(self.operations)
            if os.environ.get("REWIRL_FUZZ_TALK"):
                print(operation.__name__, file=sys.stderr, flush=True)
            try:
                with np.errstate(all="ignore"):
                    operation()
            except RefusedError:
                pass
        for view in self.views:
            np.asarray(view).sum()
        for pool in self.pools:
            pool.close()

    # Calls

    def call(self, function: Callable[..., Any], *arguments: Any, spoil: bool = True) -> Any:
        """Call with these arguments, or with one of them spoiled; return what it returns."""
        given = list(arguments)
        spoiled = spoil and given and self.random.random() < SPOILED
        if spoiled:
            at = self.random.randrange(len(given))
            given[at] = self.hostile(given[at])
            if self.random.random() < 0.05:
                given = given[:-1] if self.random.random() < 0.5 else [*given, None]
        try:
            result = function(*given)
        except (TypeError, ValueError) as error:
            if not spoiled and not isinstance(error, ValueError):
                raise AssertionError(f"{function} refused good types: {error}") from error
            self.refused += 1
            raise RefusedError from error
        except MemoryError:
            if not spoiled:
                raise
            self.refused += 1
            raise RefusedError from None
        self.accepted += 1
        if isinstance(result, np.ndarray):
            if self.random.random() < 0.2:
                self.views.append(result)
            np.asarray(result).sum()  # every number is there to be read
        return result

    def good(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call with arguments that cannot be refused."""
        try:
            return self.call(function, *arguments, spoil=False)
        except RefusedError as error:
            raise AssertionError(f"{function} refused what is fine") from error

    # Arguments

    def hostile(self, value: Any) -> Any:
        """Return something worse in place of an argument."""
        if self.random.random() < 0.15:
            return self.anything()
        if isinstance(value, np.ndarray):
            return self.hostile_array(value)
        if isinstance(value, np.random.BitGenerator):
            return self.random.choice((value.capsule, np.random.Generator(value), np.random.MT19937(1)))
        if isinstance(value, bool):
            return self.anything()
        if isinstance(value, int):
            return self.random.choice(
                (
                    -1,
                    0,
                    1,
                    value + 1,
                    value - 1,
                    2**31 - 1,
                    -(2**31),
                    2**31,
                    2**32,
                    2**62,
                    2**63 - 1,
                    2**63,
                    2**64 - 1,
                    2**64,
                    1.5,
                    "1",
                )
            )
        if isinstance(value, float):
            return self.random.choice(
                (0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e38, 1e39, 1e300, 1e-45, 1, "x")
            )
        if isinstance(value, list):
            what = self.random.randrange(7)
            if what == 0 or not value:
                return []
            changed = list(value)
            at = self.random.randrange(len(changed))
            if what == 1:
                changed[at] = self.hostile(changed[at])
            elif what == 2:
                changed.append(changed[at])
            elif what == 3:
                del changed[at]
            elif what == 4:
                changed.reverse()
            elif what == 5:
                return tuple(changed)
            else:
                changed[at] = self.anything()
            return changed
        return self.anything()

    def anything(self) -> Any:
        return self.random.choice(
            (
                None, 0, -1, 2**63, 1.5, "x", b"x", [], (), {}, object(), self.pools[0],
                self.any_network(),
                np.float32(1), np.zeros(3, np.float32), np.zeros((1, 4, 16), np.float32), [None],
                Ellipsis, self.rng, iter(()),
            )
        )  # fmt: skip

    def hostile_array(self, array: np.ndarray) -> Any:
        what = self.random.randrange(20)
        shape = array.shape
        if what == 0:
            return array.astype(
                self.random.choice(("f8", "f2", "i4", "u1", "c8", "?", ">f4", "O", "U3", "i8", ">i8", "u8"))
            )
        if what == 1:
            return np.asfortranarray(array)
        if what == 2:
            wide = np.repeat(array, 2, axis=self.random.randrange(array.ndim)) if array.ndim else array
            return wide[tuple(slice(None, None, 2 if w != n else None) for w, n in zip(wide.shape, shape, strict=True))]
        if what == 3:
            axis = self.random.randrange(array.ndim)
            return np.flip(array, axis)
        if what == 4:
            return array.T
        if what == 5:
            raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
            moved = raw.view(array.dtype).reshape(shape)
            moved[...] = array
            return moved
        if what == 6:
            fixed = array.copy()
            fixed.flags.writeable = False
            return fixed
        if what == 7:
            return np.broadcast_to(array[:1] if array.ndim and len(array) else array, shape)
        if what == 8 and array.size:
            strides = list(array.strides)
            strides[self.random.randrange(array.ndim)] = 0
            return as_strided(array, shape, strides)
        if what == 9:
            return np.zeros(
                [0 if i == self.random.randrange(array.ndim) else n for i, n in enumerate(shape)], array.dtype
            )
        if what == 10:
            return array.reshape(-1)
        if what == 11:
            return array[np.newaxis]
        if what in (12, 13):
            axis = self.random.randrange(array.ndim)
            pads = [(0, int(i == axis)) for i in range(array.ndim)]
            return np.pad(array, pads) if what == 12 else np.take(array, range(max(0, shape[axis] - 1)), axis)
        if what == 14:
            return array.tolist()
        if what == 15 and array.dtype.kind == "f":
            bad = array.copy()
            bad[self.rng.random(shape) < 0.3] = self.random.choice((np.nan, np.inf, -np.inf, 3e38, 1e-45))
            return bad
        if what == 15 and array.size:
            bad = array.copy()
            top = np.iinfo(array.dtype).max
            bad.reshape(-1)[self.random.randrange(array.size)] = self.random.choice(
                (0, top, top // 2, np.iinfo(array.dtype).min, bad.reshape(-1)[0])
            )
            return bad
        if what == 16 and array.ndim == 3:
            return as_strided(array, (self.random.choice((2**31, 2**40)), *shape[1:]), (0, *array.strides[1:]))
        if what == 17:
            return np.zeros((), array.dtype)
        if what == 18 and array.ndim == 3:
            return np.ascontiguousarray(array.transpose(0, 2, 1))
        return memoryview(np.ascontiguousarray(array)) if array.dtype.kind in "fiu" else array.tobytes()

    def floats(self, *shape: int) -> np.ndarray:
        return self.rng.normal(scale=0.5, size=shape).astype(np.float32)

    def pool(self) -> Any:
        return self.random.choice(self.pools)

    def bits(self) -> Any:
        return self.random.choice(self.generators)

    def any_network(self) -> Any:
        if not self.networks:
            self.new_network()
        return self.random.choice(self.networks + self.targets).core

    def network(self) -> Any:
        if not self.networks:
            self.new_network()
        return self.random.choice(self.networks)

    def new_network(self, sizes: list[int] | None = None) -> Any:
        if sizes is None:
            few = (1, 2, 3, 5, 16, 17, 31, 64, 65)
            sizes = [self.random.choice(few) for _ in range(self.random.choice((2, 3, 4)))]
            if self.random.random() < 0.2:
                sizes[self.random.randrange(len(sizes))] = self.random.choice((130, 200, 300))
        densities = [self.random.choice(cases.DENSITIES) for _ in sizes[1:]]
        network = cases.random_network(sizes, densities, self.rng, heights=self.heights(len(densities)))
        network.workspace = _core.Workspace(network.core)
        network.given = None  # what its last forward pass was of
        self.networks = [*self.networks[-5:], network]
        return network

    def heights(self, depth: int) -> list[int]:
        """Heights of blocks, with no blocks in half of the layers."""
        return [self.random.choice((1, 1, 1, 4, 8, self.random.randrange(2, 8))) for _ in range(depth)]

    def batch(self, features: int) -> np.ndarray:
        rows = self.floats(self.random.choice((1, 2, 16, 17, 100, 129, 300)), features)
        if self.random.random() < 0.3:
            return cases.slice_of_wider(cases.tiles_with_rubbish(rows, self.rng), self.rng)
        return pack(rows)

    def after_forward(self) -> tuple[Any, np.ndarray]:
        network = self.network()
        x = network.given
        if x is None or x.shape[1] != network.sizes[0] or self.random.random() < 0.4:
            x = self.batch(network.sizes[0])
            self.good(_core.forward, self.pool(), [network.workspace], x)
            network.given = x
        return network, x

    def twins(self) -> list[Any]:
        """Networks that take the same inputs and have the same outputs."""
        first = self.network()
        count = self.random.choice((1, 2, 2, 3))
        return [first, *(self.new_network(list(first.sizes)) for _ in range(count - 1))]

    def adam(self) -> tuple[float, ...]:
        return (1e-3, 0.9, 0.999, 1e-8, self.random.choice((0.0, 1e-3)))

    def finite(self, *arrays: np.ndarray) -> None:
        for array in arrays:
            if not np.isfinite(array).all():
                raise AssertionError("good numbers became numbers that are not finite")

    # Operations

    def do_new_network(self) -> None:
        self.new_network()

    def do_construct(self) -> None:
        n_in, n_out, last = (self.random.choice((1, 3, 17)) for _ in range(3))
        places = self.rng.permutation(n_in * n_out)[: self.random.randrange(n_in * n_out + 1)].astype(np.int64)
        sparse = ["linear", "a", [0], {"n_out": n_out, "bias": 1.0}, "unstructured", places, self.floats(len(places))]
        dense = ["linear", "b", [1], {"n_out": last, "bias": 0.0}, "dense", None, self.floats(n_out * last)]
        if self.random.random() < SPOILED:
            at = self.random.randrange(7)
            sparse[at] = self.hostile(sparse[at])
            with contextlib.suppress(TypeError, ValueError, MemoryError):
                _core.Network(n_in, [tuple(sparse), tuple(dense)])
            return
        made = self.call(_core.Network, n_in, [tuple(sparse), tuple(dense)], self.random.random() < 0.7)
        self.call(made.places, "a")

    def do_construct_huge(self) -> None:
        sizes = self.random.choice(
            (
                [2**24 - 1, 2**24 - 1],
                [2**24, 2**24],
                [2**31 - 1, 2**31 - 1],
                [2**31 - 1, 1],
                [1, 2**31 - 1],
                [2**20, 3],
                [3, 2**20],
                [2**16, 2**16, 2**16],
            )
        )
        count = len(sizes) - 1
        places = [np.array([self.random.choice((0, 1, sizes[i] * sizes[i + 1] - 1))]) for i in range(count)]
        layers = [
            ("linear", str(i), [i], {"n_out": n, "bias": 1.0}, "unstructured", places[i], np.ones(1, np.float32))
            for i, n in enumerate(sizes[1:])
        ]
        made = self.call(_core.Network, sizes[0], layers, self.random.random() < 0.5)
        self.call(made.places, "0")

    def do_again(self) -> None:
        """Construct an object twice, or not at all."""
        kind = self.random.choice((_core.Network, _core.Pool, _core.TargetUpdate, _core.Workspace))
        blank = kind.__new__(kind)
        function = {
            _core.Network: lambda o: o.dense("output"),
            _core.Workspace: lambda o: o.output(),
            _core.Pool: lambda o: o.threads,
            _core.TargetUpdate: lambda o: o.stale(),
        }[kind]
        try:
            function(blank)
        except (TypeError, ValueError):
            pass
        else:
            raise AssertionError("an object that was never made answers")
        with contextlib.suppress(TypeError, ValueError):
            self.pool().__init__(2)

    def do_forward(self) -> None:
        networks = self.twins()
        x = self.batch(networks[0].sizes[0])
        for network in networks:
            network.given = None
        self.call(_core.forward, self.pool(), [n.workspace for n in networks], x)
        for network in networks:
            self.call(network.workspace.output)  # refused if a hostile list left it out

    def do_backward(self) -> None:
        network, x = self.after_forward()
        gradient = self.floats(len(x), network.sizes[-1], x.shape[2])
        start = self.random.choice((-1, 0, network.sizes[0] - 1))
        self.call(_core.backward, self.pool(), [network.workspace], x, [gradient], self.random.random() < 0.8, start)
        if start >= 0:
            self.call(network.workspace.input_gradient)

    def do_step(self) -> None:
        network, x = self.after_forward()
        gradient = self.floats(len(x), network.sizes[-1], x.shape[2])
        self.call(_core.step, self.pool(), [network.workspace], x, [gradient], *self.adam())

    def do_regress(self) -> None:
        networks = self.twins()
        if networks[0].sizes[-1] != 1:
            networks = [self.new_network([networks[0].sizes[0], 17, 1]), self.new_network([networks[0].sizes[0], 3, 1])]
        x = self.batch(networks[0].sizes[0])
        shape = (len(x), 1, x.shape[2])
        errors = [np.zeros(shape, np.float32) for _ in networks]
        workspaces = [n.workspace for n in networks]
        for network in networks:
            network.given = None
        self.call(
            _core.regress, self.pool(), workspaces, x, self.floats(*shape), self.floats(*shape), errors, *self.adam()
        )

    def do_adam(self) -> None:
        workspaces = [n.workspace for n in {id(n): n for n in self.twins()}.values()]
        if self.random.random() < 0.7:
            for workspace in workspaces:
                self.call(workspace.gradient, "output", self.random.choice(("values", "bias")))
            self.call(workspaces[0].clip, self.random.choice((1e-3, 1.0)))
        self.call(_core.adam, self.pool(), workspaces, *self.adam())

    def do_rewire(self) -> None:
        network = self.network()
        index = self.random.randrange(len(network.layers))
        layer = network.layers[index]
        places, total = layer.places(), layer.shape[0] * layer.shape[1]
        what = self.random.random()
        dropped = self.rng.permutation(len(places))[: self.random.randrange(len(places) + 1)].astype(np.int64)
        free = np.setdiff1d(np.arange(total), places)
        grown = self.rng.permutation(free)[: self.random.randrange(len(free) + 1)].astype(np.int64)
        if what < 0.15:
            dropped, grown = np.arange(len(places)), grown[:0]  # to nothing
        elif what < 0.3:
            dropped, grown = dropped[:0], free.astype(np.int64)  # to all
        if layer.dense and len(grown):
            grown = grown[:0]
        if layer.height > 1 and self.random.random() < 0.8:  # whole blocks; else likely parts of some
            n_in = layer.shape[1]

            def block(place: np.ndarray) -> np.ndarray:
                return place // n_in // layer.height * n_in + place % n_in

            dropped = np.flatnonzero(np.isin(block(places), block(places[dropped]))).astype(np.int64)
            grown = free[np.isin(block(free), block(grown))].astype(np.int64)
        self.call(network.core.rewire, layer.name, dropped, grown)
        after = network.layers[index].places()
        if len(after) and (len(np.unique(after)) != len(after) or after.min() < 0 or after.max() >= total):
            raise AssertionError("a rewiring left impossible places")
        whole = np.zeros(layer.shape[0] * layer.shape[1], dtype=bool)
        whole[after] = True
        for rows in np.split(whole.reshape(layer.shape), range(layer.height, layer.shape[0], layer.height)):
            if (rows != rows[0]).any():
                raise AssertionError("a rewiring left a part of a block")

    def do_set_values(self) -> None:
        network = self.random.choice([*self.networks, *self.targets]) if self.networks else self.network()
        layer = self.random.choice(network.layers)
        array = self.random.choice(("values", "bias"))
        count = len(network.core.values(layer.name, array))
        self.call(network.core.set_values, layer.name, array, self.floats(count))

    def do_act(self) -> None:
        network = self.random.choice([self.network(), *self.targets])
        x = self.floats(network.sizes[0])
        if self.random.random() < 0.5:
            self.call(network.core.act, x)
        else:
            self.call(
                network.core.act_squashed,
                x,
                self.random.choice((None, self.bits())),
                self.random.choice((0.0, 0.1, 10.0)),
            )

    def do_look(self) -> None:
        core = self.any_network()
        operation = self.random.choice(("hidden1", "hidden2", "output", "relu1", ""))
        if self.random.random() < 0.5:
            names = ("dense", "format", "connections", "version", "places")
            self.call(getattr(core, self.random.choice(names)), operation)
        else:
            names = ("values", "writable_values", "first_moment", "second_moment", "born")
            self.call(getattr(core, self.random.choice(names)), operation, self.random.choice(("values", "bias", "no")))

    def do_look_at_passes(self) -> None:
        workspace = self.network().workspace
        self.call(self.random.choice((workspace.output, workspace.input_gradient, workspace.norm)))
        self.call(workspace.value, self.random.choice(("hidden1", "relu1", "output", "")))

    def do_predict(self) -> None:
        network = self.random.choice([self.network(), *self.targets])
        self.call(network.core.predict, self.batch(network.sizes[0]))

    def do_update_statistics(self) -> None:
        self.call(self.network().workspace.update_statistics)

    def do_write(self) -> None:
        """Write into memory that is shared: a moment, a bias, an output, a birth."""
        network = self.network()
        array = self.random.choice(("values", "bias"))
        views = (
            (network.core.first_moment, "output", array),
            (network.core.second_moment, "output", array),
            (network.core.writable_values, "output", "bias"),
            (network.core.born, "output", array),
            (network.workspace.gradient, "output", array),
        )
        view = self.call(*self.random.choice(views), spoil=False)
        if view.dtype == np.uint32:
            view[: len(view) // 2] = self.random.choice((0, 1, 2**32 - 1, 2**31))
        else:
            view[...] = self.floats(*view.shape) ** 2

    def do_dense_gradient(self) -> None:
        network, x = self.after_forward()
        self.call(network.workspace.dense_gradient, self.random.choice(network.layers).name, x)

    def do_count_ages(self) -> None:
        self.call(self.any_network().count_ages)

    def do_steps(self) -> None:
        core = self.any_network()
        given = self.random.choice((0, 1, 1000, 2**31, 2**32, 2**53 - 1, 2**53, 2**63 - 1, 2**63, -1, None, 1.5))
        try:
            core.steps = given
            self.accepted += 1
        except (TypeError, ValueError):
            self.refused += 1

    def do_minimum(self) -> None:
        networks = self.twins()
        x = self.batch(networks[0].sizes[0])
        for network in networks:
            self.good(_core.forward, self.pool(), [network.workspace], x)
            network.given = x
        outputs = [n.workspace.output() for n in networks]
        shape = outputs[0].shape
        scale, offset, out = self.floats(*shape), self.floats(*shape), np.zeros(shape, np.float32)
        self.call(_core.minimum, outputs, 0.9, scale, offset, out)

    def do_squash(self) -> None:
        network, _ = self.after_forward()
        raw = network.workspace.output()
        out = np.zeros_like(raw)
        noise = self.random.choice((None, self.bits()))
        self.call(_core.squash, raw, out, noise, 0.2, self.random.choice((0.5, 1.0)))

    def do_gaussian(self) -> None:
        network = self.new_network([self.random.choice((1, 5, 17)), self.random.choice((2, 4, 6, 34))])
        x = self.batch(network.sizes[0])
        self.good(_core.forward, self.pool(), [network.workspace], x)
        raw = network.workspace.output()
        tiles, features, width = raw.shape
        small, one = (tiles, features // 2, width), (tiles, 1, width)
        out, noise, log = (np.zeros(shape, np.float32) for shape in (small, small, one))
        self.call(_core.sample_squashed_gaussian, raw, out, noise, log, self.bits())
        gradient = np.zeros((tiles, features, width), np.float32)
        self.call(_core.squashed_gaussian_gradient, raw, out, noise, self.floats(*small), self.floats(*one), gradient)

    def do_squash_gradient(self) -> None:
        shape = (self.random.choice((1, 2)), self.random.choice((1, 3)), self.random.choice((0, 1, 5, 16)))
        self.call(_core.squash_gradient, self.floats(*shape), self.floats(*shape))

    def do_normal(self) -> None:
        # A large count is just a lot of work and memory, so it is not made hostile here.
        drawn = self.good(_core.normal, self.bits(), self.random.choice((0, 1, 31, 32, 33, 1000)))
        self.finite(drawn)

    def do_huge_sizes(self) -> None:
        huge = self.random.choice((2**61, 2**62, 2**63, 2**64 - 1, 2**64 - 31, 2**62 + 16))
        what = self.random.randrange(3)
        if what == 0:
            self.spoiled(_core.normal, self.bits(), huge)
        elif what == 1:
            sizes = [1, 1, 16]
            sizes[self.random.randrange(2)] = huge
            self.spoiled(_core.empty_tiles, *sizes)
        else:
            rows, out = self.floats(6, 5), np.zeros((1, 5, 16), np.float32)
            sizes = [0, 6, 3, 2, 0.9, 1]
            sizes[self.random.choice((0, 1, 2, 5))] = huge
            first, live, count, steps, gamma, observation = sizes
            ends = np.zeros(6, np.uint8)
            self.spoiled(
                _core.sample_windows, self.bits(), rows, ends, first, live, count, steps, gamma, observation, [out]
            )

    def spoiled(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call with arguments that must be refused."""
        try:
            function(*arguments)
        except (TypeError, ValueError, MemoryError):
            self.refused += 1
            return
        raise AssertionError(f"{function} took {arguments[1:]}")

    def do_empty_tiles(self) -> None:
        shape = (self.random.choice((0, 1, 3)), self.random.choice((0, 1, 9)), self.random.choice(WIDTHS))
        at = self.random.randrange(6)
        given = [self.random.choice((-1, 17, None, 1.5, 144)) if i == at else n for i, n in enumerate(shape)]
        self.call(_core.empty_tiles, *given, spoil=False) if at >= 3 else self.call_any(_core.empty_tiles, *given)

    def call_any(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call with arguments that may be refused by their types."""
        try:
            function(*arguments)
            self.accepted += 1
        except (TypeError, ValueError):
            self.refused += 1

    def ring(self) -> tuple[np.ndarray, list[np.ndarray], int]:
        """Rows, tiles for their columns, and a batch that fits."""
        parts = [self.random.choice((1, 2, 5, 17)) for _ in range(self.random.choice((1, 2, 3)))]
        tiles, width = self.random.choice((1, 2, 3)), self.random.choice(WIDTHS)
        outs = [np.zeros((tiles, part, width), np.float32) for part in parts]
        return self.floats(self.random.choice((1, 7, 200)), sum(parts)), outs, self.random.randrange(tiles * width + 1)

    def do_gather_rows(self) -> None:
        rows, outs, count = self.ring()
        index = self.rng.integers(len(rows), size=count)
        self.call(_core.gather_rows, rows, index, outs)

    def do_gather_odd(self) -> None:
        """Gather into tiles of any shape at all."""
        tiles, features, width = (self.random.choice((0, 1, 2, 3, 6, 16, 20)) for _ in range(3))
        out = np.zeros((tiles, features, width), np.float32)
        rows = self.floats(5, features)
        index = self.rng.integers(5, size=self.random.randrange(tiles * width + 1))
        self.call(_core.gather_rows, rows, index, self.random.choice(([out], [])))

    def do_sample_rows(self) -> None:
        rows, outs, count = self.ring()
        live = self.random.randrange(1, len(rows) + 1)
        self.call(
            _core.sample_rows, self.pool(), self.bits(), rows, self.random.randrange(len(rows)), live, count, outs
        )

    def do_sample_windows(self) -> None:
        size, action = self.random.choice((1, 3)), self.random.choice((0, 1, 2))
        rows = self.floats(self.random.choice((1, 9, 50)), 2 * size + action + 2)
        width = self.random.choice(WIDTHS)
        outs = [np.zeros((2, size + action, width), np.float32), np.zeros((2, size + 2, width), np.float32)]
        ends = self.rng.integers(2, size=len(rows)).astype(np.uint8)
        count, live = self.random.randrange(2 * width + 1), self.random.randrange(1, len(rows) + 1)
        first, steps = self.random.randrange(len(rows)), self.random.choice((1, 2, 5, 2**31 - 1))
        self.call(_core.sample_windows, self.bits(), rows, ends, first, live, count, steps, 0.99, size, outs)

    def do_pool(self) -> None:
        what = self.random.randrange(4)
        if what == 0:
            self.pools = [*self.pools[-3:], self.good(_core.Pool, self.random.choice((1, 2, 3, 4)))]
        elif what == 1:
            self.call_any(_core.Pool, self.random.choice((0, -1, 257, 2**31, None, 1.5)))
        elif what == 2:
            pool = self.pool()
            self.call_any(pool.use, self.random.choice((1, 2, pool.threads, 0, -1, 5, None)))
        elif self.random.random() < 0.3:
            self.pool().close()  # later work is done by the caller

    def do_instruction_set(self) -> None:
        self.good(_core.use_instruction_set, self.random.choice(_core.available_instruction_sets()))
        self.call_any(_core.use_instruction_set, self.random.choice(("none", "", None, 3)))

    def do_target(self) -> None:
        from rewirl.nn import TargetNetwork

        online = self.network()
        target = TargetNetwork(online)
        self.targets = [*self.targets[-3:], target]
        self.updates = [*self.updates[-3:], target.link]

    def do_hostile_target(self) -> None:
        networks = [*self.networks, *self.targets] or [self.network()]
        one, other = self.random.choice(networks), self.random.choice(networks)
        stale = self.random.choice(([], [True] * len(one.layers), [False], [None], None))
        try:
            made = _core.TargetUpdate(one.core, other.core, stale)
            self.updates.append(made)
            self.accepted += 1
        except (TypeError, ValueError):
            self.refused += 1

    def do_update_targets(self) -> None:
        if self.updates:
            some = self.random.sample(self.updates, self.random.randrange(1, len(self.updates) + 1))
            self.call(_core.update_targets, self.pool(), some, self.random.choice((0.005, 0.5, 1.0)))
            self.call(some[0].stale)

    def do_reference(self) -> None:
        """A network of its own against the float64 reference: forward, gradients, and that all numbers are finite."""
        sizes = [self.random.choice((1, 3, 17, 64, 130)) for _ in range(self.random.choice((2, 3)))]
        densities = [self.random.choice(cases.DENSITIES) for _ in sizes[1:]]
        network = cases.random_network(sizes, densities, self.rng, heights=self.heights(len(densities)))
        rows = self.floats(self.random.choice((1, 17, 100, 129)), sizes[0])
        x = cases.tiles_with_rubbish(rows, self.rng)
        ensemble = Ensemble([network], self.pool())
        weights, masks, biases = cases.matrices(network)
        activations = reference.forward(weights, biases, rows.astype(np.float64))
        bounds = cases.forward_bounds(weights, biases, activations)
        output = ensemble.forward(x)[0]
        cases.assert_within(reference.unpack(output, len(rows)), activations[-1], bounds[-1])
        pull = self.floats(len(rows), sizes[-1])
        (inputs,) = ensemble.backward(x, [pack(pull)], inputs_from=0)
        kept = [ensemble.value(0, layer.name) for layer in network.layers]
        inner = [activations[0], *(reference.unpack(value, len(rows)) for value in kept)]
        of_weights, of_biases, of_inputs = reference.backward(weights, masks, inner, pull.astype(np.float64))
        limits = cases.backward_bounds(weights, inner, pull)
        for index, (layer, (connections, biases)) in enumerate(
            zip(network.layers, cases.gradients(ensemble), strict=True)
        ):
            found = reference.matrix(layer.shape, layer.places(), connections)
            cases.assert_within(found, of_weights[index], np.where(masks[index], limits[0][index], 0))
            cases.assert_within(biases, of_biases[index], limits[1][index])
        cases.assert_within(reference.unpack(inputs, len(rows)), of_inputs, limits[2])
        ensemble.adam(1e-3, 1e-3)
        for layer in network.layers:
            self.finite(layer.values, layer.bias, *layer.moments)
        self.accepted += 4
