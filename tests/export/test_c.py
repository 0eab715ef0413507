"""Policies as C: it compiles without a warning and acts as the policy does, whatever the policy is made of."""

from __future__ import annotations

import errno
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from policies import BOX, CHOICES, INPUT, STREAMS, about, discrete, every_operation, policy_of, trained, wide

from rewirl.agents import Policy
from rewirl.agents.normalisation import Statistics
from rewirl.environments.action_bounds import ActionBounds
from rewirl.environments.actions import DiscreteActions
from rewirl.export import c_code, compiled, interpret, parity
from rewirl.export.buffers import Buffers
from rewirl.export.c_code import c_files
from rewirl.export.plan import plan_of
from rewirl.export.weights import weights_of
from rewirl.nn import Linear, Network
from rewirl.storage import pretrained
from rewirl.topology.structure import structure_of
from rewirl.training.trained_policy import TrainedPolicy

EXACT = 1e-5
"""Of half the range of an action, for policies whose outputs are of the order of 1."""

pytestmark = pytest.mark.skipif(compiled.compiler() is None, reason="there is no C compiler")


def run(policy, plan, tanh="libm"):
    files = c_files(plan, "policy", tanh)
    return parity.compare(policy, lambda given: compiled.run(files, plan, "policy", given, compiled.STRICT), "C", plan)


@pytest.mark.parametrize("structure", ["dense", "unstructured", "4x1", "8x1"])
@pytest.mark.parametrize("agent", ["td3", "sac", "simba", "xqc", "crossq", "ppo"])
def test_c_acts_as_the_policy_of_every_agent(agent, structure):
    policy = policy_of(agent, structure)
    plan = plan_of(policy)
    done = run(policy, plan)
    assert done.difference < EXACT, done
    stored = {len(step.weights.rows) for step in plan.steps if hasattr(step, "weights")}
    assert stored == {0} if structure == "dense" else max(stored) > 0


@pytest.mark.parametrize("policy", STREAMS)
def test_it_acts_as_the_policies_of_stream_x(policy):
    done = run(policy, plan_of(policy))
    assert done.others == 0 if done.difference is None else done.difference < 1e-5


@pytest.mark.parametrize("structure", ["unstructured", "8x1"])
@pytest.mark.parametrize("made", [discrete, partial(policy_of, "dqn"), partial(policy_of, "ppo", actions=CHOICES)])
def test_numbered_actions(made, structure):
    policy = made(structure)
    done = run(policy, plan_of(policy))
    assert done.others == 0
    chosen = set(interpret.act(plan_of(policy), parity.observations(plan_of(policy))).tolist())
    assert len(chosen) > 1 and chosen <= set(range(CHOICES.start, CHOICES.start + CHOICES.size))


@pytest.mark.parametrize("tanh", ["libm", "table"])
def test_every_operation_and_both_ways_to_tanh(tanh):
    policy = every_operation()
    assert run(policy, plan_of(policy), tanh).difference < EXACT


def test_the_table_needs_no_library():
    policy = policy_of("simba", "unstructured")
    source = without_comments(c_files(plan_of(policy), "policy", "table").source)
    assert "math.h" not in source and "tanhf" not in source and "sqrt" not in source


def test_the_header_says_to_link_where_a_library_is_needed():
    plan, numbered = plan_of(policy_of("td3", "unstructured")), plan_of(policy_of("dqn", "unstructured"))
    assert "link with -lm" in c_files(plan, "policy", "libm").header
    assert "-lm" not in c_files(plan, "policy", "table").header + c_files(numbered, "policy", "libm").header


def test_observations_are_normalised_inside():
    policy = policy_of("td3", "unstructured")
    rng = np.random.default_rng(0)
    statistics = Statistics(INPUT)
    for _ in range(50):
        statistics.add(rng.normal(300, 5, size=INPUT).astype(np.float32))
    normalised = trained(Policy(policy.actor.actor, BOX.size, statistics=statistics), BOX)
    plan = plan_of(normalised)
    assert abs(parity.observations(plan).mean() - 300) < 5 and 4 < parity.observations(plan).std() < 6
    assert run(normalised, plan).difference < EXACT


def test_the_table_is_as_near_as_it_says():
    network = Network(1, [Linear("a", n_out=1)], {}, {"a.values": np.ones(1, np.float32)})
    plan = plan_of(trained(Policy(network), ActionBounds([-1.0], [1.0])))
    given = np.linspace(-12, 12, 5001, dtype=np.float32)[:, np.newaxis]
    found = compiled.run(c_files(plan, "policy", "table"), plan, "policy", given, compiled.STRICT)
    assert abs(found - np.tanh(given.astype(np.float64))).max() < 3e-7


def test_indices_that_just_do_not_fit_into_a_byte():
    """There are 256 connections, and the last is of input 256."""
    rng = np.random.default_rng(0)
    places = np.append(np.sort(rng.choice(3 * 257 - 1, 255, replace=False)), 3 * 257 - 1)
    values = {"a.values": rng.normal(size=256).astype(np.float32) / 8}
    policy = trained(Policy(Network(257, [Linear("a", n_out=3)], {"a": places}, values)), BOX)
    assert run(policy, plan_of(policy)).difference < EXACT


@pytest.mark.parametrize(
    "policy",
    [every_operation(), policy_of("ppo", "unstructured"), policy_of("simba", "8x1")],
    ids=["all", "ppo", "8x1"],
)
def test_the_arrays_act_as_the_policy_without_a_compiler(policy):
    plan = plan_of(policy)
    assert parity.compare(policy, partial(interpret.act, plan), "NumPy", plan).difference < EXACT


def test_a_file_says_where_it_is_from_and_what_it_takes():
    files = c_files(plan_of(every_operation()), "policy", "table")
    working = 4 * sum(map(int, re.findall(r"static float buffer\d+\[(\d+)\]", files.source)))
    matrices, vectors = 12 * INPUT + 12 * 12, 12 + 12 + 2 * 12  # a bias, a parameter, a mean and a factor
    takes = f"constants: {4 * (matrices + vectors)} bytes of the network; working memory: {working} bytes, static; "
    for text in files:
        assert f"{takes}{matrices} multiply-adds" in text
        assert "td3 in Somewhere-v0, trained for 100 steps, seed 1\n" in text


def test_int8_weights_are_the_nearest_steps_to_the_largest_of_their_row():
    values = np.float32([0.5, -2.54, 0.013, 1, -0.4])
    weights = weights_of((2, 3), np.array([0, 1, 2, 4, 5]), values, 1, True, 1.0)
    assert weights.scales == pytest.approx([0.02, 1 / 127])
    assert weights.stored()[2].tolist() == [25, -127, 1, 127, -51]
    assert (weights.products, weights.bytes) == (5, 5 + 5 + 2 + 8)  # values, columns, ends and scales
    blocks = weights_of((2, 3), np.array([0, 3, 2, 5]), values[:4], 2, False, 1.0)
    assert (blocks.products, blocks.bytes) == (4, 4 * 4 + 2 + 1)


def test_other_actions_are_noticed_and_ties_are_none():
    policy, box = discrete("unstructured"), policy_of("td3", "unstructured")
    plan, of_box = plan_of(policy), plan_of(box)
    acts = interpret.act(plan, parity.observations(plan))
    wrong = acts.copy()
    wrong[:7] = (acts[:7] - CHOICES.start + 1) % CHOICES.size + CHOICES.start
    assert parity.compare(policy, lambda given: wrong, "", plan).others == 7
    nothing = {"a.values": np.zeros(CHOICES.size * INPUT, np.float32)}
    network = Network(INPUT, [Linear("a", n_out=CHOICES.size)], {}, nothing)
    assert parity.compare(trained(Policy(network, head="greedy"), CHOICES), lambda given: acts, "", plan).others == 0
    done = parity.compare(box, lambda given: np.full((len(given), BOX.size), np.nan), "", of_box)
    assert not done.within and done.difference == np.inf


def test_of_equal_outputs_the_first_is_chosen():
    nothing = {"a.values": np.zeros(CHOICES.size * INPUT, np.float32)}
    policy = trained(Policy(Network(INPUT, [Linear("a", n_out=CHOICES.size)], {}, nothing), head="greedy"), CHOICES)
    given, plan = np.ones((2, INPUT), np.float32), plan_of(policy)
    made = compiled.run(c_files(plan, "policy", "libm"), plan, "policy", given, compiled.STRICT)
    assert made.tolist() == policy.predict(given).tolist() == [CHOICES.start] * 2


def test_int8_is_smaller_and_c_computes_what_its_arrays_say():
    policy = policy_of("td3", "4x1")
    whole, small = plan_of(policy), plan_of(policy, int8=True)
    assert small.bytes < 0.5 * whole.bytes  # biases and scales are half of what is left
    given = parity.observations(small)
    files = c_files(small, "policy", "libm")
    by_c = compiled.run(files, small, "policy", given, compiled.STRICT)
    half = (BOX.high - BOX.low) / 2
    assert (abs(by_c - interpret.act(small, given)) / half).max() < EXACT
    assert 1e-5 < (abs(by_c - policy.spaces.actions.to_user(policy.act(given))) / half).max() < 0.1


def test_actions_never_leave_their_bounds():
    bounds = ActionBounds([-0.3, 1.0, 2.0], [0.1, 1.0, 2.3])
    network = Network(INPUT, [Linear("a", n_out=3)], {}, {"a.values": np.full(3 * INPUT, 50, np.float32)})
    policy = trained(Policy(network), bounds)
    plan = plan_of(policy)
    actions = compiled.run(c_files(plan, "policy", "libm"), plan, "policy", parity.observations(plan))
    assert bounds.contains(actions)
    assert np.array_equal(np.unique(actions[:, 1]), [1.0])


@pytest.mark.parametrize("name", pretrained.cards())
def test_trained_policies_are_as_near(name):
    """Outputs of those of MuJoCo reach 100, and are rounded before their tanh, in Rewirl too."""
    policy = TrainedPolicy.load(Path(name))
    done = run(policy, plan_of(policy))
    if done.difference is None:
        assert done.others == 0
    else:
        assert done.difference < EXACT
        assert done.own < 1e-4


def test_a_wide_and_wild_one_loses_little():
    """What is left is the rounding of single numbers: float32 has no more digits for them."""
    policy = wide(0.5)
    done = run(policy, plan_of(policy))
    assert done.difference < 1.5 * EXACT
    assert done.difference < done.own


@pytest.mark.parametrize("structure", ["dense", "unstructured", "8x1"])
def test_long_sums_are_compensated_and_may_overflow(structure, monkeypatch):
    rng = np.random.default_rng(3)
    mask = np.ones((1, 2000)) if structure == "dense" else rng.random((1, 2000)) < 0.6
    places = np.flatnonzero(np.repeat(mask, 8, axis=0))
    values = rng.normal(0, 3, len(places)).astype(np.float32)
    layer = Linear("a", n_out=8, height=8 if structure == "8x1" else 1)
    of_layer = {} if structure == "dense" else {"a": places}
    eight = ActionBounds([-1.0] * 8, [1.0] * 8)
    policy = trained(Policy(Network(2000, [layer], of_layer, {"a.values": values})), eight)
    compensated = run(policy, plan_of(policy)).difference
    huge = trained(
        Policy(Network(2000, [layer], of_layer, {"a.values": np.full(len(places), 1e37, np.float32)})), eight
    )
    ones = np.ones((1, 2000), np.float32)
    actions = compiled.run(c_files(plan_of(huge), "policy", "libm"), plan_of(huge), "policy", ones)
    assert np.array_equal(actions, np.ones((1, 8)))  # infinity, not NaN
    monkeypatch.setattr(c_code, "_STRETCH", 10_000)
    assert compensated < 0.75 * run(policy, plan_of(policy)).difference


@pytest.mark.parametrize("height", range(1, 9))
def test_rows_of_every_height_with_many_inputs(height):
    """Sums of more than a stretch are kept side by side, as many as there is room for."""
    rng = np.random.default_rng(height)
    shape = (8 + height, 100)
    spread = structure_of("8x1")
    assert spread is not None
    places = spread.draw(shape, 0.6, rng)
    values = {"a.values": rng.normal(size=len(places)).astype(np.float32) / 8}
    network = Network(100, [Linear("a", n_out=shape[0], height=8)], {"a": places}, values)
    policy = trained(Policy(network), ActionBounds([-1.0] * shape[0], [1.0] * shape[0]))
    assert run(policy, plan_of(policy)).difference < EXACT


def test_nan_is_told():
    network = Network(INPUT, [Linear("a", n_out=3)], {"a": np.arange(INPUT)}, {"a.values": np.ones(INPUT, np.float32)})
    given = np.full((1, INPUT), np.nan, np.float32)
    for policy in (trained(Policy(network), BOX), discrete("unstructured")):
        plan = plan_of(policy)
        made = compiled.run(c_files(plan, "policy", "table"), plan, "policy", given, compiled.STRICT)
        assert np.isnan(made).all() if policy.spaces.actions is BOX else made == np.iinfo(np.int64).min


@pytest.mark.parametrize("agent", ["simba", "stream-ac"])
def test_a_variance_that_overflows_acts_as_it_does_in_the_policy(agent):
    policy = policy_of(agent, "unstructured")
    given, plan = np.full((1, INPUT), 3e30, np.float32), plan_of(policy)
    made = compiled.run(c_files(plan, "policy", "libm"), plan, "policy", given, compiled.STRICT)
    assert np.allclose(made, policy.spaces.actions.to_user(policy.act(given)), atol=EXACT)


def test_files_that_cannot_be_written_are_no_fault_of_the_policy(monkeypatch):
    """The command says then that nothing was compared, and exports all the same."""

    def full(*_, **_given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    plan = plan_of(policy_of("td3", "unstructured"))
    with pytest.raises(compiled.NotRunError, match="cannot be written to: No space left on device; set TMPDIR"):
        compiled.run(c_files(plan, "policy", "table"), plan, "policy", np.zeros((1, INPUT), np.float32))


def test_a_header_of_another_export_is_refused():
    """The caller's arrays would have other sizes than those that are read and written."""
    policies = (policy_of("td3", "unstructured"), wide(0.5), discrete("unstructured"))
    plans = [plan_of(policy) for policy in policies]
    files = [c_files(plan, "policy", "libm") for plan in plans]
    for own, other, plan in zip(files, files[1:] + files[:1], plans, strict=True):
        given = np.zeros((1, plan.n_in), np.float32)
        compiled.run(own, plan, "policy", given)
        with pytest.raises(compiled.FailedError, match=r"policy\.h is of another export than policy\.c"):
            compiled.run(own._replace(header=other.header), plan, "policy", given)


def test_actions_that_no_exported_policy_can_have_are_refused():
    network = Network(INPUT, [Linear("a", n_out=3)], {}, {"a.values": np.ones(3 * INPUT, np.float32)})
    for start, size in ((2**63 - 3, 3), (-(2**63), 3)):
        with pytest.raises(ValueError, match="numbers beyond the 64 bits of an exported policy"):
            plan_of(trained(Policy(network, head="greedy"), DiscreteActions(size, start=start)))
    with pytest.raises(ValueError, match="the bounds of its actions are beyond float32"):
        plan_of(trained(Policy(network), ActionBounds([-1e39] * 3, [1e39] * 3, np.float64)))


def test_a_layer_without_connections():
    none = np.zeros(0, np.int64)
    network = Network(INPUT, [Linear("a", n_out=3)], {"a": none}, {"a.values": none.astype(np.float32)})
    policy = trained(Policy(network), BOX)
    assert run(policy, plan_of(policy)).difference == 0


def test_values_share_buffers_only_while_nobody_reads_them():
    """Every value is there, unchanged, at the step that reads it last."""
    for policy in (every_operation(), policy_of("simba", "unstructured"), policy_of("td3", "dense")):
        plan = plan_of(policy)
        buffers = Buffers.of(plan)
        holds = {}
        for index, step in enumerate(plan.steps):
            assert all(holds[buffers.places[read]] == read for read in step.reads if read)
            holds[buffers.places[index + 1]] = index + 1
            assert buffers.sizes[buffers.places[index + 1]] >= step.features
    assert len(buffers.sizes) == 2  # of an MLP
    simba = Buffers.of(plan_of(policy_of("simba", "unstructured")))
    assert sorted(simba.sizes) == [24, 24, 96]  # none grows where another one is large enough


ATTACKS = ("*/ int evil; /*", "??/\n*/", "\\\n*/ evil", "a\r\n*/", "\u202e*/", "*\\\n/", "x" * 10_000, "%s%n")


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_a_policy_is_no_code(attack):
    network = Network(
        INPUT,
        [Linear(attack.replace(".", ""), n_out=3)],
        {},
        {f"{attack}.values": np.ones(3 * INPUT, np.float32)},
    )
    hostile = trained(Policy(network), BOX, about(agent=attack, name=attack))
    plan = plan_of(hostile)
    files = c_files(plan, "policy", "libm")
    honest = trained(Policy(network), BOX)
    assert without_comments(files.source) == without_comments(c_files(plan_of(honest), "policy", "libm").source)
    assert files.source.isascii() and max(map(len, files.source.splitlines())) < 400
    assert run(hostile, plan).difference < EXACT


def without_comments(source):
    """C without its comments, as a compiler finds them: trigraphs first, then continued lines."""
    source = source.replace("??/", "\\").replace("\\\n", "")
    parts = source.split("/*")
    return parts[0] + "".join(part.partition("*/")[2] for part in parts[1:])
