"""Promises of the table of Stable-Baselines3's names: the page has it, and what it names is there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import rewirl
from rewirl.learners.learner import Learner
from rewirl.options import sb3
from rewirl.options.option import all_options

ROOT = Path(__file__).parents[2]


def test_the_page_for_users_of_stable_baselines3_has_every_name_of_the_table() -> None:
    page = (ROOT / "docs" / "from-sb3.md").read_text()
    for entries in (sb3.ARGUMENTS, sb3.LEARN, sb3.ATTRIBUTES):
        assert sb3.table("Stable-Baselines3", entries) in page


def test_no_name_of_the_table_is_one_of_ours() -> None:
    assert sb3.ARGUMENTS.keys().isdisjoint(all_options())
    assert sb3.LEARN.keys().isdisjoint(inspect.signature(Learner.learn).parameters)
    assert not any(hasattr(Learner, name) for name in sb3.ATTRIBUTES)


def test_what_the_table_names_is_there() -> None:
    for text in sb3.ATTRIBUTES.values():
        for name in re.findall(r"agent\.(\w+)", text):
            assert hasattr(Learner, name), name
        for name in re.findall(r"rewirl\.(\w+)", text):
            assert name in rewirl.__all__, name
    arguments = inspect.signature(Learner.learn).parameters
    for text in sb3.LEARN.values():
        word = re.match(r"\w+", text)
        assert word and (word[0] in arguments or word[0] in ("leave",)), text
