"""Promises of the generated classes: they are current, and each has every option of its agent as a keyword."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

import pytest

import rewirl
from rewirl.agents import AGENTS
from rewirl.learners import generate
from rewirl.learners.unset import UNSET
from rewirl.options.option import options
from rewirl.options.resolve import agent_settings


def test_the_checked_in_classes_are_current():
    texts = generate.files()
    for path, text in texts.items():
        assert path.read_text() == text, f"{path.name} is not current; run python -m rewirl.learners.generate"
    assert generate.left_over(texts) == []


@pytest.mark.parametrize("entry", AGENTS.values(), ids=AGENTS)
def test_a_class_has_every_option_of_its_agent_with_the_real_default(entry):
    parameters = dict(inspect.signature(getattr(rewirl, entry.python).__init__).parameters)
    assert parameters.pop("unknown").annotation == "Never"  # a type checker refuses any other keyword
    own = ("self", "env", "seed", "threads", "env_kwargs", "env_module", "wrapper", "n_envs", "env_processes")
    for name in own:
        del parameters[name]
    of_agent = {name: option for name, option in options(entry.name).items() if option.part != "run"}
    assert parameters.keys() == of_agent.keys()
    settings = agent_settings(entry.name, "Pendulum-v1")
    for name, parameter in parameters.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        kind = eval(parameter.annotation, {"Literal": Literal, "Sequence": Sequence})
        assert str(kind).replace("collections.abc.Sequence", "tuple") == _words(of_agent[name].kind), name
        if parameter.default is not UNSET:
            assert parameter.default == getattr(settings.topology, name, getattr(settings, name, None)), name


def _words(kind: Any) -> str:
    return str(kind).replace(", ...]", "]") if get_origin(kind) or get_args(kind) else repr(kind)
