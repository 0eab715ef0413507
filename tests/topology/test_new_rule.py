"""A new rule is one short file: a user's own by module:Class, or one of the house by a line in RULES."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rewirl import topology
from rewirl.agents.adaptation import Adaptation, sparse_network
from rewirl.nn import mlp
from rewirl.topology import RULES, LayerState, TopologyConfig, make_rule, random_indices, rewire
from rewirl.topology.structure import structure_of

RULE = """
import numpy as np

from rewirl.nn import mlp
from rewirl.topology import Rule


class Sweep(Rule):
    \"\"\"Drop the first connections, grow at the last free indices, which is easy to see.\"\"\"

    def drop_score(self, state, fraction, rng):
        return np.arange(len(state.indices), dtype=np.float64)

    def grow(self, state, occupied, count, rng):
        return np.setdiff1d(np.arange(state.total), occupied)[-count:]

    def grow_score(self, state, rng):
        return np.arange(state.total)
"""


@pytest.fixture(params=["module:Class", "registry"])
def name(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    module = f"rule_by_{request.param.partition(':')[0]}"
    (tmp_path / f"{module}.py").write_text(RULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    if request.param == "registry":
        monkeypatch.setitem(RULES, "sweep", f"{module}:Sweep")
        return "sweep"
    return f"{module}:Sweep"


def test_it_rewires_a_layer_and_keeps_structure_and_number(name):
    rule = make_rule(name, TopologyConfig(rule=name))
    rng = np.random.default_rng(0)
    indices = np.array([7, 0, 3, 9])
    state = LayerState((3, 4), indices, rng.normal(size=4).astype(np.float32))
    change = rewire(rule, state, 0.5, rng)
    assert indices[change.dropped].tolist() == [0, 3] and change.grown.tolist() == [10, 11]
    structure = structure_of("constant-fan-in")
    indices = structure.draw((6, 8), 0.5, rng)
    state = LayerState((6, 8), indices, rng.normal(size=len(indices)).astype(np.float32))
    change = rewire(rule, state, 0.3, rng, structure=structure)
    after = np.concatenate([np.delete(indices, change.dropped), change.grown])
    assert len(change.grown) and structure.kept((6, 8), indices, after)
    blocks = structure_of("4x1")
    indices = blocks.draw((10, 8), 0.5, rng)
    state = LayerState((10, 8), indices, rng.normal(size=len(indices)).astype(np.float32))
    change = rewire(rule, state, 0.3, rng, structure=blocks)
    after = np.concatenate([np.delete(indices, change.dropped), change.grown])
    assert len(change.grown) and len(np.unique(after)) == len(indices) and blocks.kept((10, 8), indices, after)


def test_it_rewires_a_network_at_the_events_of_its_schedule(name):
    config = TopologyConfig(rule=name, sparsity=0.5, adapt_every=10, adapt_fraction=0.2)
    network = sparse_network(8, mlp([8, 16, 16, 2]), config, 0, "actor")
    adaptation = Adaptation(config, 0)
    assert [update for update in range(1, 25) if adaptation.due(update)] == [10, 20]
    before = [layer.connections for layer in network.layers]
    first = network.layers[0].places().min()
    adaptation.adapt("actor", network, 10, None)  # it asks for no gradient, so it needs no batch
    assert [layer.connections for layer in network.layers] == before
    assert adaptation.rewired > 0 and network.layers[0].places().min() > first


def test_a_misspelt_name_is_told_of_it(name):
    if name in RULES:
        with pytest.raises(
            ValueError, match=r"did you mean sweep\? There are static, set, rigl, prune, wast, sweep, and"
        ):
            make_rule("sweeep", TopologyConfig())


def test_rules_are_files_of_less_than_30_lines():
    assert len(RULE.splitlines()) < 30
    for path in RULES.values():
        module = path.partition(":")[0].removeprefix("rewirl.topology.").replace(".", "/")
        lines = (Path(topology.__file__).parent / f"{module}.py").read_text().splitlines()
        assert len(lines) < 30, path


def test_a_rule_written_for_version_0_1_still_works(tmp_path, monkeypatch):
    """The README of 0.1.0 had this one."""
    (tmp_path / "old_rules.py").write_text(
        """
import numpy as np
from rewirl.nn import mlp
from rewirl.topology import Rule, random_empty_places


class Balanced(Rule):
    def drop_score(self, state, fraction, rng):
        return np.abs(state.weights).astype(np.float64)

    def grow(self, state, occupied, count, rng):
        n_out, n_in = state.shape
        fan_in = np.bincount(state.places // n_in, minlength=n_out)
        free = state.total - len(occupied)
        some = rng.permutation(random_empty_places(occupied, state.total, min(4 * count, free), rng))
        return some[np.argsort(fan_in[some // n_in], kind="stable")[:count]]
"""
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    rng = np.random.default_rng(1)
    for blocks in (None, structure_of("4x1")):
        indices = random_indices((20, 20), 0.3, rng) if blocks is None else blocks.draw((20, 20), 0.3, rng)
        state = LayerState((20, 20), indices, rng.normal(size=len(indices)).astype(np.float32))
        change = rewire(make_rule("old_rules:Balanced", TopologyConfig()), state, 0.2, rng, structure=blocks)
        size = 1 if blocks is None else 4
        assert len(change.dropped) == len(change.grown) == int(0.2 * len(indices) / size) * size
