"""What a run says at its start: schedules that it never meets, scales that cannot be learnt from, memory it lacks."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from rewirl.agents import agent_entry, make_agent
from rewirl.agents.dqn import DQNConfig
from rewirl.agents.ppo import PPOConfig
from rewirl.agents.sac import SACConfig
from rewirl.agents.td3 import TD3Config
from rewirl.agents.xqc import XQCConfig
from rewirl.cli.main import main
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig
from rewirl.training import remarks
from rewirl.training.scales import of_scales

SIZES = {"hidden_sizes": (16, 16), "batch_size": 8}


def agent(name="ds-td3", topology=(), **settings):
    kind = SACConfig if name.endswith("sac") else TD3Config
    whole = TopologyConfig(**{"sparsity": 0.5, "rule": "set", **dict(topology)})
    return make_agent(name, kind(topology=whole, **SIZES, **settings), 3, 1, 0)


def said(of, total=2000, starts=100, capacity=1000):
    return list(remarks.at_start(of, Replay(capacity, 3, 1, 0), total, starts))


@pytest.mark.parametrize("every", [1, 2, 3, 6, 7, 10])
@pytest.mark.parametrize("delay", [1, 2, 3, 4, 6])
def test_the_first_event_is_that_of_the_training_loop(every, delay):
    for offset in range(every):
        for end in (None, 5, 20):
            topology = TopologyConfig(rule="set", adapt_every=every, adapt_offset=offset, adapt_end=end)
            updates = (u for u in range(1, 200) if u % delay == 0 and topology.due(u))
            assert topology.first_event(delay) == next(updates, None)


def test_what_is_met_is_not_remarked_on():
    assert said(agent()) == [] == said(agent("ds-sac", target_update_interval=10))
    assert said(agent("td3", {"sparsity": 0.0, "rule": "static"})) == []
    changing = {"initial_sparsity": 0.0, "sparsity_end": 500, "adapt_every": 10}
    assert said(agent(topology=changing)) == []
    assert said(agent(topology=changing | {"initial_scale": "sparse"}, redo_every=10)) == []  # of units that begin anew
    assert said(agent(topology={"adapt_every": 10, "adapt_offset": 1, "adapt_actor": False})) == []
    assert said(agent(n_steps=3, n_steps_after=10, redo_every=10, redo_threshold=0.2)) == []
    assert said(agent(topology={"structure": "1:4"})) == []
    own = {"sparsity": 0.6, "critic_sparsity": 0.4, "distribution": "uniform"}  # the actor has the common one
    assert said(agent(topology=own)) == []
    own = {"sparsity": None, "lambdas": (3, 6, 4), "critic_sparsity": 0.4, "distribution": "uniform"}
    assert said(agent(topology=own)) == []
    assert said(agent(buffer_distance=0.0, buffer_minimum=10), total=20_000) == []
    tasks = {"rule": "static", "freeze_after": (20,)}  # new connections come with every task
    assert said(agent("static-td3", tasks, bias_correction="connection")) == []
    dense = {"sparsity": 0.0, "rule": "static"}  # units begin anew
    assert said(agent("td3", dense, bias_correction="connection", redo_every=10)) == []


@pytest.mark.parametrize(
    ("topology", "what"),
    [
        ({"structure": "8x1", "sparsity": 0.8}, "no layer has more than"),
        ({"structure": "8x1", "sparsity": 0.8, "rule": "rigl", "drop": "l2"}, " blocks, so it is less than one"),
        ({"adapt_fraction": 0.004}, " connections, so it is less than one"),
        ({"adapt_fraction": 0.008, "drop": "code"}, " same-sign weights, so it is less than one"),
    ],
)
def test_events_of_less_than_one_connection_are_said_to_rewire_nothing(topology, what):
    whole = {"adapt_every": 10, "adapt_fraction": 0.05, **topology}
    never = agent("ds-td3", whole)
    (line,) = said(never)
    assert line.startswith("warning: nothing is ever rewired: adapt_fraction is ") and what in line
    least = float(line.partition("; give ")[2].partition(" or more")[0])
    now_and_then = agent("ds-td3", whole | {"adapt_fraction": least})
    assert said(now_and_then) == []
    replay = Replay(100, 3, 1, 0)
    for number in range(20):
        replay.add(np.full(3, number, np.float32), np.zeros(1, np.float32), 1.0, np.zeros(3, np.float32), False)
    for one in (never, now_and_then):
        for _ in range(10):
            one.update(replay)
    assert (never.diagnostics()["rewired"], now_and_then.diagnostics()["rewired"] > 0) == (0, True)
    assert said(agent("ds-td3", whole | {"initial_sparsity": 0.5, "sparsity_end": 900})) == []
    if "structure" not in whole:
        assert said(agent("ds-td3", whole | {"structure": "constant-fan-in", "ablate_below": 0.1})) == []


def test_so_is_a_probability_that_does_not_fall_to_its_end():
    dense = TopologyConfig(sparsity=0.0, rule="static")

    def dqn(**settings):
        return make_agent("dqn", DQNConfig(topology=dense, **SIZES, **settings), 3, 2, 0)

    assert any("epsilon_steps is 1,901, and the run has 1,900" in line for line in said(dqn(epsilon_steps=1901)))
    assert said(dqn(epsilon_steps=1900)) == [] == said(dqn())  # nobody has asked for a default
    of_xqc = make_agent("xqc", XQCConfig(topology=dense, **SIZES, actor_hidden_sizes=(8,)), 3, 1, 0)
    assert said(of_xqc) == []


def test_options_of_other_actions_or_of_a_probability_that_stays_are_said():
    def ppo(kind, **settings):
        config = PPOConfig(topology=TopologyConfig(sparsity=0.0, rule="static"), hidden_sizes=(8,), **settings)
        return list(remarks.at_start(make_agent("ppo", config, 3, 2, 0, actions=kind), None, 5000, 0))

    (line,) = ppo("Discrete", initial_deviation=0.5)
    assert line == "initial_deviation does nothing here: it is of a Box of actions, and these are numbered"
    assert ppo("Box", initial_deviation=0.5) == [] == ppo("Discrete")
    config = DQNConfig(topology=TopologyConfig(sparsity=0.0, rule="static"), **SIZES, epsilon_start=0.05)
    for steps in (5, 10**6):
        (line,) = said(make_agent("dqn", replace(config, epsilon_steps=steps), 3, 2, 0))
        assert line == "epsilon_steps does nothing here: epsilon_start and epsilon_end are the same"
    assert said(make_agent("dqn", config, 3, 2, 0)) == []


@pytest.mark.parametrize(
    ("topology", "settings", "words"),
    [
        ({"adapt_every": 10, "adapt_offset": 1}, {}, "actor will not be rewired"),
        ({"adapt_every": 5000}, {}, "actor, critic1 and critic2 will not be rewired"),
        ({"adapt_every": 10, "adapt_end": 5}, {}, "will not be rewired"),
        ({"initial_sparsity": 0.0, "sparsity_end": 800_000, "adapt_every": 10}, {}, "does not get to its end"),
        (
            {"initial_sparsity": 0.0, "sparsity_start": 5000, "sparsity_end": 9000, "adapt_every": 10},
            {},
            "sparsity stays 0",
        ),
        (
            {"initial_sparsity": 0.0, "sparsity_end": 1000, "adapt_every": 10, "adapt_end": 500},
            {},
            "does not get to its end",
        ),
        (  # the run goes on to update 1900, but its last event is on 1800
            {"initial_sparsity": 0.0, "sparsity_end": 1850, "adapt_every": 600},
            {},
            "does not get to its end: sparsity_end is 1,850, and the last event is on update 1,800",
        ),
        (  # the critics have their last event on 750, the actor on 500
            {"initial_sparsity": 0.0, "sparsity_end": 750, "adapt_every": 250, "adapt_end": 750},
            {"policy_delay": 4},
            "sparsity of actor does not get to its end: sparsity_end is 750, and the last event is on update 500",
        ),
        (
            {"structure": "2:4", "sparsity": 0.9, "distribution": "uniform"},
            {},
            "sparsity and distribution do nothing here: structure 2:4 says",
        ),
        (
            {"structure": "2:4", "sparsity": None, "lambdas": (9, 9, 9)},
            {},
            "lambdas do nothing here: structure 2:4 says how many connections there are",
        ),
        (
            {"sparsity": None, "lambdas": (3, 6, 4), "distribution": "uniform"},
            {},
            "distribution does nothing here: lambdas say how many connections each layer has",
        ),
        (
            {"sparsity": None, "layer_sparsities": (0.5, 0, 0), "distribution": "uniform"},
            {},
            "distribution does nothing here: layer_sparsities say how many connections each layer has",
        ),
        (
            {"sparsity": 0.9, "actor_sparsity": 0.5, "critic_sparsity": 0.5},
            {},
            "sparsity does nothing here: actor_sparsity and critic_sparsity say how many connections there are",
        ),
        ({"sparsity": 0.0, "structure": "8x1"}, {}, "structure does nothing here: ds-td3 has every connection; give a"),
        ({"sparsity": 0.0, "structure": "8x1"}, {}, "the rule set does nothing here: ds-td3 has every connection"),
        ({"sparsity_end": 500}, {}, "sparsity_end does nothing here: it belongs to initial_sparsity"),
        ({}, {"redo_threshold": 0.2}, "redo_threshold does nothing here: it belongs to redo_every"),
        ({}, {"cbp_decay_rate": 0.9}, "cbp_decay_rate does nothing here: it belongs to cbp_replacement_rate"),
        ({}, {"n_steps_after": 10}, "n_steps_after does nothing here: it belongs to n_steps"),
        ({}, {"buffer_minimum": 10}, "belongs to buffer_distance or buffer_empty_every"),
        ({"anneal": "cosine", "adapt_end": 10**6, "adapt_every": 10}, {}, "fraction does not get to 0"),
        ({}, {"redo_every": 5000}, "redo_every is 5,000"),
        ({}, {"redo_every": 1001}, "no unit of actor is ever recycled: update 2,002 is the first on which it learns"),
        ({}, {"cbp_replacement_rate": 1e-4}, "no unit is ever old enough to be replaced"),
        (
            {},
            {"cbp_replacement_rate": 1e-4, "cbp_maturity_threshold": 1000},
            "no unit of actor is ever old enough to be replaced: cbp_maturity_threshold is 1,000, and it takes 950",
        ),
        (
            {"sparsity": 0.0, "initial_scale": "sparse"},
            {"bias_correction": "connection"},
            "initial_scale does nothing here: ds-td3 has every connection",
        ),
        ({"sparsity": 0.0}, {"bias_correction": "connection"}, "bias_correction does nothing here: ds-td3 has every"),
        (
            {"initial_sparsity": 0.0, "sparsity_end": 500, "adapt_every": 10, "initial_scale": "sparse"},
            {},
            "initial_scale does nothing here: networks begin with every connection",
        ),
        ({"rule": "static"}, {"bias_correction": "connection"}, "bias_correction does nothing here: no connection is"),
        ({}, {"buffer_empty_every": 5000}, "buffer_empty_every is 5,000"),
        ({}, {"policy_delay": 5000}, "policy_delay is 5,000"),
        ({}, {"n_steps": 3, "n_steps_after": 300_000}, "n_steps_after is 300,000"),
        ({}, {"buffer_distance": 0.2, "buffer_size": 100, "buffer_minimum": 100}, "forgets nothing"),
        ({}, {"buffer_distance": 0.2, "buffer_minimum": 100}, "buffer_distance forgets nothing: it looks at every 10,"),
        ({}, {"buffer_empty_every": 500, "buffer_size": 100, "buffer_minimum": 100}, "buffer_empty_every forgets"),
        ({}, {"learning_rate_schedule": "linear", "learning_rate_updates": 2000}, "does not get to learning_rate_end"),
    ],
)
def test_what_is_never_met_is_said_in_a_line(topology, settings, words):
    lines = said(agent(topology=topology, **settings))
    assert any(words in line for line in lines) and all("\n" not in line for line in lines)


PRUNED = {"rule": "prune", "initial_sparsity": 0.0, "sparsity_end": 1000, "adapt_every": 10}


@pytest.mark.parametrize(
    ("topology", "idle"),
    [
        ({}, ""),
        ({"drop": "l2"}, ""),
        ({"grow": "gradient"}, "grow does"),
        ({"regrow_dropped": True, "grow": "gradient"}, "regrow_dropped and grow do"),
        ({"anneal": "cosine", "adapt_end": 1500, "adapt_fraction": 0.3}, ""),
        ({"initial_sparsity": 0.3, "sparsity": 0.8, "grow": "gradient"}, "grow does"),
        ({"initial_sparsity": 0.7, "sparsity": 0.5, "grow": "gradient"}, ""),
        ({"initial_sparsity": 0.7, "sparsity": 0.5, "drop": "l2"}, "drop does"),
        ({"initial_sparsity": 0.5, "sparsity": None, "lambdas": (3, 6, 4), "grow": "gradient"}, ""),
        ({"sparsity_schedule": "adaptive", "regrow_dropped": True, "grow": "gradient", "sparsity_end": 1800}, ""),
    ],
)
def test_what_pruning_has_no_use_for_is_said(topology, idle):
    lines = said(agent(topology=PRUNED | topology))
    assert [line.split(" nothing here")[0] for line in lines] == ([idle] if idle else [])


@pytest.mark.parametrize(
    ("hidden_sizes", "layers"),
    [
        ((8, 24), r"hidden1 \(9 inputs\), hidden2 \(8 inputs\)"),
        ((24, 8), r"hidden1 \(9 inputs\), output \(8 inputs\)"),
    ],
)
def test_a_network_that_no_gradient_can_reach_is_refused(hidden_sizes, layers):
    def stream(**settings):
        config = agent_entry("stream-ac").config(topology=TopologyConfig(sparsity=0.0, rule="static"), **settings)
        return make_agent("stream-ac", config, 9, 3, 0)

    still, wide = stream(hidden_sizes=hidden_sizes), stream(hidden_sizes=(24, 24))
    with pytest.raises(ValueError, match=f"actor would never learn: all weights of {layers} begin at 0"):
        remarks.refuse_impossible(still, 1000)
    assert "actor would never learn" in next(remarks.at_start(still, None, 1000, 0))
    for agent in (wide, stream(hidden_sizes=hidden_sizes, initial_zeros=0.5)):
        remarks.refuse_impossible(agent, 1000)
    assert not any(layer.values.any() for layer in wide.networks()["actor"].layers[:1])  # one such layer has a gradient


def test_pruning_to_the_sparsity_of_the_start_says_that_nothing_is_pruned():
    topology = {"rule": "prune", "initial_sparsity": 0.5, "adapt_every": 10}
    assert said(agent(topology=topology)) == [
        "the rule prune does nothing here: initial_sparsity and sparsity are both 0.5"
    ]
    assert said(agent(topology=topology | {"sparsity": 0.6, "sparsity_end": 500})) == []
    assert said(agent(topology=topology | {"critic_sparsity": 0.6, "sparsity_end": 500})) == []
    assert said(agent(topology=topology | {"rule": "set"})) == []


def test_an_agent_that_rewires_nothing_says_so_and_one_of_another_name_what_it_is(capsys):
    (line,) = said(agent(topology={"adapt_fraction": 0.0}))
    assert line.startswith("nothing is ever rewired: adapt_fraction is 0")
    changing = {"adapt_fraction": 0.0, "initial_sparsity": 0.0, "sparsity_end": 500, "adapt_every": 10}
    assert said(agent(topology=changing)) == []
    adaptive = changing | {"rule": "prune", "sparsity_schedule": "adaptive", "sparsity": 0.6}
    assert said(agent(topology=adaptive))[0].startswith("nothing is ever rewired: adapt_fraction is 0")
    assert said(agent(topology=changing | {"initial_scale": "sparse"}, redo_every=10)) == []  # of units that begin anew
    (line,) = said(agent("static-td3", {"rule": "rigl"}))
    assert line == "static-td3 with the rule rigl is what ds-td3 is: rewired as it learns."
    assert said(agent("static-td3", PRUNED)) == [] == said(agent("td3", PRUNED))


@pytest.mark.parametrize(
    ("name", "topology", "end"),
    [
        ("xqc", {}, "; but ds-xqc has adapt_every 10,000, adapt_fraction 0.1 and drop relative."),
        ("static-xqc", {"adapt_every": 10, "drop": "l2"}, "; but ds-xqc has adapt_fraction 0.1."),
        ("static-xqc", {"rule": "wast", "adapt_every": 10}, "; but ds-xqc has adapt_fraction 0.1."),
        ("static-simba", {}, "; but ds-simba has adapt_fraction 0.1 and drop magnitude."),
        ("static-simba", {"rule": "rigl", "adapt_fraction": 0.1}, ": rewired as it learns."),
        ("static-simba", {"structure": "8x1", "adapt_fraction": 0.1}, ": rewired as it learns."),
    ],
)
def test_an_agent_of_another_name_says_what_that_one_has_besides(name, topology, end):
    config = agent_entry(name).config(
        topology=TopologyConfig(**{"sparsity": 0.5, "rule": "set", **topology}),
        hidden_sizes=(16, 16), actor_hidden_sizes=(16,), batch_size=8,
    )  # fmt: skip
    line = next(line for line in said(make_agent(name, config, 3, 1, 0), total=40_000) if "is what" in line)
    assert line.endswith(end)


def test_a_step_size_that_rises_to_an_end_that_nobody_gave_is_said():
    def xqc(**settings):
        dense = TopologyConfig(sparsity=0.0, rule="static")
        return make_agent("xqc", XQCConfig(topology=dense, **SIZES, actor_hidden_sizes=(8,), **settings), 3, 1, 0)

    (line,) = said(xqc(learning_rate=1e-5))
    assert line.startswith("warning: the step size rises from 1e-05 to 3e-05, the default of learning_rate_end")
    assert said(xqc(learning_rate=1e-5, learning_rate_end=1e-4)) == [] == said(xqc(learning_rate=3e-5))
    constant = {"learning_rate_schedule": "constant", "learning_rate_end": 0.0, "learning_rate_updates": None}
    assert said(xqc(learning_rate=1e-5, **constant)) == []


def test_an_epsilon_that_rises_to_an_end_that_nobody_gave_is_said():
    def dqn(**settings):
        dense = TopologyConfig(sparsity=0.0, rule="static")
        return make_agent("dqn", DQNConfig(topology=dense, **SIZES, target_update_interval=10, **settings), 3, 2, 0)

    rises = "warning: epsilon rises from 0.01 to 0.05, the default of epsilon_end; give that too"
    assert said(dqn(epsilon_start=0.01)) == [rises]
    assert said(dqn(epsilon_start=0.01, epsilon_end=0.02)) == [] == said(dqn())


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_a_step_size_that_is_0_before_the_run_ends_is_said(kind):
    """A preset's schedule ends with its own run: one of twice as many steps learnt nothing in its second half."""

    def falls(updates, end=0.0):
        return agent(learning_rate_schedule=kind, learning_rate_updates=updates, learning_rate_end=end)

    (line,) = said(falls(1_000))
    assert line.startswith("warning: the step size is 0 after 1,000 updates (learning_rate_updates), and the run has")
    assert said(falls(1_900)) == [] == said(falls(1_000, 1e-5)) == said(agent())
    assert [list(remarks.at_start(falls(1_900), None, total, 100, "", False)) for total in (2_000, 2_001)] == [
        [], [line.replace("1,000", "1,900").replace("run has 1,900", "run has 1,901")]
    ]  # fmt: skip


def test_options_of_dense_agents_that_need_a_sparsity_are_said():
    dense = {"sparsity": 0.0, "rule": "static", "structure": "8x1", "distribution": "uniform"}
    (line,) = said(agent("td3", dense))
    assert line == "structure and distribution do nothing here: td3 has every connection; give a sparsity, such as 0.5"


def test_what_an_environment_of_the_paper_has_by_itself_is_not_remarked_on():
    given = agent(topology={"structure": "2:4", "sparsity": None, "lambdas": (7, 64)})
    assert list(remarks.at_start(given, Replay(1000, 3, 1, 0), 2000, 100, "HalfCheetah-v5")) == []
    assert len(list(remarks.at_start(given, Replay(1000, 3, 1, 0), 2000, 100, "Pendulum-v1"))) == 1


def test_of_an_agent_that_is_rewired_unless_told_otherwise_the_remedy_is_to_say_nothing(capsys):
    (line,) = said(agent(topology={"rule": "static", "adapt_every": 5}))
    assert line.endswith("ds-td3 is never rewired, by the rule static; leave rule static out")
    with pytest.raises(SystemExit):
        main(["train", "--agent", "ds-td3", "--env", "Pendulum-v1", "--rule", "static", "--drop", "l2", "--dry-run"])
    assert "drop does nothing here" in (out := capsys.readouterr().err) and "leave --rule static out" in out
    (line,) = said(agent(topology={"sparsity": 0.0}))
    assert line.endswith("give a sparsity, such as 0.5")


def test_a_run_that_never_learns_says_so():
    (line,) = said(agent(), total=100, starts=100)
    assert "nothing is learnt" in line


def test_a_replay_memory_as_large_as_the_machine_is_said(monkeypatch):
    monkeypatch.setattr(remarks, "memory", lambda: 40_000)
    (line,) = said(agent(), capacity=1000)
    assert "replay memory will take" in line
    assert said(agent(), capacity=500) == []


@pytest.mark.parametrize("offset", ["3", "1"])
def test_what_can_never_be_rewired_is_refused(capsys, offset, tmp_path):
    options = [
        "--env",
        "Pendulum-v1",
        "--agent",
        "ds-td3",
        "--hidden-sizes",
        "16",
        "16",
        "--run-dir",
        str(tmp_path / "r"),
    ]
    options += ["--adapt-every", "10", "--adapt-offset", offset, "--adapt-end", "0"]
    with pytest.raises(SystemExit) as ended:
        main(["train", *options])
    assert ended.value.code == 2 and "nothing is ever rewired" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("scale", "offset", "reward", "words"),
    [
        (1.0, 0.0, 1.0, []),
        (0.01, 0.0, 100.0, []),
        (1e6, 0.0, 1.0, ["observations are as large as"]),
        (1.0, 1e6, 1.0, ["observations are as large as"]),
        (1e-9, 0.0, 1.0, ["observations are as small as"]),
        (1.0, 0.0, 1e12, ["rewards are as large as"]),
        (1.0, 0.0, 1e-9, ["rewards are as small as"]),
        (0.0, 0.0, 0.0, []),
        (1e30, 0.0, math.inf, ["observations are as large as", "rewards are as large as"]),
    ],
)
def test_scales_that_cannot_be_learnt_from_are_said(scale, offset, reward, words):
    replay, rng = Replay(100, 3, 1, 0), np.random.default_rng(0)
    for _ in range(50):
        observation = (offset + scale * rng.standard_normal(3)).astype(np.float32)
        replay.add(observation, np.zeros(1, np.float32), reward, observation, False)
    lines = list(of_scales(replay))
    assert len(lines) == len(words) and all(word in line for word, line in zip(words, lines, strict=True))


def test_a_feature_beside_which_others_are_small_is_said_where_nothing_makes_them_alike():
    replay, rng = Replay(100, 3, 1, 0), np.random.default_rng(0)
    for _ in range(50):
        observation = (np.array([1, 0, 500]) * rng.standard_normal(3) + [0, 1, 0]).astype(np.float32)
        replay.add(observation, np.zeros(1, np.float32), 1.0, observation, False)
    (line,) = of_scales(replay)
    assert "feature 2 of the observations is" in line and "--normalise-observations" in line
    (line,) = of_scales(replay, of_norms("simba", normalise_observations=False))
    assert "times as large as the median one" in line
    for name in ("simba", "xqc"):  # one normalises observations, the other has a norm before everything else
        assert list(of_scales(replay, of_norms(name))) == []


def of_norms(name, **settings):
    dense = TopologyConfig(sparsity=0.0, rule="static")
    config = agent_entry(name).config(topology=dense, **SIZES, actor_hidden_sizes=(16,), **settings)
    return make_agent(name, config, 3, 1, 0)


def test_a_norm_of_the_inputs_sees_large_observations_as_any_others():
    replay, large = Replay(100, 3, 1, 0), np.array([0, 1, 1e8], np.float32)
    for _ in range(50):
        replay.add(large, np.zeros(1, np.float32), 1.0, large, False)
    for name in ("xqc", "crossq"):
        assert list(of_scales(replay, of_norms(name))) == []
    beyond, huge = Replay(100, 3, 1, 0), np.full(3, 1e19, np.float32)
    for _ in range(50):
        beyond.add(huge, np.zeros(1, np.float32), 1.0, huge, False)
    (line,) = of_scales(beyond, of_norms("xqc"))
    assert "observations are as large as 1e+19" in line and "--normalise-observations" in line
    assert list(of_scales(beyond, of_norms("xqc", normalise_observations=True))) == []
    (line,) = of_scales(replay, of_norms("simba", normalise_observations=False))
    assert "observations are as large as 1e+08 (feature 2)" in line
    assert list(of_scales(replay, of_norms("simba"))) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "about -200, and those of the critics end at 5"),
        ({"gamma": 0.5}, None),  # -4
        ({"gamma": 1.0}, "about -400"),  # of 200 steps
        ({"bound": 200.0, "gamma": 0.99}, None),
        ({"scale_rewards": True}, None),  # -4.1
        ({"scale_rewards": True, "gamma": 0.9}, "end at 5 (bound): they can say no more of them; give a larger bound"),
        ({"scale_rewards": True, "gamma": 0.9, "bound": 20.0}, None),
    ],
)
def test_values_beyond_the_bound_of_critics_are_said(settings, expected):
    replay, zeros = Replay(1000, 3, 1, 0), np.zeros(3, np.float32)
    agent = of_norms("xqc", **{"scale_rewards": False, "gamma": 0.99, **settings})
    for step in range(400):
        replay.add(zeros, zeros[:1], -2.0, zeros, False, truncated=step % 200 == 199)
        agent.normalisation.reward(-2.0, step % 200 == 199)
    lines = list(of_scales(replay, agent))
    assert [expected in line for line in lines] == [True] * (expected is not None)
    assert list(of_scales(replay, of_norms("crossq"))) == []  # whose values have no bound


def test_large_rewards_are_as_any_others_where_they_are_scaled():
    replay, zeros = Replay(100, 3, 1, 0), np.zeros(3, np.float32)
    replay.add(zeros, zeros[:1], 1e9, zeros, False)
    assert len(list(of_scales(replay, of_norms("simba")))) == 1
    assert list(of_scales(replay, of_norms("simba", scale_rewards=True))) == []


def test_what_is_too_small_is_so_normalised_and_scaled_too():
    replay, rng = Replay(100, 3, 1, 0), np.random.default_rng(0)
    agent = of_norms("simba", normalise_observations=True, scale_rewards=True)
    for _ in range(50):
        observation = (1e-9 * rng.standard_normal(3)).astype(np.float32)
        replay.add(observation, np.zeros(1, np.float32), -1e-9, observation, False)
        agent.normalisation.observe(observation)
        agent.normalisation.reward(-1e-9, False)
    assert agent.normalisation.observations is not None
    seen = agent.normalisation.observations.normalised(replay.observations[:50])
    assert np.abs(seen).max() < 1e-4  # which no network tells apart from 0
    first, second = of_scales(replay, agent)
    assert "observations are as small as" in first and "gymnasium.wrappers.TransformObservation" in first
    assert "rewards are as small as 1e-09" in second and "gymnasium.wrappers.TransformReward" in second


def test_the_scales_of_many_observations_take_the_memory_of_a_few():
    replay = Replay(20_000, 100, 1, 0)
    replay.load_state({"transitions": np.ones((20_000, 203), np.float32)}, {**replay.state()[1], "cursor": 0})
    tracemalloc.start()
    assert list(of_scales(replay)) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < replay.observations.nbytes / 4
    replay.observations[-1, 7] = 1e12  # which is large among 20,000 too
    assert ["(feature 7)" in line for line in of_scales(replay)] == [True]


@pytest.mark.parametrize(
    ("name", "topology", "expected"),
    [
        ("td3", {"sparsity": 0.9, "rule": "static"}, "static-td3"),
        ("sac", {"sparsity": None, "lambdas": (7, 64), "rule": "set"}, "ds-sac"),
        ("td3", {"sparsity": 0.0, "rule": "static"}, None),
        ("static-td3", {"sparsity": 0.9, "rule": "static"}, None),
    ],
)
def test_a_dense_agent_with_a_sparsity_says_what_it_is(name, topology, expected):
    kind = agent_entry(name).config
    config = kind(topology=TopologyConfig(**topology), hidden_sizes=(64, 64), batch_size=8, learning_starts=5)
    agent = make_agent(name, config, 3, 1, seed=0)
    said = [line for line in remarks.at_start(agent, Replay(100, 3, 1, 0), 10, 5) if "with a sparsity" in line]
    assert bool(said) == (expected is not None)
    assert all(f"is what {expected} is" in line for line in said)


def test_a_run_says_each_once_and_a_resumed_one_nothing(capsys, tmp_path):
    options = ["--env", "Pendulum-v1", "--agent", "ds-td3", "--hidden-sizes", "16", "16", "--batch-size", "8"]
    options += ["--learning-starts", "20", "--total-timesteps", "60", "--eval-every", "0", "--threads", "1"]
    for command in (["train", *options, "--run-dir", str(tmp_path / "r")], ["resume", str(tmp_path / "r")]):
        if command[0] == "resume":
            command += ["--total-timesteps", "80"]
        with pytest.raises(SystemExit) as ended:
            main(command)
        out = capsys.readouterr().out
        assert ended.value.code == 0 and out.count("will not be rewired") == (command[0] == "train")
