"""A sample of the odd environments; all of them, at all places, are for `python tests/torture/run.py`."""

from __future__ import annotations

import os

import odd_environments as environments
import pytest
from contained import contained


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield environments.make_references(tmp_path_factory.mktemp("references"))


def sample():
    on_the_way = [*environments.STEPS_REFUSED, *environments.RESETS]
    every = [*environments.WORKS, *environments.REFUSED, "evaluation without an end", *on_the_way[::4]]
    for index, case in enumerate(every):
        yield environments.Trial(case, environments.AGENTS[index % len(environments.AGENTS)], 47)


def test_every_odd_environment_works_or_is_refused_with_the_place(references, tmp_path):
    wrong = [
        f"{trial}: {' '.join(answer)}"
        for trial, answer in contained(
            list(sample()), lambda trial: environments.attempt(trial, references, tmp_path / "scratch")
        )
        if answer[0] == "problem"
    ]
    assert wrong == []


def test_what_overflows_ends_as_diverged_whichever_agent_it_is(references, tmp_path):
    trials = [environments.Trial("observations of 1e30", agent, 47) for agent in environments.AGENTS]
    for trial, answer in contained(trials, lambda trial: environments.attempt(trial, references, tmp_path / "scratch")):
        assert answer[0] == "works" and (answer[2] == "" or "diverged" in answer[2]), (trial, answer)
