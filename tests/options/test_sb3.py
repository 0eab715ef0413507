"""Promises of the table of Stable-Baselines3's names: the page has it, and what it names is there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import rewirl
from rewirl.learners.learner import Learner
from rewirl.options import sb3
from rewirl.options.option import all_options
from rewirl.options.resolve import resolve

ROOT = Path(__file__).parents[2]
PENDULUM = "Pendulum-v1/small"


def test_the_page_for_users_of_stable_baselines3_has_every_name_of_the_table() -> None:
    page = (ROOT / "docs" / "from-sb3.md").read_text()
    for entries in (
        *(sb3.ARGUMENTS, sb3.OF_ROLLOUTS, sb3.LEARN, sb3.PREDICT, sb3.LOAD),
        *(sb3.ATTRIBUTES, sb3.NAMES),
    ):
        assert sb3.table("Stable-Baselines3", entries) in page


def test_no_name_of_the_table_is_one_of_ours() -> None:
    assert sb3.ARGUMENTS.keys().isdisjoint(all_options())
    assert sb3.LEARN.keys().isdisjoint(inspect.signature(Learner.learn).parameters)
    for method in (Learner.predict, rewirl.load(PENDULUM).predict):
        assert sb3.PREDICT.keys().isdisjoint(inspect.signature(method).parameters)
    for function in (Learner.load, rewirl.load, rewirl.resume):
        assert sb3.LOAD.keys().isdisjoint(inspect.signature(function).parameters)
    assert not any(hasattr(Learner, name) for name in sb3.ATTRIBUTES)
    assert sb3.NAMES.keys().isdisjoint(rewirl.__all__)


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


def test_an_attribute_that_is_an_option_is_found_in_config() -> None:
    agent = rewirl.DQN("CartPole-v1", hidden_sizes=(8,))
    for name, words in {
        "gamma": "agent.config['gamma']",
        "q_net": 'agent.topology["q"]',
        "env": "the environment is",
    }.items():
        with pytest.raises(AttributeError, match=re.escape(words)):
            getattr(agent, name)
    assert agent.config["gamma"] == 0.99 and agent.topology["q"]


@pytest.mark.parametrize(
    ("agent", "name", "reason"),
    [
        ("ppo", "n_steps", "Stable-Baselines3's n_steps is here: rollout_steps, over all environments together"),
        ("stream-ac", "n_steps", "eligibility traces look further: trace_decay"),
        ("stream-ac", "batch_size", "it learns from every step once"),
        ("ppo", "tau", "it has no target networks"),
        ("crossq", "tau", "it has no target networks"),
        ("stream-q", "buffer_size", "it has no replay memory"),
        ("ppo", "use_sde", "use_sde has no counterpart here; leave it out: exploration"),
        ("td3", "replay_buffer_class", "replay_buffer_class has no counterpart here: the replay memory is uniform"),
    ],
)
def test_why_an_agent_has_no_such_option(agent: str, name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{agent} has no option '{name}'; .*{reason}"):
        resolve({"agent": agent, "env": "Pendulum-v1", name: 8})


@pytest.mark.parametrize(
    ("agent", "name", "words"),
    [
        ("ds-td3", "temperature", "it is an option of sac"),
        ("sac", "policy_delay", "it is an option of td3, xqc, crossq"),
        ("ppo", "hidden_layers", "that is here: activation"),
        ("td3", "activation", "that is here: hidden_layers"),
    ],
)
def test_an_option_of_other_agents_is_named_as_theirs(agent: str, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"{agent} has no option '{name}'; {words}$"):
        resolve({"agent": agent, "env": "Pendulum-v1", name: 1})


def test_a_keyword_that_is_not_there_is_a_type_error_everywhere() -> None:
    with rewirl.TD3("Pendulum-v1", hidden_sizes=(8,)) as agent:
        for call in (
            lambda: rewirl.TD3("Pendulum-v1", sparsty=0.5),
            lambda: rewirl.from_preset("small/pendulum", sparsty=0.5),
            lambda: agent.learn(5, evl_every=1),
            lambda: rewirl.tune("Pendulum-v1", trial=2),
        ):
            with pytest.raises(TypeError, match=r"has no (option|argument)") as refused:
                call()
            assert isinstance(refused.value, ValueError)


def test_a_keyword_of_theirs_is_explained_where_it_is_given() -> None:
    observation, policy = np.zeros(3, np.float32), rewirl.load(PENDULUM)
    with rewirl.TD3("Pendulum-v1", hidden_sizes=(8,)) as agent:
        for call, words in {
            lambda: agent.predict(observation, state=None): "predict() has no argument 'state'; Stable-Baselines3's",
            lambda: policy.predict(observation, episode_start=True): "leave it out: no network here has a memory",
            lambda: rewirl.load(PENDULUM, custom_objects={}): "load() has no argument 'custom_objects'; ",
            lambda: rewirl.TD3.load("runs/x", device="cpu"): "leave it out: everything runs on the processor",
            lambda: rewirl.resume("runs/x", force_reset=True): "the episode under way is played again",
            lambda: rewirl.resume("runs/x", env_modul="x"): "did you mean env_module?",
        }.items():
            with pytest.raises(TypeError, match=re.escape(words)):
                call()
    with pytest.raises(AttributeError, match=re.escape("Stable-Baselines3's evaluate_policy is here: agent.evaluate(")):
        rewirl.evaluate_policy  # noqa: B018
    with pytest.raises(AttributeError, match=r"module 'rewirl' has no attribute 'nothing_like_it'$"):
        rewirl.nothing_like_it  # noqa: B018


def test_a_function_for_a_number_names_the_schedule() -> None:
    with pytest.raises(ValueError, match='got a function; learning_rate_schedule="linear" or "cosine"'):
        rewirl.TD3("Pendulum-v1", learning_rate=lambda left: 1e-3 * left)


def test_lists_of_other_things_are_shown_with_some_of_theirs() -> None:
    with pytest.raises(ValueError, match=r"seeds must be a list .*; for example \[0, 1, 2\]$"):
        rewirl.tune(preset="small/pendulum", seeds=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"sample must be a list .*; for example \['gamma', 'learning_rate="):
        rewirl.tune(preset="small/pendulum", sample="sparsity")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"its settings are options of their own, such as sparsity=0\.9"):
        rewirl.TD3("Pendulum-v1", topology=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "example"),
    [
        ({"hidden_sizes": 64}, r"\[256, 256\]"),
        ({"freeze_after": 64}, r"\[250000, 500000\]"),
        ({"lambdas": 7}, r"\[7, 64\]"),
        ({"wrapper": "a:B"}, r"\['package\.module:Class'\]"),
    ],
)
def test_a_list_that_is_none_is_shown_how_one_is_written(options: dict[str, object], example: str) -> None:
    with pytest.raises(ValueError, match=f"must be a list .*; for example {example}$"):
        rewirl.TD3("Pendulum-v1", **options)  # type: ignore[arg-type]
