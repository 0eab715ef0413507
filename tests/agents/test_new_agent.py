"""A new agent is one file and one line of the registry: three networks, two of them with targets, numbered actions."""

from __future__ import annotations

import json
import random
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from discrete_sac import ENTRY, DiscreteSACConfig
from experience import bits, measures, restored, through_a_file, topology

import rewirl
from rewirl.agents import AGENTS, Policy, SACConfig, agent_entry, make_agent, registry
from rewirl.cli import inspection
from rewirl.cli.main import main
from rewirl.environments.recipe import named_wrapper
from rewirl.environments.source import environment_source
from rewirl.experiments.report import document, report
from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.plan import PlannedRun, plan
from rewirl.options.resolve import agent_settings
from rewirl.options.train import TrainConfig
from rewirl.replay import Replay
from rewirl.storage.checkpoint import CheckpointError
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError
from rewirl.storage.values import to_values
from rewirl.topology import TopologyConfig, make_rule
from rewirl.topology.contract import ContractError
from rewirl.training.drift import Drift, connections
from rewirl.training.resume import settings_of

CHOICES, NETWORKS = 3, {"policy", "q1", "q2", "target_q1", "target_q2"}
SPARSE = TopologyConfig(sparsity=0.4, adapt_every=10, adapt_fraction=0.1)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(AGENTS, ENTRY.name, ENTRY)


def make(seed=0, threads=1, **changes):
    config = DiscreteSACConfig(
        **{"hidden_sizes": (32, 24), "batch_size": 40, "learning_rate": 3e-3, "topology": SPARSE, **changes}
    )
    return make_agent("discrete-sac", config, 2, CHOICES, seed, threads)


def corridor(seed=0, transitions=500):
    """Two places, told apart by the first feature. Choice 0 stays, 1 goes to the other place, 2 ends the episode with a
    reward of 1 in the second place and of -1 in the first, so one has to go there first."""
    rng, replay = np.random.default_rng(seed), Replay(transitions, 2, CHOICES, seed)
    for _ in range(transitions):
        place, choice = rng.integers(2), rng.integers(CHOICES)
        after = 1 - place if choice == 1 else place
        reward = (2.0 * place - 1) if choice == 2 else 0.0
        replay.add([place, 1], np.eye(CHOICES)[choice], reward, [after, 1], choice == 2)
    return replay


PLACES = np.float32([[0, 1], [1, 1]])


def test_it_learns_what_each_choice_is_worth_and_to_choose():
    agent, replay = make(gamma=0.8, tau=0.05, temperature=0.01), corridor()
    before = {name: topology(agent.networks()[name]) for name in ("policy", "q1", "q2")}
    for _ in range(1500):
        agent.update(replay)
    chosen = agent.predict(PLACES)
    assert chosen.tolist() == [1, 2] and chosen.dtype == np.int64
    assert [agent.predict(place[np.newaxis]).tolist() for place in PLACES] == [[1], [2]]
    worth = [[0.64, 0.8, -1.0], [0.8, 0.64, 1.0]]
    for name in ("q1", "q2"):
        assert [agent.networks()[name].act(place) for place in PLACES] == [pytest.approx(w, abs=0.1) for w in worth]
    explored = [agent.explore(PLACES[1]) for _ in range(200)]
    assert all(type(choice) is int for choice in explored) and explored.count(2) > 190
    told = agent.diagnostics()
    assert set(told) == {"q1_loss", "q2_loss", "rewired", *measures("policy", "q1", "q2")}
    assert told["rewired"] > 0 and all(topology(agent.networks()[name]) != before[name] for name in before)


@pytest.mark.parametrize(
    "changes", [{}, {"bias_correction": "connection", "policy_every": 3}, {"redo_every": 5}, {"n_steps": 3}]
)
@pytest.mark.parametrize("at", [0, 9, 10, 25])
def test_it_is_saved_and_goes_on_to_the_bit(at, changes):
    _, resumed = restored(partial(make, **changes), at, 23, corridor, PLACES[0])
    resumed.close()


def test_a_state_that_does_not_fit_changes_nothing():
    agent = make()
    arrays, values = through_a_file(make(seed=1).state())
    del arrays["target_q2.hidden2.bias"]
    before = bits(agent)
    with pytest.raises(ValueError, match=r"the saved target_q2: the array hidden2\.bias of a network is missing"):
        agent.load_state(arrays, values)
    assert bits(agent) == before


def test_its_policy_acts_alone():
    agent, replay = make(), corridor()
    for _ in range(30):
        agent.update(replay)
    arrays, values = through_a_file(agent.policy_state())
    policy = Policy.from_state(arrays, values)
    assert (policy.actions, policy.action_size, policy.observation_size) == ("Discrete", CHOICES, 2)
    many = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    for observations in (many, many[:1]):
        assert np.array_equal(policy.predict(observations), agent.predict(observations))
    with pytest.raises(ValueError, match="the head of a policy is tanh, clip, greedy or softmax, got 'best'"):
        Policy.from_state(arrays, {**values, "head": "best"})


def test_the_rest_of_the_house_knows_it_by_its_line():
    entry = agent_entry("discrete-sac")
    assert (entry.networks, entry.targets, entry.actions) == (("policy", "q1", "q2"), ("q1", "q2"), ("Discrete",))
    with pytest.raises(ValueError, match=r"unknown agent 'discrete-sak'; did you mean discrete-sac\?"):
        agent_entry("discrete-sak")
    with pytest.raises(ValueError, match=r"is like it; one of your own is package\.module:NAME"):
        agent_entry("weighted")
    with pytest.raises(TypeError, match="discrete-sac takes settings of DiscreteSACConfig, got SACConfig"):
        make_agent("discrete-sac", SACConfig(), 2, CHOICES, 0)
    config = agent_settings("discrete-sac", "CartPole-v1", gamma=0.9)
    assert config == DiscreteSACConfig(gamma=0.9, topology=ENTRY.topology)
    agent = make(policy_every=2)
    told = inspection.describe(agent, total_timesteps=101 + agent.config.learning_starts)
    assert set(told["networks"]) == NETWORKS
    policy, q1, q2 = (agent.networks()[name].connections for name in entry.networks)
    assert told["params"] == policy + q1 + q2
    assert told["flops"] == 40 * 6 * (50 * policy + 101 * (q1 + q2))
    table = inspection.table(told)
    assert all(f"\n{name} " in table for name in NETWORKS)


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes modules of agents, whose entries go after the test."""
    monkeypatch.setattr(registry, "_ENTERED", {})
    known = set(AGENTS)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(
                f"from dataclasses import dataclass, replace\nfrom rewirl.agents import *\n{text}\n"
            )

    yield write
    for name in set(AGENTS) - known:
        del AGENTS[name]


MINE = "AGENTS['mine'] = replace(AGENTS['td3'], name='mine'{})"


def test_an_agent_is_named_with_the_module_that_enters_it(modules):
    modules(
        of_mine=MINE.format(", summary='one'"),
        of_others=MINE.format(", summary='another'"),
        over=MINE.replace("mine", "td3").format(", summary='over'"),
        broken_agent="1 / 0",
        a_class="AGENTS['mine'] = TD3",
        bad_settings=MINE.format(", config=int"),
        its_seed="@dataclass(frozen=True)\nclass Own(TD3Config):\n    seed: int = 0\n" + MINE.format(", config=Own"),
    )
    before = dict(AGENTS)
    for name, summary in (("of_mine:mine", "one"), ("of_others:mine", "another"), ("over:td3", "over")):
        entry = agent_entry(name)
        assert (entry.name, entry.summary, entry.module) == (name, summary, name.partition(":")[0])
        assert agent_settings(name, "Pendulum-v1") == agent_settings("td3", "Pendulum-v1")
    assert {name: AGENTS[name] for name in before} == before and "mine" not in AGENTS  # which other modules may have
    for said, why in (
        ("of_mine:your", "of_mine enters no agent 'your' in rewirl.agents.AGENTS; it enters mine"),
        ("json:td3", "json enters no agent 'td3' in rewirl.agents.AGENTS"),
        ("nowhere:mine", "cannot import 'nowhere': No module named 'nowhere'. Install it, or run where nowhere.py is"),
        ("broken_agent:mine", "importing broken_agent raised ZeroDivisionError: division by zero"),
        ("a_class:mine", "AGENTS['mine'] must be a rewirl.agents.Entry, got <class"),
        ("bad_settings:mine", "importing bad_settings raised TypeError: the settings of TD3 must be a dataclass"),
        (":mine", "one of your own is package.module:NAME"),
    ):
        with pytest.raises(ValueError, match=re.escape(f"the agent {said!r}: {why}")):
            agent_entry(said)
    with pytest.raises(ValueError, match="seed is a setting of Own and of TrainConfig; rename the first"):
        agent_settings("its_seed:mine", "Pendulum-v1")


def test_a_module_here_that_another_one_hides_is_named(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shown.py").write_text("")
    for path in ("queue.py", "time.py", "json/mine.py"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path[1:], str(tmp_path)])  # as an installed command has it
    for ask, names in (
        (agent_entry, ("queue:mine", "time:mine", "json.mine:mine", "shown:mine")),
        (lambda name: make_rule(name, TopologyConfig()), ("queue:Mine", "json.mine:Mine", "shown:Mine")),
        (named_wrapper, ("queue:Mine", "json.mine:Mine", "shown:Mine")),
        (environment_source, ("queue:Missed-v0", "json.mine:Missed-v0", "shown:Missed-v0")),
        (lambda name: environment_source("Missed-v0", module=name), ("queue", "json.mine", "shown")),
    ):
        for name in names:
            with pytest.raises(ValueError) as refused:
                ask(name)
            module = name.split(":")[0].split(".")[0]
            own = tmp_path / ("json" if module == "json" else f"{module}.py")
            hidden = re.search(
                rf"; {module} is (.+), and not {re.escape(str(own))}: rename the latter$", str(refused.value)
            )
            assert (hidden is None) == (module == "shown"), refused.value


OWN_STATE = """
class Own(TD3):
    def state(self):
        arrays, values = super().state()
        return {}
    def load_state(self, arrays, values):
        super().load_state(arrays, values)
"""


SHORT = ["--env", "Pendulum-v1", "--hidden-sizes", "8", "--total-timesteps", "9", "--learning-starts", "8"]
UNSAVEABLE = {
    "(arrays, {**values, 'best': -float('inf')})": "values.best is -inf, which JSON cannot hold",
    "(arrays, {**values, 'seen': {3: 1}})": "values.seen has the key 3; keys must be strings",
    "({**arrays, 'own': [1.0]}, values)": "array 'own' is of list; it must be a NumPy array",
    "({**arrays, 'own': arrays.popitem()[1].sum()}, values)": "array 'own' is a number (float32) and no array",
    "({**arrays, 3: arrays.popitem()[1]}, values)": "the name 3 of an array is no text",
    "arrays": "its state() returned something else than two dicts",
    "1 / 0": "its state() raised ZeroDivisionError: division by zero (",
}


def test_what_no_checkpoint_can_hold_is_refused_before_the_first_step(modules, tmp_path, capsys):
    kinds = [OWN_STATE.format(returned) + MINE.format(", agent=Own") for returned in UNSAVEABLE]
    modules(unsaveable="\n".join(kind.replace("'mine'", f"'mine{n}'") for n, kind in enumerate(kinds)))
    for number, why in enumerate(UNSAVEABLE.values()):
        name, path = f"unsaveable:mine{number}", tmp_path / "run"
        with pytest.raises(SystemExit) as ended:
            main(["train", "--agent", name, *SHORT, "--batch-size", "4", "--run-dir", str(path)])
        told = capsys.readouterr().err
        assert ended.value.code == 2 and why in told and f"the agent {name} cannot be saved" in told
        assert "It must return two dicts: NumPy arrays" in told and not path.exists()


def with_class(modules, module, text, env="Pendulum-v1", **options):
    """Write mine.toml, whose agent is the class Own of a module, with 20 steps of warm-up."""
    entry = MINE.format(", agent=Own, usual={'learning_starts': 20}").replace("'td3'", f"'{options.pop('of', 'td3')}'")
    modules(**{module: f"import numpy as np\n{text}\n{entry}"})
    lines = [f'agent = "{module}:mine"', f'env = "{env}"', "hidden_sizes = [8]", "batch_size = 8"]
    lines += [f"{name} = {value}" for name, value in options.items()]
    Path("mine.toml").write_text("\n".join(lines))


def with_state(modules, module, returned):
    """Write mine.toml, whose agent is that of a module, with this state and 20 steps of warm-up."""
    with_class(modules, module, OWN_STATE.format(returned))


def test_what_is_filled_by_the_first_update_is_tried_after_it(modules, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    late = "(arrays, {**values, 'seen': {self.updates: 1} if self.updates else {}})"
    with_state(modules, "late", late)
    with rewirl.from_preset("mine.toml", threads=1) as agent:
        with pytest.raises(ValueError, match=r"late:mine cannot be saved: .* values\.seen has the key 1"):
            agent.learn(30, "run", eval_every=0)
        assert agent.steps == 20
    with pytest.raises(SystemExit):
        main(["train", "--preset", "mine.toml", "--total-timesteps", "30", "--eval-every", "0", "--run-dir", "other"])
    told = capsys.readouterr().err
    assert "values.seen has the key 1" in told and "--checkpoint-every" not in told  # which would save nothing either


SEEDED = """
import random
class Own(TD3):
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        np.random.seed(3)
        random.seed(3)
        self.low = np.full(2, np.inf)
    def _explore(self, observation):
        drawn = np.array([np.random.random() + random.random()]) - 1
        self.low = np.minimum(self.low, [drawn[0], {}])
        return drawn
    def state(self):
        arrays, values = super().state()
        return {{**arrays, "low": self.low}}, values
    def load_state(self, arrays, values):
        arrays = dict(arrays)
        self.low = arrays.pop("low")
        super().load_state(arrays, values)
"""


def test_the_try_leaves_streams_of_the_process_and_bounds_that_are_not_known_yet(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with_class(modules, "seeded", SEEDED.format("0.0"))
    with rewirl.from_preset("mine.toml", threads=1) as agent:
        agent.learn(40, "run", eval_every=0)
        drawn = agent._run.training.replay.actions[20:40, 0]
    streams = np.random.RandomState(3), random.Random(3)
    assert drawn == pytest.approx([streams[0].random() + streams[1].random() - 1 for _ in range(20)], abs=1e-6)
    with_class(modules, "seeded_and_infinite", SEEDED.format("np.inf"))
    with rewirl.from_preset("mine.toml", threads=1) as agent:
        with pytest.raises(ContractError, match=r"cannot be saved: its .* an array 'low' that is not finite.*diverged"):
            agent.learn(40, "other", eval_every=0)
        assert agent.steps == 20


def test_what_is_never_saved_is_not_tried_and_a_resumed_run_is_as_it_was_saved(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    best = "[arrays, {**values, 'best': self.updates or -float('inf')}]"
    with_state(modules, "best", best)
    with rewirl.from_preset("mine.toml", threads=1) as agent:
        assert agent.learn(10).steps == 10
    monkeypatch.setattr("rewirl.training.run.refuse_unsaveable", lambda *_: None)  # as earlier versions
    with rewirl.from_preset("mine.toml", threads=1) as agent:
        agent.learn(30, "run", eval_every=0)
    with rewirl.resume("run") as again:
        assert again.learn(10).steps == 40


BOX, CHOICE, CLIP = "an array of shape (1,)", "one of the integers from 0 to 1", "numbers in [-1, 1]: clip them"
NO_ACTIONS = [
    *[("td3", returned, CLIP) for returned in ("np.full(1, 1.5)", "np.full(1, -1.0000001, np.float32)")],
    *[("td3", returned, BOX) for returned in ("np.ones((1, 1))", "0.5", "[True]", "None", "[[1], [1, 2]]", "['a']")],
    *[("dqn", returned, CHOICE) for returned in ("np.array([1])", "1.0", "True", "2", "-1", "None")],
]


def test_what_is_no_action_is_refused_at_once_by_the_name_of_the_agent(modules, tmp_path, monkeypatch):
    """The memory of a run had it, and no checkpoint could be resumed; or the agent was called diverged."""
    monkeypatch.chdir(tmp_path)
    for number, (of, returned, due) in enumerate(NO_ACTIONS):
        own = f"class Own({of.upper()}):\n    def _explore(self, observation):\n        return {returned}"
        with_class(modules, f"no_action{number}", own, "Pendulum-v1" if of == "td3" else "CartPole-v1", of=of)
        with rewirl.from_preset("mine.toml", threads=1) as agent:
            with pytest.raises(ContractError, match=rf"no_action{number}:mine: its explore\(\) returned ") as refused:
                agent.learn(30)
            assert f"An action must be {due}" in str(refused.value)
            assert agent.steps == 20
    with_class(modules, "no_number", "class Own(TD3):\n    def _explore(self, observation):\n        return [np.nan]")
    with (
        rewirl.from_preset("mine.toml", threads=1) as agent,
        pytest.raises(rewirl.DivergedError, match="its actions are not finite numbers"),
    ):
        agent.learn(30)


ACTS = """
class Own(TD3):
    def _explore(self, observation):
        now = np.clip(self._streams["exploration"].normal(0, 0.5, 1), -1, 1)
        {0}
        return {1}
"""


def test_an_action_is_kept_as_it_was_whatever_becomes_of_the_array_of_the_agent(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = []
    for module, acts in (
        ("acts_once", ACTS.format("", "now.astype(np.float32)")),
        ("acts_float64", ACTS.format("", "now")),
        ("acts_again", ACTS.format("self.all = getattr(self, 'all', now * 0); self.all[:] = now", "self.all")),
    ):
        with_class(modules, module, acts, n_envs=2)
        with rewirl.from_preset("mine.toml", threads=1) as agent:
            agent.learn(31, module, eval_every=0)
        with rewirl.resume(module) as agent:  # in the midst of a step of the other environment
            agent.learn(9)
            kept.append(agent._run.training.replay.actions[:40].copy())
    assert len(np.unique(kept[0])) > 30 and all(np.array_equal(each, kept[0]) for each in kept)


TELLS = """
class Own(TD3):
    def diagnostics(self):
        return {}
"""
NO_DIAGNOSTICS = {
    "{'mine': True}": "mine must be a number, got True",
    "{'mine': np.ones(2)}": r"mine must be a number, got array\(\[1\., 1\.\]\)",
    "{'mine': 'text'}": "mine must be a number, got 'text'",
    "{3: 1.0}": "something else than a dict with names",
    "[1.0]": "something else than a dict with names",
    "{'step': 1.0}": "has step, a field of the record itself",
    "{'mine': np.mean([np.nan])}": "has mine, which is nan",
    "{'mine': 1 / self.updates}": r"raised ZeroDivisionError: division by zero \(.*, line \d+\)",
    "{'mine': np.inf if self.updates else 0.0}": "has mine, which is inf.* the agent has diverged",
}


def test_diagnostics_that_no_checkpoint_can_hold_are_refused_before_it(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, (returned, why) in enumerate(NO_DIAGNOSTICS.items()):
        with_class(modules, f"tells{number}", TELLS.format(returned))
        with rewirl.from_preset("mine.toml", threads=1) as agent:
            with pytest.raises(ContractError, match=rf"the agent tells{number}:mine.* its diagnostics\(\).* ?{why}"):
                agent.learn(30, f"run{number}", eval_every=0)
            assert agent.steps == (20 if "if self" in returned or "nan" in returned else 0)


def test_diagnostics_may_be_numbers_of_numpy_and_none_is_not_known_yet(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = "{**super().diagnostics(), 'a': np.array(2.0), 'b': np.float32(0.5), 'c': np.int64(3), 'd': None}"
    with_class(modules, "tells_all", TELLS.format(told))
    with rewirl.from_preset("mine.toml", threads=1) as agent:
        agent.learn(30, "run", eval_every=0)
        told = agent.diagnostics
    assert {name: told.get(name) for name in "abcd"} == {"a": 2.0, "b": 0.5, "c": 3.0, "d": None} and "d" not in told
    with rewirl.resume("run") as agent:
        assert agent.learn(5).steps == 35


def test_one_that_is_not_finite_later_is_named_as_its_own(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with_class(modules, "tells_late", TELLS.format("{'mine': np.nan if self.updates > 3 else 0.0}"))
    with (
        rewirl.from_preset("mine.toml", threads=1) as agent,
        pytest.raises(rewirl.DivergedError, match=r"mine is nan, which its diagnostics\(\) should leave out where"),
    ):
        agent.learn(30, "run", eval_every=0)


LOADS = """
class Own(TD3):
    def state(self):
        arrays, values = super().state()
        return arrays, {**values, "seen": self.updates or None}
    def load_state(self, arrays, values):
        super().load_state(arrays, values)
        self.seen = WHAT
"""


def test_what_cannot_be_loaded_again_is_refused_before_it_is_trained_for(modules, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    refused = "loads{}:mine: its load_state\\(\\) raised {} \\(.*loads{}.py, line 11\\). It must take what state"
    for number, (loaded, error, steps) in enumerate(
        (
            ("values['sen']", "KeyError: 'sen'", 0),
            ("values['seen'] + 1", "TypeError: unsupported .*", 0),
            ("values['seen'] and values['seen'] / 0", "ZeroDivisionError: division by zero", 20),
        )
    ):
        with_class(modules, f"loads{number}", LOADS.replace("WHAT", loaded))
        with rewirl.from_preset("mine.toml", threads=1) as agent:
            with pytest.raises(ContractError, match=refused.format(number, error, number)):
                agent.learn(30, f"run{number}", eval_every=0)
            assert agent.steps == steps
    with monkeypatch.context() as earlier:
        for module in ("run", "learning"):
            earlier.setattr(f"rewirl.training.{module}.refuse_unsaveable", lambda *_: None)
        with rewirl.from_preset("mine.toml", threads=1) as agent:
            agent.learn(30, "run", eval_every=0)
    with pytest.raises(CheckpointError, match=refused.format(2, "ZeroDivisionError.*", 2)):
        rewirl.resume("run")
    with pytest.raises(SystemExit):
        main(["inspect", "run"])
    assert re.search(refused.format(2, "ZeroDivisionError.*", 2), capsys.readouterr().err)


def test_two_agents_of_one_name_are_two_in_a_sweep_and_in_a_directory(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    modules(one=MINE.format(""), two=MINE.format(""))
    Path("s.toml").write_text('agents = ["one:mine", "two:mine"]\nenvs = ["Pendulum-v1"]\nseeds = [0]\n')
    runs = plan(read_sweep("s.toml").requests, tmp_path / "runs")
    assert [run.config.agent for run in runs.values()] == ["one:mine", "two:mine"]
    assert len(runs) == 2 and not any(":" in name for name in runs)
    assert [PlannedRun.from_values(run.values()).config for run in runs.values()] == [
        run.config for run in runs.values()
    ]


def test_a_run_is_resumed_by_the_class_of_its_agent(modules, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    modules(same=MINE.format(", usual={'learning_starts': 20}"))
    Path("mine.toml").write_text('agent = "same:mine"\nenv = "Pendulum-v1"\nhidden_sizes = [8]\nbatch_size = 8\n')
    with rewirl.from_preset("mine.toml", threads=1) as agent:
        agent.learn(30, "run", eval_every=0)
    del AGENTS["same:mine"]  # as in another process
    with rewirl.resume("run") as agent:
        assert (agent.name, agent.steps) == ("same:mine", 30) and not isinstance(agent, rewirl.TD3)
        agent.learn(5)
    assert rewirl.load("run").about["agent"] == "same:mine"
    config = {"train": to_values(TrainConfig(agent="gone:mine", env="Pendulum-v1")), "agent": {}}
    with (
        RunDirectory.create(tmp_path / "other", config, instruction_set="portable") as directory,
        pytest.raises(RunDirectoryError, match=r"run of gone:mine, which is no agent here; .*cannot import 'gone'"),
    ):
        settings_of(directory)


def test_words_of_an_option_are_those_of_the_agent_that_is_asked_for(modules, capsys):
    own = "@dataclass(frozen=True)\nclass Own{0}(TD3Config):\n    mix: {0} = {1}\n" + MINE.format(", config=Own{0}")
    modules(mix=own.format("float", "1.0") + "\n" + own.format("int", "3").replace("mine", "other"))
    for agent, value, code in (("mine", "0.5", 0), ("other", "0.5", 2), ("other", "5", 0)):
        with pytest.raises(SystemExit) as ended:
            main(["train", "--agent", f"mix:{agent}", "--env", "Pendulum-v1", "--mix", value, "--dry-run"])
        assert ended.value.code == code, capsys.readouterr()


def test_an_agent_that_is_none_is_named_with_its_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("sweep.toml").write_text('agents = ["td4"]\nenvs = ["Pendulum-v1"]\nseeds = [0]\n')
    Path("mine.toml").write_text('agent = "td4"\nenv = "Pendulum-v1"\n')
    for arguments, where in (
        (["sweep", "sweep.toml"], "sweep.toml: "),
        (["train", "--preset", "mine.toml"], "mine.toml"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert re.search(rf"{where}.*unknown agent 'td4'; did you mean td3\?", capsys.readouterr().err)


def test_what_a_module_prints_is_not_the_output_of_a_command(modules, capsys):
    modules(prints="print('hello')\n" + MINE.format(""))
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "--agent", "prints:mine", "--env", "Pendulum-v1", "--json"])
    printed = capsys.readouterr()
    assert ended.value.code == 0 and json.loads(printed.out)["env"] == "Pendulum-v1" and "hello" in printed.err


def test_an_agent_that_does_not_say_what_is_asked_of_it_is_refused():
    kind = type("Silent", (), {"ONLINE": ("q1",), "TARGETS": (), "REPLAY": True, "MOST_ENVIRONMENTS": None})
    with pytest.raises(TypeError, match=r"Silent does not say COST, ACTIONS; rewirl\.agents\.agent\.Agent explains"):
        replace(ENTRY, agent=kind)


def test_help_leaves_out_what_dataclass_says_of_its_settings(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "--agent", "discrete-sac", "--env", "CartPole-v1", "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and "--temperature" in out and "DiscreteSACConfig(" not in out


def test_the_report_draws_it(tmp_path):
    """Of a run directory with what a run of its own writes."""
    agent, replay, total = make(), corridor(), 60
    train = TrainConfig(agent="discrete-sac", env="CartPole-v1", total_timesteps=total, threads=1)
    config = {"train": to_values(train), "agent": to_values(agent.config)}
    RunDirectory.create(tmp_path / "run", config, instruction_set="portable").close()
    drift, lines = Drift(agent.networks()), [{"event": "start", "step": 0}]
    for step in range(total + 1):
        if step % 20 == 0:
            now = {"step": step, "updates": agent.updates, "connections": connections(agent)}
            lines += [
                {"event": "evaluation", **now, "return_mean": 5.0 * step, "seconds": 0.1 * step},
                {"event": "topology", **now, "networks": drift.measure(agent.networks())},
            ]
        agent.update(replay)
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    runs, problems = find_runs([tmp_path])
    assert problems == []
    assert runs[0].connections[-1] == sum(agent.networks()[name].connections for name in ("policy", "q1", "q2"))
    assert runs[0].flops[-1] == pytest.approx(6 * 40 * total * runs[0].connections[-1])
    blocks = report(runs, problems)
    assert re.search(r"\| policy +\| 2-32-24-3 +\|", document.markdown(blocks))
    drawn = [block.alt for block in blocks if isinstance(block, document.Figure) and "connections alive" in block.title]
    assert len(drawn) == 1 and all(part in drawn[0] for part in ("(and both qs)", "policy, layer 2; ", "qs, layer 2."))


def test_distances_between_actions_are_refused():
    with pytest.raises(ValueError, match="buffer_distance compares actions that are real numbers"):
        make(buffer_distance=0.2)
