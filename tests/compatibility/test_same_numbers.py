"""Every agent learns by every rule, and with every setting that matters, what it learnt in 0.1.0, to the bit.

What differs is what same_numbers.py says of two versions, where its full length and the cases left out here are too.
"""

from __future__ import annotations

import fnmatch
import json
import os
from pathlib import Path

import adapter
import pytest
import same_numbers

RELEASE = json.loads((adapter.FIXTURES / "0.1.0" / "hashes.json").read_text())

EVERYWHERE = ("* rule *", "* as it is", "*wide*")
"""The cases that are tried with every instruction set; the portable one, which every machine has, tries all."""

MOVED = {"ds-td3 recycling", "ds-sac recycling"}
"""The cases whose numbers are meant to be others: an event on the same update comes before ReDo, no longer after it."""


@pytest.mark.parametrize("instruction_set", adapter.instruction_sets())
def test_everything_is_learnt_as_in_0_1_0(instruction_set, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    reason = adapter.comparable(instruction_set, RELEASE["here"])
    if reason:
        pytest.skip(reason)
    before, cases = RELEASE[instruction_set], same_numbers.cases(same_numbers.SHORT)
    chosen = [
        name
        for name in before
        if instruction_set == "portable" or any(fnmatch.fnmatchcase(name, pattern) for pattern in EVERYWHERE)
    ]
    assert len(chosen) > 40
    assert set(before) >= MOVED
    with adapter.instruction_set(instruction_set):
        now = {name: same_numbers.trained(cases[name], tmp_path / str(n)) for n, name in enumerate(chosen)}
    same_rounding = adapter.arithmetic() == RELEASE["here"]["arithmetic"]
    compared = [name for name in chosen if same_rounding or not adapter.depends_on_rounding(cases[name].agent)]
    parts = adapter.PARTS if same_rounding else adapter.EXACT_PARTS
    differences = same_numbers.differences(*({n: each[n] for n in compared} for each in (before, now)), parts)
    assert {difference.partition(":")[0] for difference in differences} == MOVED.intersection(compared), differences


def test_the_cases_have_every_rule_and_every_setting_that_is_a_choice():
    """A setting that is added has to be added to the cases, or named here as one that is none of learning."""
    cases = same_numbers.cases(same_numbers.FULL).values()
    tried = {name for case in cases for name in case.options}
    agents = json.loads((adapter.FIXTURES / "0.1.0" / "defaults.json").read_text())
    known = {name for settings in agents.values() for name in {**settings["agent"], **settings["agent"]["topology"]}}
    assert known - tried == {"topology"}
    assert {case.options.get("rule") for case in cases} >= {"static", "set", "rigl", "prune"}


def test_names_and_order_of_arrays_make_no_difference(tmp_path):
    """Hashes are the same whether arrays are called after numbers of layers or after their names."""
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    arrays = {
        "0.places": np.array([0, 3, 5]),
        "0.values": rng.normal(size=3).astype(np.float32),
        "0.bias": rng.normal(size=2).astype(np.float32),
        "1.values": rng.normal(size=2).astype(np.float32),
        "1.bias": rng.normal(size=1).astype(np.float32),
    }
    found = []
    for style in ({"0": "0", "1": "1"}, {"0": "hidden1", "1": "output"}, {"0": "actor.hidden1", "1": "actor.output"}):
        directory = Path(tmp_path / style["0"])
        directory.mkdir()
        renamed = {f"{style[name[0]]}{name[1:]}": array for name, array in arrays.items()}
        save_file(renamed, directory / "policy.safetensors")
        found.append(adapter.of_networks(directory))
    assert found[0].keys() == {"actor"} and found[0] == found[1] == found[2]
    arrays["1.bias"][0] += 1
    save_file(arrays, tmp_path / "0" / "policy.safetensors")
    assert adapter.of_networks(tmp_path / "0") != found[0]
