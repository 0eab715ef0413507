"""SimBa, XQC and CrossQ, rewired: exact resume, threads, what norms promise, and what their settings refuse."""

from __future__ import annotations

import numpy as np
import pytest
from experience import ACTION, OBSERVATION, bits, observations, random_replay, through_a_file

from rewirl.agents import AGENTS, Policy, make_agent
from rewirl.agents.temperature import Temperature
from rewirl.cli.inspection import describe
from rewirl.topology import TopologyConfig

SMALL = {
    "ds-simba": {"hidden_sizes": (24, 24), "actor_hidden_sizes": (16,)},
    "ds-simba, one critic": {"hidden_sizes": (24, 24), "actor_hidden_sizes": (16,), "n_critics": 1},
    "ds-xqc": {"hidden_sizes": (40, 33), "actor_hidden_sizes": (24, 24), "bins": 21},
    "ds-crossq": {"hidden_sizes": (40, 33), "actor_hidden_sizes": (24, 24)},
}


def make(kind, seed=0, threads=1, structure="unstructured", **changes):
    changes, kind = {**SMALL[kind], **changes}, kind.partition(",")[0]
    usual = AGENTS[kind].topology
    topology = TopologyConfig(
        sparsity=0.7, rule="set", drop=usual.drop, structure=structure, adapt_every=3, adapt_fraction=0.2
    )
    settings = {"batch_size": 40, "topology": topology, **changes}
    return make_agent(kind, AGENTS[kind].config(**settings), OBSERVATION, ACTION, seed, threads)


def seen(agent, replay, first, last):
    """Tell an agent of the observations and rewards that a run would have acted on."""
    for row in range(first, last):
        agent.normalisation.observe(replay.observations[row])
        agent.normalisation.reward(float(replay.rewards[row, 0]), not replay.continues[row, 0])


@pytest.mark.parametrize("structure", ["unstructured", "8x1"])
@pytest.mark.parametrize("kind", SMALL)
def test_it_is_saved_and_goes_on_to_the_bit_with_any_number_of_threads(kind, structure):
    through, stopped = make(kind, structure=structure), make(kind, structure=structure)
    replays = [random_replay(), random_replay()]
    for agent, replay in zip((through, stopped), replays, strict=True):
        seen(agent, replay, 0, 50)
        for _ in range(7):
            agent.update(replay)
            agent.explore(observations(1)[0])
    resumed, replay = make(kind, seed=7, threads=2, structure=structure), random_replay(seed=8)
    resumed.load_state(*through_a_file(stopped.state()))
    replay.load_state(*through_a_file(replays[1].state()))
    for agent, memory in ((through, replays[0]), (resumed, replay)):
        seen(agent, memory, 50, 60)
        for _ in range(8):
            agent.update(memory)
    assert np.array_equal(through.explore(observations(1)[0]), resumed.explore(observations(1)[0]))
    assert bits(resumed) == bits(through)
    assert resumed.diagnostics() == through.diagnostics()
    assert resumed.diagnostics()["rewired"] > 0
    resumed.close()


@pytest.mark.parametrize("kind", SMALL)
def test_asking_for_diagnostics_changes_nothing(kind):
    asked, silent = make(kind), make(kind)
    replays = [random_replay(), random_replay()]
    for _ in range(7):
        for agent, replay in zip((asked, silent), replays, strict=True):
            agent.update(replay)
        told = asked.diagnostics()
    assert bits(asked) == bits(silent)
    assert all(np.isfinite(value) for value in told.values())
    assert 0 < told["temperature"] < 2 and told["critic1_loss"] > 0


def test_what_training_costs_counts_both_updates_of_a_step_and_both_halves_of_a_joint_batch():
    agent = make("ds-xqc")
    networks = agent.networks()
    critics = networks["critic1"].connections + networks["critic2"].connections
    actor = networks["actor"].connections
    # 60 steps: 120 updates of the critics with 80 samples, 40 of the actor with 40
    assert describe(agent, 60 + agent.config.learning_starts)["flops"] == 6 * 40 * (120 * 2 * critics + 40 * actor)


def test_a_single_critic_of_simba_is_all_that_is_made_and_counted():
    one, two = make("ds-simba, one critic"), make("ds-simba")
    names = [name for name in two.networks() if not name.endswith("critic2")]
    assert list(one.networks()) == names == ["actor", "critic1", "target_critic1"]
    expected = one.networks()["actor"].connections + one.networks()["critic1"].connections
    assert describe(one, 60 + one.config.learning_starts)["params"] == expected
    assert describe(one, 60 + one.config.learning_starts)["flops"] == 60 * 40 * 6 * expected
    replay = random_replay()
    one.update(replay)
    assert "critic1_loss" in one.diagnostics() and "critic2_loss" not in one.diagnostics()


@pytest.mark.parametrize("kind", SMALL)
def test_its_policy_acts_alone(kind):
    agent, replay = make(kind), random_replay()
    seen(agent, replay, 0, 50)
    for _ in range(4):
        agent.update(replay)
    policy = Policy.from_state(*through_a_file(agent.policy_state()))
    for many in (observations(40), observations(1)):
        assert np.array_equal(policy.predict(many), agent.predict(many))
    one = np.concatenate([agent.predict(row[np.newaxis]) for row in observations(40)])
    assert one == pytest.approx(agent.predict(observations(40)), abs=1e-5)


@pytest.mark.parametrize("structure", ["unstructured", "8x1"])
def test_units_of_xqc_keep_unit_norm_whatever_is_rewired(structure):
    agent, replay = make("ds-xqc", structure=structure), random_replay()
    for update in range(10):
        agent.update(replay)
        for name in agent.ONLINE:
            for layer in agent.networks()[name].layers:
                weights = layer.weights()
                some = weights.any(axis=1)  # units without inputs, or with fresh ones alone, have none
                assert some.mean() > 0.8
                assert np.linalg.norm(weights[some], axis=1) == pytest.approx(1.0, abs=1e-5), (update, name)


def test_the_statistics_of_xqcs_actor_move_in_every_update_and_its_weights_in_every_third():
    agent, replay = make("ds-xqc"), random_replay()
    actor, moved = agent.networks()["actor"], []
    for _ in range(6):
        before = {name: actor.values(name).copy() for name in ("norm1.mean", "output.bias")}
        agent.update(replay)
        moved.append([not np.array_equal(before[name], actor.values(name)) for name in before])
    assert moved == [[True, False], [True, False], [True, True]] * 2


@pytest.mark.parametrize("kind", SMALL)
def test_diagnostics_are_of_the_actions_that_were_done_in_every_update(kind):
    """And not of the policy's in the updates in which the actor learns."""
    agent, replay = make(kind, policy_delay=2) if kind in ("ds-xqc", "ds-crossq") else make(kind), random_replay()
    seen(agent, replay, 0, 50)
    kept = {tuple(row) for row in replay.actions}
    for _ in range(4):
        agent.update(replay)
        batch = agent._batch
        rows = np.concatenate([tile.T for tile in batch.actions])[:40]
        assert all(tuple(row) in kept for row in rows)


def test_the_step_size_falls_in_a_straight_line():
    agent = make("ds-xqc", learning_rate=1.0, learning_rate_end=0.2, learning_rate_updates=10, actor_learning_rate=2.0)
    rates = []
    for update in (1, 2, 6, 11, 30):
        agent.updates = update
        rates.append((agent._learning_rate, agent._actor_learning_rate))
    expected = [1.0, 0.92, 0.6, 0.2, 0.2]
    assert rates == [pytest.approx((rate, 2 * rate)) for rate in expected]


def test_a_critic_of_crossq_sees_the_next_states_through_the_statistics_alone():
    """No gradient flows back from the targets, though both halves are one batch."""
    agent, replay = make("ds-crossq"), random_replay()
    agent.update(replay)
    assert not any(name.startswith("target") for name in agent.networks())
    assert agent.networks()["critic1"].values("norm0.moves").tolist() == [1.0]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("ds-simba", {"hidden_sizes": (24, 16)}, "hidden_sizes must be the same size for every block"),
        ("ds-simba", {"n_critics": 3}, "n_critics must be 1 or 2"),
        ("ds-simba", {"actor_hidden_sizes": ()}, "actor_hidden_sizes must be at least one size"),
        ("ds-xqc", {"batch_size": 1}, "batch_size must be at least 2"),  # statistics of one sample say nothing
        ("ds-crossq", {"batch_size": 1}, "batch_size must be at least 2"),
        ("ds-xqc", {"bins": 1}, "bins must be at least 2"),
        ("ds-xqc", {"bound": 0.0}, "bound must be finite and positive"),
        ("ds-xqc", {"policy_delay": 0}, "policy_delay must be at least 1"),
        ("ds-xqc", {"actor_learning_rate": 0.0}, "actor_learning_rate must be finite and positive, or none"),
        ("ds-crossq", {"initial_temperature": 0.0}, "initial_temperature must be finite and positive"),
        ("ds-crossq", {"tau": 0.1}, "CrossQConfig has no use for tau: it has no target networks; leave it out"),
        (
            "ds-xqc",
            {"topology": TopologyConfig(sparsity=0.7, initial_scale="sparse")},
            "initial_scale sparse",
        ),
        ("ds-crossq", {"updates_per_step": 0}, "updates_per_step must be at least 1"),
        ("ds-xqc", {"redo_every": 5}, "no use for redo_every: it replaces units of multilayer perceptrons"),
    ],
)
def test_impossible_settings_are_refused_by_name(kind, changes, message):
    with pytest.raises(ValueError, match=message):
        make(kind, **changes)


def test_dormant_units_are_those_that_are_silent_after_their_activation():
    agent, replay = make("ds-xqc", hidden_sizes=(20,), actor_hidden_sizes=(20,)), random_replay()
    agent.update(replay)
    critic = agent.networks()["critic1"]
    shift = critic.values("norm1.shift").copy()
    shift[:5] = -100.0  # the norm before the activation is all they depend on
    critic.set_values("norm1.shift", shift)
    assert agent.diagnostics()["critic1_dormant"] == pytest.approx(0.25, abs=0.051)


@pytest.mark.parametrize(
    "kind, options", [("ds-xqc", {}), ("ds-crossq", {}), ("ds-simba", {}), ("ds-simba", {"n_critics": 1})]
)
def test_layers_that_threads_share_give_the_same_bits(kind, options):
    size = {"hidden_sizes": (160, 160), "actor_hidden_sizes": (160, 160), "batch_size": 256, **options}
    alone, shared = make(kind, **size), make(kind, threads=2, **size)
    replays = [random_replay(), random_replay()]
    for _ in range(4):
        for agent, replay in zip((alone, shared), replays, strict=True):
            agent.update(replay)
    assert bits(alone) == bits(shared)
    shared.close()


def test_a_temperature_restored_before_its_first_step_is_the_same_to_the_bit():
    whole, resumed = (Temperature("auto", None, ACTION, initial=0.01, of_alpha=True) for _ in range(2))
    resumed.load_state(whole.state())
    for entropy in (5.0, 3.0, -1.0):
        whole.update(entropy, 1e-4)
        resumed.update(entropy, 1e-4)
        assert resumed.value == whole.value and resumed.state() == whole.state()
