"""What a run says at its start of a rule of the user's own: criteria that it has no use for."""

from __future__ import annotations

import sys
import types

import pytest

from rewirl.agents import agent_entry, make_agent
from rewirl.replay import Replay
from rewirl.topology import Rule, TopologyConfig, random_free_indices
from rewirl.topology.rules.set import SET
from rewirl.training import remarks


class Own(Rule):
    def drop_score(self, state, fraction, rng):
        return abs(state.weights)

    def grow(self, state, occupied, count, rng):
        return random_free_indices(occupied, state.total, count, rng)


class Half(SET):
    """Grows by what it is told, as SET does."""

    def drop_score(self, state, fraction, rng):
        return abs(state.weights)


@pytest.fixture(autouse=True)
def module(monkeypatch):
    rules = types.ModuleType("own_rules")
    rules.Own, rules.Half = Own, Half
    monkeypatch.setitem(sys.modules, "own_rules", rules)


def said(rule, name="ds-td3", **topology):
    entry = agent_entry(name)
    whole = TopologyConfig(**{"sparsity": 0.5, "rule": f"own_rules:{rule}", "adapt_every": 10, **topology})
    agent = make_agent(name, entry.config(topology=whole, hidden_sizes=(16, 16), batch_size=8), 3, 1, 0)
    return list(remarks.at_start(agent, Replay(1000, 3, 1, 0), 2000, 100))


@pytest.mark.parametrize(
    ("rule", "options", "words"),
    [
        ("Own", {"drop": "l2"}, "drop does nothing here: the rule own_rules:Own decides by its own drop_score,"),
        ("Own", {"drop": "l2", "grow": "gradient"}, "drop and grow do nothing here: the rule own_rules:Own decides by"),
        ("Half", {"drop": "l2", "grow": "gradient"}, "drop does nothing here: the rule own_rules:Half decides by its"),
    ],
)
def test_criteria_that_a_rule_of_ones_own_does_not_go_by_are_said(rule, options, words):
    (line,) = said(rule, **options)
    assert line.startswith(words) and line.endswith("unless it reads config")


def test_what_it_goes_by_or_has_as_a_default_is_not():
    assert said("Own") == [] == said("Half", grow="gradient")
    drop = agent_entry("ds-xqc").topology.drop
    assert drop != "paper" and not any("drop does" in line for line in said("Own", "ds-xqc", drop=drop))
