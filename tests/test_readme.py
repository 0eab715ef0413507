"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from rewirl.topology import LayerState, Rule, TopologyConfig, rewire
from rewirl.topology.rule import rule

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.fixture
def balanced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rule:
    blocks = re.findall(r"```python\n# my_rules\.py\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 1
    (tmp_path / "my_rules.py").write_text(blocks[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    name = re.findall(r"--rule (my_rules:\w+)", README)[0]
    return rule(name, TopologyConfig())


def test_the_rule_in_the_readme_rewires(balanced: Rule) -> None:
    rng = np.random.default_rng(0)
    places = np.concatenate([np.arange(20), rng.choice(np.arange(100, 400), 60, replace=False)])  # row 0 is full
    state = LayerState((20, 20), places, rng.standard_normal(80).astype(np.float32))
    change = rewire(balanced, state, 0.2, rng)
    assert len(change.dropped) == len(change.grown) == 16
    assert np.abs(state.weights[change.dropped]).max() <= np.sort(np.abs(state.weights))[15]
    fan_in = np.bincount(places // 20, minlength=20)
    assert fan_in[change.grown // 20].mean() < fan_in[1:].mean()
