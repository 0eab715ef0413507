"""A rule that keeps something from one event to the next is resumed to the bit, or said not to be, by name."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from sameness import same_to_the_bit

from rewirl.agents import make_agent
from rewirl.agents.config import AgentConfig
from rewirl.agents.td3 import TD3Config
from rewirl.options.train import TrainConfig
from rewirl.replay import Replay
from rewirl.topology import RULES, TopologyConfig, make_rule
from rewirl.topology.contract import ContractError
from rewirl.topology.memory import RuleMemory
from rewirl.topology.rules.set import SET
from rewirl.training import run as runs
from rewirl.training.loop import Training
from rewirl.training.progress import Silent
from rewirl.training.resume import resume


class Counting(SET):
    """Scores by how many events there have been, which it keeps to itself."""

    def __init__(self, config):
        super().__init__(config)
        self.events = 0

    def drop_score(self, state, fraction, rng):
        self.events += 1
        return np.roll(np.arange(len(state.weights), dtype=np.float64), self.events)


class Averaging(SET):
    """Keeps an array by shape, in a dict that it had from the start."""

    def __init__(self, config):
        super().__init__(config)
        self.means, self.log = {}, lambda text: None

    def drop_score(self, state, fraction, rng):
        mean = 0.9 * self.means.get(state.shape, 0.0) + float(np.abs(state.weights).mean())
        self.means[state.shape] = mean
        return np.abs(np.abs(state.weights) - mean).astype(np.float64)


class Drawing(SET):
    """Draws from a stream of its own."""

    def __init__(self, config):
        super().__init__(config)
        self.own = np.random.default_rng(3)

    def drop_score(self, state, fraction, rng):
        return self.own.random(len(state.weights))


class Offering(Counting):
    """Offers what it keeps."""

    def rewirl_state(self):
        return {"events": self.events}

    def load_rewirl_state(self, values):
        self.events = values["events"]


def test_a_rule_that_goes_on_with_what_it_was_given_leaves_the_saved_state():
    class Adopting(SET):
        kept: dict[str, int]

        def rewirl_state(self):
            return self.kept

        def load_rewirl_state(self, values):
            self.kept = values

    rule, saved = Adopting(TopologyConfig(sparsity=0.5)), {"rule": {"events": 1}}
    RuleMemory(rule).load_state(saved)
    rule.kept["events"] += 1
    assert saved == {"rule": {"events": 1}}


@pytest.fixture(autouse=True)
def module(monkeypatch):
    rules = types.ModuleType("own_rules")
    for kind in (Counting, Averaging, Drawing, Offering):
        setattr(rules, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "own_rules", rules)


class Said(Silent):
    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


def trained(path, rule, stop_at=None):
    agent: AgentConfig = TD3Config(
        hidden_sizes=(8, 7),
        batch_size=8,
        learning_starts=10,
        buffer_size=100,
        topology=TopologyConfig(sparsity=0.5, rule=rule, adapt_every=4),
    )
    config = TrainConfig(agent="ds-td3", env="Pendulum-v1", total_timesteps=60, eval_every=0, threads=1)
    with runs.start(config, agent, path, Silent(), check=False) as run:
        training: Training = run.training
        run.train(lambda: training.step == stop_at)


def resumed(path):
    said = Said()
    with resume(path, said) as run:
        run.train()
    return said.messages


@pytest.mark.parametrize("rule", ["own_rules:Offering", "wast"])
def test_a_rule_that_offers_its_state_is_resumed_to_the_bit(rule, tmp_path):
    trained(tmp_path / "whole", rule)
    trained(tmp_path / "stopped", rule, 33)
    assert resumed(tmp_path / "stopped") == []
    same_to_the_bit(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("rule, kept", [("Counting", "events"), ("Averaging", "means"), ("Drawing", "own")])
def test_a_rule_that_does_not_is_named_with_the_attribute(rule, kept, tmp_path):
    trained(tmp_path / "run", f"own_rules:{rule}", 33)
    (said,) = resumed(tmp_path / "run")
    assert f"not continued to the bit: its rule 'own_rules:{rule}' keeps something" in said and f"in {kept}," in said


def test_before_its_first_event_there_is_nothing_to_say(tmp_path):
    trained(tmp_path / "run", "own_rules:Counting", 9)
    assert resumed(tmp_path / "run") == []


@pytest.mark.parametrize("rule", [*RULES, "own_rules:Averaging"])
def test_a_new_rule_keeps_nothing(rule):
    assert RuleMemory(make_rule(rule, TopologyConfig(sparsity=0.5))).state() in ({}, {"rule": {}})


@pytest.mark.parametrize("offered", [{3: 1}, {"x": [0, ({"y": {True: 1}},)]}, {"x": {None: 1, "z": 2}}])
def test_keys_that_would_come_back_as_text_are_refused(offered):
    """The counts of a resumed rule would begin anew beside those of before."""
    rule = Offering(TopologyConfig(sparsity=0.5))
    rule.rewirl_state = lambda: offered
    with pytest.raises(ContractError, match=r"rewirl_state\(\) failed, .* the key (3|True|None) is no text\. It "):
        RuleMemory(rule).state()
    rule.rewirl_state = lambda: {"3": [1, (2.5, None)], "x": {}}
    assert RuleMemory(rule).state() == {"rule": {"3": [1, [2.5, None]], "x": {}}}


@pytest.mark.parametrize("offered", [np.zeros(3), {"x": np.float32(1)}, float("nan"), {1, 2}])
def test_a_state_that_is_no_json_is_refused_by_name(offered):
    rule = Offering(TopologyConfig(sparsity=0.5))
    rule.rewirl_state = lambda: offered
    with pytest.raises(ValueError, match=r"the rule .*Offering: rewirl_state\(\) failed"):
        RuleMemory(rule).state()


def test_it_is_refused_at_the_first_event_and_not_at_a_far_checkpoint(monkeypatch):
    monkeypatch.setattr(Offering, "rewirl_state", lambda rule: np.zeros(3) if rule.events else None)
    topology = TopologyConfig(sparsity=0.5, rule="own_rules:Offering", adapt_every=4)
    config = TD3Config(hidden_sizes=(16, 16), batch_size=8, learning_starts=10, topology=topology)
    agent, replay = make_agent("ds-td3", config, 3, 1, seed=0), Replay(10, 3, 1, 0)
    for _ in range(10):
        replay.add(np.zeros(3), np.zeros(1), 0.0, np.zeros(3), False)
    with pytest.raises(ValueError, match=r"Offering: rewirl_state\(\) failed.* It must be of JSON values"):
        for _ in range(20):
            agent.update(replay)
    assert agent.updates == 4


def test_what_the_rule_does_not_take_again_is_refused_at_the_first_event(monkeypatch):
    monkeypatch.setattr(Offering, "rewirl_state", lambda rule: {"happened": rule.events})
    topology = TopologyConfig(sparsity=0.5, rule="own_rules:Offering", adapt_every=4)
    agent = make_agent("ds-td3", TD3Config(hidden_sizes=(16, 16), batch_size=8, topology=topology), 3, 1, seed=0)
    replay = Replay(10, 3, 1, 0)
    for _ in range(10):
        replay.add(np.zeros(3), np.zeros(1), 0.0, np.zeros(3), False)
    taken = r"load_rewirl_state\(\) failed, KeyError: 'events' \(.*\)\. It must take what rewirl_state\(\) returned"
    with pytest.raises(ContractError, match=taken):
        for _ in range(20):
            agent.update(replay)
    assert agent.updates == 4


def test_a_state_that_the_rule_does_not_take_is_refused_by_name():
    config = TopologyConfig(sparsity=0.5)
    with pytest.raises(ValueError, match=r"Offering: load_rewirl_state\(\) failed, KeyError: 'events'"):
        RuleMemory(Offering(config)).load_state({"rule": {}})
    with pytest.raises(ValueError, match="has no load_rewirl_state"):
        RuleMemory(Counting(config)).load_state({"rule": {}})
    with pytest.raises(ValueError, match="no list of names"):
        RuleMemory(Counting(config)).load_state({"rule_keeps": 3})
