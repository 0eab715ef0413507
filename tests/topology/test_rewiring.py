from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from rewirl.seeding import generator
from rewirl.topology import LayerState, Rule, TopologyConfig, make_rule, random_indices, rewire
from rewirl.topology.blocks import Blocks
from rewirl.topology.rules.set import SET
from rewirl.topology.structure import structure_of


def layer(shape, weights, indices=None):
    weights = np.asarray(weights, dtype=np.float32)
    indices = np.arange(len(weights)) if indices is None else np.asarray(indices)
    return LayerState(shape, indices.astype(np.int64), weights)


def set_rule(drop="paper"):
    return SET(TopologyConfig(drop=drop))


def dropped_weights(state, drop, fraction):
    rewiring = rewire(set_rule(drop), state, fraction, generator(0, "t"))
    return sorted(state.weights[rewiring.dropped].tolist())


@st.composite
def events(draw):
    """A random layer in random order, with exact zeros and equal weights in it, and an event."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    shape = (draw(st.integers(1, 20)), draw(st.integers(1, 20)))
    indices = rng.permutation(random_indices(shape, draw(st.floats(0, 1)), rng))
    weights = rng.normal(size=len(indices)).astype(np.float32)
    if draw(st.booleans()):
        weights = np.round(weights)  # ties and zeros
    weights *= draw(st.sampled_from([1, -1])) if draw(st.booleans()) else 1
    if draw(st.booleans()):
        weights = np.abs(weights)  # only one sign
    return LayerState(shape, indices, weights), draw(st.floats(0, 1))


@given(event=events(), drop=st.sampled_from(["paper", "code", "magnitude"]), regrow=st.booleans())
def test_an_event_keeps_the_number_of_connections_and_grows_elsewhere(event, drop, regrow):
    state, fraction = event
    before = set(state.indices.tolist())
    rewiring = rewire(set_rule(drop), state, fraction, generator(0, "t"), regrow_dropped=regrow)
    dropped = set(state.indices[rewiring.dropped].tolist())
    grown = set(rewiring.grown.tolist())
    assert rewiring.dropped.dtype == rewiring.grown.dtype == np.int64
    assert len(dropped) == len(rewiring.dropped) == len(rewiring.grown) == len(grown)
    assert (np.diff(rewiring.dropped) > 0).all()
    assert (np.diff(rewiring.grown) > 0).all()
    kept = before - dropped
    assert not grown & (kept if regrow else before)
    assert grown <= set(range(state.total))
    assert len(kept | grown) == len(before)


@given(event=events(), drop=st.sampled_from(["paper", "magnitude"]))
def test_the_fraction_is_dropped_as_far_as_there_is_room(event, drop):
    state, fraction = event
    count = int(fraction * len(state.indices))
    elsewhere = rewire(set_rule(drop), state, fraction, generator(0, "t"))
    assert len(elsewhere.dropped) == min(count, state.total - len(state.indices))
    anywhere = rewire(set_rule(drop), state, fraction, generator(0, "t"), regrow_dropped=True)
    assert len(anywhere.dropped) == count


@given(event=events())
def test_magnitude_drops_the_smallest(event):
    state, fraction = event
    dropped = rewire(set_rule("magnitude"), state, fraction, generator(0, "t"), regrow_dropped=True).dropped
    size = np.abs(state.weights)
    kept = np.delete(size, dropped)
    assert not len(dropped) or not len(kept) or size[dropped].max() <= kept.min()


@given(event=events())
def test_the_paper_drops_zeros_first_then_half_of_each_sign_from_zero_outwards(event):
    state, fraction = event
    rewiring = rewire(set_rule("paper"), state, fraction, generator(0, "t"), regrow_dropped=True)
    count = int(fraction * len(state.indices))
    w = state.weights
    positive, negative = np.sort(w[w > 0]), np.sort(-w[w < 0])
    zeros = min(count, int((w == 0).sum()))
    rest = count - zeros
    p = min((rest + 1) // 2, len(positive))
    n = min(rest - p, len(negative))
    p = rest - n
    wanted = np.sort(np.concatenate([np.zeros(zeros, np.float32), positive[:p], -negative[:n]]))
    np.testing.assert_array_equal(np.sort(w[rewiring.dropped]), wanted)


@given(event=events())
def test_the_code_drops_its_share_of_each_sign_and_every_zero(event):
    state, fraction = event
    w = state.weights
    rewiring = rewire(set_rule("code"), state, fraction, generator(0, "t"), regrow_dropped=True)
    gone = w[rewiring.dropped]
    for sign in (1, -1):
        one_sign = np.sort((sign * w)[sign * w > 0])
        np.testing.assert_array_equal(
            np.sort((sign * gone)[sign * gone > 0]), one_sign[: int(fraction * len(one_sign))]
        )
    assert (gone == 0).sum() == (w == 0).sum()


# Ten connections of a 4 x 5 layer: six positive, three negative, one zero.
TEN = [0.3, -0.2, 0.1, 0.9, 0.0, -0.8, 0.5, 0.05, -0.01, 0.7]


@pytest.mark.parametrize(
    ("drop", "fraction", "wanted"),
    [
        ("paper", 0.1, [0.0]),
        ("paper", 0.2, [0.0, 0.05]),  # the odd one is positive
        ("paper", 0.5, [-0.2, -0.01, 0.0, 0.05, 0.1]),  # zero, two of each sign
        ("paper", 0.9, [-0.8, -0.2, -0.01, 0.0, 0.05, 0.1, 0.3, 0.5, 0.7]),  # the negatives run out
        ("paper", 0.09, []),  # floor(0.9) = 0
        ("code", 0.5, [-0.01, 0.0, 0.05, 0.1, 0.3]),  # 3 of 6, 1 of 3, and the zero
        ("code", 0.05, [0.0]),  # whatever the fraction
        ("magnitude", 0.5, [-0.2, -0.01, 0.0, 0.05, 0.1]),
        ("magnitude", 0.3, [-0.01, 0.0, 0.05]),
    ],
)
def test_hand_worked_drops(drop, fraction, wanted):
    state = layer((4, 5), TEN)
    assert dropped_weights(state, drop, fraction) == np.asarray(wanted, dtype=np.float32).tolist()


def test_the_variants_differ_where_the_signs_do():
    weights = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, -1.0, -2.0]
    state = layer((4, 5), weights)
    assert dropped_weights(state, "paper", 0.5) == np.float32([-2.0, -1.0, 0.1, 0.2]).tolist()
    assert dropped_weights(state, "code", 0.5) == np.float32([-1.0, 0.1, 0.2, 0.3]).tolist()
    assert dropped_weights(state, "magnitude", 0.5) == np.float32([0.1, 0.2, 0.3, 0.4]).tolist()


def test_hand_worked_growth_fills_what_is_empty():
    state = layer((2, 3), [0.5, -0.4, 0.3, -0.2], indices=[5, 0, 2, 3])
    rewiring = rewire(set_rule(), state, 0.5, generator(0, "t"))
    assert rewiring.dropped.tolist() == [2, 3]
    assert rewiring.grown.tolist() == [1, 4]  # the only two free indices


def test_growth_is_limited_by_the_room_and_then_the_lowest_scores_go():
    state = layer((1, 5), [0.4, 0.3, 0.2, 0.1])
    rewiring = rewire(set_rule("magnitude"), state, 1.0, generator(0, "t"))
    assert rewiring.dropped.tolist() == [3]
    assert rewiring.grown.tolist() == [4]


def test_equal_weights_go_by_index_and_not_by_their_order():
    indices = np.array([7, 1, 5, 3])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        state = layer((2, 5), [0.5] * 4, indices=indices[order])
        for drop in ("paper", "code", "magnitude"):
            dropped = rewire(set_rule(drop), state, 0.5, generator(0, "t")).dropped
            assert sorted(state.indices[dropped].tolist()) == [1, 3]


def test_growth_may_come_back_only_when_told_to():
    state = layer((1, 4), [0.1, 0.2, 0.3])
    assert rewire(set_rule(), state, 1.0, generator(0, "t")).grown.tolist() == [3]
    seen = set()
    rng = generator(0, "t")
    for _ in range(200):
        seen.add(tuple(rewire(set_rule(), state, 0.34, rng, regrow_dropped=True).grown.tolist()))
    assert seen == {(0,), (3,)}


@pytest.mark.parametrize("regrow", [False, True])
def test_growth_is_uniform_over_the_indices_it_may_take(regrow):
    weights = np.arange(1, 11) * np.array([1, -1] * 5)
    state = layer((5, 4), weights, indices=[0, 2, 3, 7, 8, 11, 12, 13, 17, 19])
    rng = generator(11, "t")
    counts = np.zeros(20, dtype=int)
    for _ in range(6000):
        counts[rewire(set_rule(), state, 0.2, rng, regrow_dropped=regrow).grown] += 1
    allowed = np.setdiff1d(np.arange(20), state.indices)
    if regrow:
        allowed = np.union1d(allowed, [0, 2])  # those of the weights 1 and -2
    assert counts.sum() == counts[allowed].sum() == 12_000
    assert chisquare(counts[allowed]).pvalue > 1e-3


def test_the_same_stream_gives_the_same_event_and_the_state_is_left_alone():
    rng = np.random.default_rng(0)
    indices = rng.permutation(random_indices((30, 40), 0.3, rng))
    state = LayerState((30, 40), indices, rng.normal(size=len(indices)).astype(np.float32))
    state.indices.flags.writeable = state.weights.flags.writeable = False
    first, second = (rewire(set_rule(), state, 0.3, generator(4, "t")) for _ in range(2))
    np.testing.assert_array_equal(first.dropped, second.dropped)
    np.testing.assert_array_equal(first.grown, second.grown)


@given(event=events(), regrow=st.booleans())
def test_static_stays_static_and_draws_nothing(event, regrow):
    state, fraction = event
    rng = generator(0, "t")
    before = rng.bit_generator.state
    rewiring = rewire(make_rule("static", TopologyConfig(rule="static")), state, fraction, rng, regrow_dropped=regrow)
    assert len(rewiring.dropped) == len(rewiring.grown) == 0
    assert rng.bit_generator.state == before


def test_scores_of_infinity_overrule_the_fraction():
    class Marked(SET):
        def drop_score(self, state, fraction, rng):
            return np.where(state.weights > 1, np.inf, np.where(state.weights < -1, -np.inf, 0.0))

    marked = Marked(TopologyConfig())
    state = layer((3, 4), [2, 0, -2, -3, 3])
    assert rewire(marked, state, 0.0, generator(0, "t")).dropped.tolist() == [2, 3]
    assert rewire(marked, state, 1.0, generator(0, "t")).dropped.tolist() == [1, 2, 3]


@pytest.mark.parametrize("rule", ["set", "prune"])
def test_a_sparsity_that_rises_takes_the_smallest_weights_where_scores_are_infinite(rule):
    state = layer((10, 20), generator(4, "weights").normal(size=200).astype(np.float32))
    config = TopologyConfig(sparsity=0.9, initial_sparsity=0.0, rule=rule, drop="code")
    change = rewire(make_rule(rule, config), state, 0.05, generator(0, "rule"), connections=100)
    smallest = np.argsort(np.abs(state.weights))[:100]
    dropped = state.indices[change.dropped]
    assert len(dropped) == 100 and len(change.grown) == 0
    # The criterion's own share is of each sign by itself, so a few others go in place of some of the smallest.
    assert len(np.intersect1d(dropped, smallest)) >= 97


class Half(Rule):
    """The first half of the connections stays in any case."""

    def drop_score(self, state, fraction, rng):
        return np.where(np.arange(len(state.weights)) < len(state.weights) // 2, np.inf, np.abs(state.weights))

    def grow(self, state, occupied, count, rng):
        return np.setdiff1d(np.arange(state.total), occupied)[:count]


@pytest.mark.parametrize("structure", [None, Blocks(4)])
@pytest.mark.parametrize("fraction", [0.2, 0.5, 1.0])
def test_what_stays_in_any_case_stays_as_the_sparsity_rises(structure, fraction):
    indices = np.flatnonzero(np.tile(np.arange(40) < 20, (8, 1)))
    state = layer((8, 40), generator(5, "weights").normal(size=160).astype(np.float32), indices)
    change = rewire(Half(TopologyConfig()), state, fraction, generator(0, "rule"), connections=120, structure=structure)
    assert np.isin(np.arange(80), change.dropped).sum() == 0
    assert len(change.dropped) == 40 + len(change.grown)
    assert len(change.grown) == min(int(fraction * 160), 40)


@pytest.mark.parametrize(("structure", "height"), [(None, 1), (Blocks(4), 4)])
def test_as_many_of_what_stays_go_as_the_sparsity_asks_for_the_smallest_first(structure, height):
    of_groups = generator(6, "weights").normal(size=(2, 80)).astype(np.float32)
    state = layer((2 * height, 80), of_groups.repeat(height, axis=0).ravel())
    asked = 60 * height
    change = rewire(Half(TopologyConfig()), state, 0.5, generator(0, "rule"), connections=asked, structure=structure)
    largest = np.sort(np.argsort(np.abs(of_groups[0]))[20:])
    left = np.delete(state.indices, change.dropped)
    assert left.reshape(height, 60).tolist() == [(80 * row + largest).tolist() for row in range(height)]
    assert not len(change.grown)


def test_an_event_takes_memory_for_the_connections_only():
    rng = np.random.default_rng(0)
    indices = random_indices((4096, 4096), 0.01, rng)
    state = LayerState((4096, 4096), indices, rng.normal(size=len(indices)).astype(np.float32))
    tracemalloc.start()
    try:
        rewire(set_rule(), state, 0.3, generator(0, "t"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60 * len(indices)  # seven or so vectors of 8 bytes; a mask of bytes alone would have 100 a connection


class Faulty(SET):
    scores = None
    indices = None

    def drop_score(self, state, fraction, rng):
        return super().drop_score(state, fraction, rng) if self.scores is None else self.scores

    def grow(self, state, occupied, count, rng):
        return self.indices

    def grow_score(self, state, rng):
        return self.scores


@pytest.mark.parametrize(
    ("scores", "indices", "fault"),
    [
        ([0.0, 1.0], [5, 6], "one score per connection"),
        ([0.0, 1.0, 2.0, np.nan], [5, 6], "NaN"),
        (np.ones(4) * 1j, [5, 6], "drop_score must return real numbers, got complex128"),
        (["a"] * 4, [5, 6], "drop_score must return real numbers, got <U1"),
        ([[0.0], [1.0, 2.0]], [5, 6], "drop_score returned what is no array"),
        (None, [[5], [6, 7]], "grow returned what is no array"),
        (None, None, "2 indices as integers"),
        (None, [5], "2 indices as integers"),
        (None, [5, 6, 7], "2 indices as integers"),
        (None, [5.0, 6.0], "2 indices as integers"),
        (None, [5, 5], "twice"),
        (None, [5, 3], "occupied"),
        (None, [5, 12], r"in \[0, 12\)"),
        (None, [5, -1], r"in \[0, 12\)"),
    ],
)
def test_a_rule_that_would_break_the_topology_is_named(scores, indices, fault):
    faulty = Faulty(TopologyConfig())
    faulty.scores, faulty.indices = scores, indices
    with pytest.raises(ValueError, match=rf"Faulty.*{fault}"):
        rewire(faulty, layer((3, 4), [1, -1, 2, -2]), 0.5, generator(0, "t"))


@pytest.mark.parametrize("spread", ["unstructured", "constant-fan-in", "4x1"])
@pytest.mark.parametrize("regrow", [False, True])
def test_what_a_rule_writes_into_what_it_is_given_changes_no_event(spread, regrow):
    class Careless(SET):
        def drop_score(self, state, fraction, rng):
            scores = super().drop_score(state, fraction, rng)
            rows = state.indices
            rows //= state.shape[1]
            return scores

        def grow(self, state, occupied, count, rng):
            grown = super().grow(state, occupied, count, rng)
            occupied[:], state.indices[:] = 0, 0
            return grown

        def grow_score(self, state, rng):
            scores = super().grow_score(state, rng)
            state.indices[:] = 0
            return scores

    structure = structure_of(spread)
    indices = structure.draw((8, 6), 0.5, generator(0, "i")) if structure else np.arange(0, 48, 2)
    state = LayerState((8, 6), indices, generator(0, "w").normal(size=len(indices)).astype(np.float32))
    careless, careful = (
        rewire(kind(TopologyConfig(structure=spread)), state, 0.3, generator(0, "t"), regrow, structure=structure)
        for kind in (Careless, SET)
    )
    assert len(careful.grown) and careless.grown.tolist() == careful.grown.tolist()
    assert careless.dropped.tolist() == careful.dropped.tolist()


@pytest.mark.parametrize(
    ("state", "fraction", "fault"),
    [
        (layer((2, 3), [1, 2], indices=[1, 1]), 0.5, "distinct"),
        (layer((2, 3), [1, 2], indices=[1, 6]), 0.5, "distinct"),
        (layer((2, 3), [1, 2], indices=[-1, 3]), 0.5, "distinct"),
        (layer((2, 3), [1, 2]), 1.5, "fraction"),
        (layer((2, 3), [1, 2]), float("nan"), "fraction"),
    ],
)
def test_an_impossible_event_is_refused(state, fraction, fault):
    with pytest.raises(ValueError, match=fault):
        rewire(set_rule(), state, fraction, generator(0, "t"))


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_weights_that_are_not_finite_say_that_training_has_diverged(weight):
    with pytest.raises(FloatingPointError, match="not finite"):  # which the training loop reports as such
        rewire(set_rule(), layer((2, 3), [1, weight]), 0.5, generator(0, "t"))


def test_a_layer_state_of_unequal_vectors_is_refused():
    with pytest.raises(ValueError, match="one length"):
        LayerState((2, 2), np.arange(2), np.ones(3, dtype=np.float32))


class OwnRule(SET):
    pass


class WithoutConfig(SET):
    def __init__(self):
        pass


class Unfinished(Rule):
    def drop_score(self, state, fraction, rng):
        return np.zeros(len(state.indices))


class Several(SET):
    def __init__(self, config, *more, decay=0.5, **others):
        super().__init__(config, *more, **others)


class Settled(SET):
    def __init__(self, config, decay=0.5, sizes=()):
        super().__init__(config)
        if decay < 0:
            raise ValueError(f"decay must be at least 0, got {decay}")
        self.settings = decay, sizes


NO_SETTINGS = (
    "(",
    "(0.9)",
    "(a=b)",
    "(a=f())",
    "(a=1, a=2)",
    "(**{'a': 1})",
    "(a=1)(b=2)",
    "(a=1).b",
    "(a=1) + 1",
    "(a=1)#b",
    "(a=1) ",
)


def test_a_rule_of_ones_own_has_settings_in_its_name():
    for name, settings in {
        "": (0.5, ()),
        "()": (0.5, ()),
        "(decay=.25)": (0.25, ()),
        " ( sizes=(1, -2), decay=1 )": (1, (1, -2)),
        "(sizes=['a', {'b': None}])": (0.5, ["a", {"b": None}]),
    }.items():
        assert make_rule(f"{__name__}:Settled{name}", TopologyConfig()).settings == settings


def test_rules_are_found_by_name():
    config = TopologyConfig(drop="magnitude")
    rule = make_rule("set", config)
    assert type(rule) is SET and rule.config is config and rule.adapts
    assert not make_rule("static", config).adapts
    assert type(make_rule(f"{__name__}:OwnRule", config)) is OwnRule


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sett", "did you mean set"),
        ("SET", "did you mean set"),
        ("rigl9", "static, set, rigl, prune, wast, and package.module:Class"),
        ("", "package.module:Class"),
        ("no_such_package.rules:Mine", "cannot import 'no_such_package.rules'.* or run where no_such_package.py is"),
        (".rules:Mine", "cannot import"),
        ("rewirl.topology.rules.set:SETT", "did you mean SET"),
        ("rewirl.topology.rules.set:annotation", "has no 'annotation'$"),  # annotations are there, but no rule
        ("__main__:OfANotebook", "has no 'OfANotebook'; it is of another program: move it to a module of its own$"),
        ("rewirl.topology.config:TopologyConfig", "not a subclass"),
        ("rewirl.topology.rules.drop:halves", "not a subclass"),
        (f"{__name__}:Unfinished", "yet to define grow"),
        (f"{__name__}:WithoutConfig", r"made from the topology configuration alone, __init__\(self, config\)"),
        (f"{__name__}:Settled(depth=1)", "unexpected keyword argument 'depth'; its settings are decay, sizes$"),
        (
            f"{__name__}:Settled(decay=-1)",
            r"the rule '.*': decay must be at least 0, got -1 \(.*test_rewiring.py, line",
        ),
        (f"{__name__}:Settled(decay='much')", "making it raised TypeError: '<' not supported between .*line"),
        (f"{__name__}:OwnRule(decay=1)", "unexpected keyword argument 'decay'; it is made from the topology"),
        (f"{__name__}:Several(config=1)", "multiple values for argument 'config'; its settings are decay$"),
        ("set(decay=1)", "set has no settings of its own; drop and grow are options"),
        *(
            (f"mine:Rule{settings}", r"names with values, as in Python: mine:Rule\(decay=0.9")
            for settings in NO_SETTINGS
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_the_reason(name, message):
    with pytest.raises(ValueError, match=message):
        make_rule(name, TopologyConfig())


@pytest.mark.parametrize(("line", "raised"), [("1 / 0", "ZeroDivisionError"), ("raise SystemExit('no')", "SystemExit")])
def test_a_module_of_rules_that_cannot_be_imported_is_reported(line, raised, tmp_path, monkeypatch):
    (tmp_path / f"rules_of_{raised}.py").write_text(line + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=f"importing rules_of_{raised} raised {raised}"):
        make_rule(f"rules_of_{raised}:Mine", TopologyConfig())


def test_a_rule_that_does_not_adapt_is_not_even_asked():
    class Frozen(Faulty):
        adapts = False

    frozen = Frozen(TopologyConfig())
    frozen.scores = [np.nan]
    assert len(rewire(frozen, layer((3, 4), [1, -1]), 0.5, generator(0, "t")).dropped) == 0


def test_static_would_keep_every_connection_if_it_were_asked():
    static = make_rule("static", TopologyConfig())
    assert static.drop_score(layer((3, 4), [1, -1]), 1.0, generator(0, "t")).tolist() == [np.inf, np.inf]
