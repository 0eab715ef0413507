"""Promises of the sweep file: what it means, how its runs are called, and what is refused at the door."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rewirl.cli.main import main
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.file import experiments, narrowed, read_sweep
from rewirl.experiments.sweep.plan import PlannedRun, check, plan
from rewirl.options.resolve import papers_settings, resolve
from rewirl.options.train import TrainConfig
from rewirl.presets.lookup import names, preset

MUJOCO = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5")
SMALL = 'agents = ["ds-td3"]\nenvs = ["Pendulum-v1"]\nseeds = [0]\n'


@pytest.fixture
def runs(tmp_path):
    def read(text: str, **overrides: Any) -> dict[str, PlannedRun]:
        file = tmp_path / "sweep.toml"
        file.write_text(text)
        return plan(read_sweep(str(file), overrides).requests, tmp_path / "runs")

    return read


def test_lists_are_multiplied_and_the_seeds_come_first(runs):
    made = runs('paper = "ds-drl"\nagents = ["td3", "ds-td3"]\nenvs = ["Hopper-v5", "Ant-v5"]\nseeds = [3, 1]')
    assert list(made) == [
        f"{env}-{agent}-{seed}" for seed in (1, 3) for agent in ("td3", "ds-td3") for env in ("Hopper-v5", "Ant-v5")
    ]
    one = made["Ant-v5-ds-td3-3"]
    assert one.config == TrainConfig(agent="ds-td3", env="Ant-v5", seed=3, threads=1)
    assert one.agent_config == papers_settings("ds-td3", "Ant-v5")


def test_a_list_of_values_varies_an_option_and_a_list_of_lists_one_that_takes_a_list(runs):
    made = runs(SMALL + "adapt_every = [200, 1000]\nhidden_sizes = [[32, 32], [64, 64]]\nlearning-rate = 1")
    configs = [run.agent_config for run in made.values()]
    assert [(config.hidden_sizes, config.topology.adapt_every) for config in configs] == [
        ((32, 32), 200),
        ((64, 64), 200),
        ((32, 32), 1000),
        ((64, 64), 1000),
    ]
    first = next(iter(made.values())).agent_config
    assert first.hidden_sizes == (32, 32) and first.topology.adapt_every == 200
    assert first.learning_rate == 1.0 and isinstance(first.learning_rate, float)
    (single,) = runs(SMALL + "hidden_sizes = [32, 16]").values()
    assert single.agent_config.hidden_sizes == (32, 16)


def test_a_group_says_more_than_the_file_and_the_command_line_more_than_both(runs):
    text = 'envs = ["Pendulum-v1"]\nseeds = [0]\ngamma = 0.9\n[[runs]]\nagents = ["td3"]\n'
    text += '[[runs]]\nagents = ["ds-td3"]\ngamma = [0.8, 0.7]'
    assert [run.agent_config.gamma for run in runs(text).values()] == [0.9, 0.8, 0.7]
    assert [(run.config.agent, run.agent_config.gamma) for run in runs(text, gamma=0.5).values()] == [
        ("td3", 0.5),
        ("ds-td3", 0.5),
    ]


def test_what_changes_nothing_of_a_run_is_not_in_its_name(runs):
    (name,) = runs(SMALL + "paper = 'ds-drl'\nthreads = 2\ncheckpoint_every = 5\nkeep_checkpoints = 1")
    assert name == "Pendulum-v1-ds-td3-0"


def test_a_file_takes_the_settings_of_a_paper_as_its_own(runs):
    text = 'agents = ["td3", "ds-sac"]\nenvs = ["Ant-v5", "Pendulum-v1"]\nseeds = [0]\n'
    usual, papers = runs(text), runs(text + 'paper = "ds-drl"\n')
    assert {run.agent_config.learning_starts for run in usual.values()} == {1_000}
    assert list(papers) == [f"{env}-{agent}-0" for agent in ("td3", "ds-sac") for env in ("Ant-v5", "Pendulum-v1")]
    assert papers["Ant-v5-ds-sac-0"].agent_config == resolve({"preset": "ds-drl/ds-sac/Ant-v5"}).agent
    (first, second) = runs(
        text.replace(', "ds-sac"', "").replace(', "Pendulum-v1"', "")
        + '[[runs]]\npaper = "ds-drl"\nlearning_starts = 5\nwarm_up_policy = { agent = "sac" }'
    ).values()
    assert (first.agent_config.tau, first.agent_config.learning_starts) == (1.0, 10_000)
    assert second.agent_config.learning_starts == 5


def test_presets_keep_their_settings_in_a_file_that_names_a_paper(runs):
    text = 'presets = ["small/pendulum"]\nseeds = [0]\n'
    ((name, alone),) = runs(text).items()
    for other in (runs('paper = "ds-drl"\n' + text), runs(f'paper = "ds-drl"\n[[runs]]\n{text}')):
        assert list(other) == [name] and other[name].agent_config == alone.agent_config
    with pytest.raises(SweepError, match="no paper 'nonsense'"):
        runs('paper = "nonsense"\n' + text)


def test_an_unknown_option_is_answered_with_a_command(runs):
    with pytest.raises(SweepError, match="no option 'n_timesteps'; that is here: total_timesteps"):
        runs(SMALL + "n_timesteps = 1")
    with pytest.raises(SweepError, match=r"no option 'zzz'; .*see .*rewirl train --agent ds-td3 --help"):
        runs(SMALL + "zzz = 1")


def test_a_run_that_would_learn_nothing_is_refused_before_anything_starts(runs):
    with pytest.raises(SweepError, match=r"nothing would be learnt: there is no update in the first 1,000 steps"):
        check(runs(SMALL + "total_timesteps = 1_000").values())
    check(runs(SMALL + "total_timesteps = 1_001").values())


def test_a_sparsity_takes_the_place_of_the_papers_lambdas(runs):
    (run,) = runs('agents = ["ds-td3"]\nenvs = ["Ant-v5"]\nseeds = [0]\nsparsity = 0.8').values()
    assert re.fullmatch(r"Ant-v5-ds-td3-[0-9a-f]{8}-0", run.name)
    assert run.agent_config.topology.lambdas is None and run.agent_config.topology.sparsity == 0.8


@pytest.mark.parametrize("amount", ["lambdas = [[7.0, 20.0]]", "layer_sparsities = [0.8, 0.0, 0.0]", "sparsity = 0.9"])
def test_of_how_many_connections_there_are_the_later_layer_says_all(runs, amount):
    def of(text, **overrides):
        return [run.agent_config.topology.summary() for run in runs(text, **overrides).values()]

    assert of(SMALL + amount, sparsity=0.8) == ["sparsity 0.8, set"]
    assert of(SMALL + amount, lambdas=(3.0, 4.0)) == ["lambdas 3 4, set"]
    assert of(SMALL + f"{amount}\n[[runs]]\nlambdas = [3.0, 4.0]\n[[runs]]\nsparsity = [0.7, 0.8]") == [
        "lambdas 3 4, set",
        "sparsity 0.7, set",
        "sparsity 0.8, set",
    ]
    (summary,) = of(f'presets = ["anf/td3/Hopper-v5"]\nseeds = [0]\n{amount}')
    assert summary.startswith({"la": "la", "sp": "sparsity 0.9"}[amount[:2]])
    warm = SMALL + f'{amount}\nwarm_up_policy = {{ agent = "ds-td3", lambdas = [3.0, 4.0] }}'
    assert of(warm)[0] == "lambdas 3 4, set" and of(warm, sparsity=0.6) == ["sparsity 0.6, set"] * 2


def test_long_names_and_odd_characters_make_directories_all_the_same(runs):
    text = SMALL.replace("Pendulum-v1", "my_package:My/Env-v0") + "env_kwargs = { a = '" + 200 * "x" + "' }"
    (name,) = runs(text)
    assert re.fullmatch(r"my_package-My-Env-v0-ds-td3-[0-9a-f]{8}-0", name)
    (other,) = runs(text.replace("xx'", "xy'"))
    assert other != name


def test_a_warm_up_policy_can_be_that_of_another_run_with_the_same_seed_and_environment(runs, tmp_path):
    made = runs(
        'agents = ["ds-td3"]\nenvs = ["Pendulum-v1"]\nseeds = [0, 1]\neval_every = 70\n'
        'warm_up_policy = [{ agent = "td3", total-timesteps = 500 }, { agent = "sac" }]'
    )
    assert [(run.config.agent, run.config.total_timesteps, run.config.eval_every) for run in made.values()][:4] == [
        ("td3", 500, 70),
        ("ds-td3", 1_000_000, 70),
        ("sac", 1_000_000, 70),
        ("ds-td3", 1_000_000, 70),
    ]
    run = list(made.values())[1]
    assert run.after == next(iter(made))
    assert run.config.warm_up_policy == str(tmp_path / "runs" / run.after)
    assert list(made.values())[5].after == list(made)[4] != run.after
    (_, path) = runs('agents = ["td3", "ds-td3"]\nenvs = ["Ant-v5"]\nseeds = [0]\nwarm_up_policy = "/a/b c"').values()
    assert (path.config.warm_up_policy, path.after) == ("/a/b c", None)


def test_the_source_of_a_warm_up_policy_has_the_environment_of_the_run_that_waits_for_it(runs):
    # It had the file's options alone, and was trained before the run was refused.
    common = 'agents = ["ds-td3"]\nenvs = ["Pendulum-v1"]\nseeds = [0]\n'
    part = '[[runs]]\nenv_kwargs = [{ g = 9.0 }, { g = 8.0 }]\nwrapper = ["rewirl.noisy:NoisyObservations"]\n'
    part += 'env_module = "rewirl.noisy"\nwarm_up_policy = { agent = "td3", total_timesteps = 500 }\n'
    made = runs(common + "env_kwargs = { g = 7.0 }\n" + part + "[[runs]]\n" + part.splitlines()[-1])
    of = [(run.config.agent, run.config.env_kwargs, run.config.wrapper) for run in made.values()]
    noisy = ("rewirl.noisy:NoisyObservations",)
    assert of[::2] == [("td3", {"g": 9.0}, noisy), ("td3", {"g": 8.0}, noisy), ("td3", {"g": 7.0}, ())]
    assert of[1::2] == [("ds-td3", *each[1:]) for each in of[::2]]
    assert [run.config.env_module for run in made.values()] == ["rewirl.noisy"] * 4 + [None] * 2

    said = common + 'env_kwargs = { g = 9.0 }\nwarm_up_policy = { agent = "td3", env_kwargs = { g = 9.0 } }'
    assert [run.config.env_kwargs for run in runs(said).values()] == [{"g": 9.0}] * 2


REFUSED = {
    "key": (SMALL + "adapt_evry = 3", r"sweep.toml: ds-td3 has no option 'adapt_evry'; did you mean adapt_every\?"),
    "one agent": (SMALL.replace("agents =", "agent ="), r"agents is missing \(is it what agent means\?\); for"),
    "no seeds": (
        SMALL.replace("seeds =", "sedes ="),
        r"seeds is missing \(is it what sedes means\?\); for example seeds",
    ),
    "key of a group": (SMALL + "[[runs]]\n[[runs]]\nrue = 1", r"\[\[runs\]\] 2: .* 'rue'; did you mean rule"),
    "agent": (SMALL.replace("ds-td3", "ds-td4"), r"unknown agent 'ds-td4'; did you mean ds-td3\?"),
    "another agent's": (SMALL + "temperature = 0.1", "ds-td3 has no option 'temperature'"),
    "no list": (SMALL.replace("[0]", "0"), "seeds must be a list of int, got 0"),
    "empty list": (SMALL + "gamma = []", "gamma is an empty list"),
    "seed": (SMALL.replace("[0]", "[-1]"), "seeds must not be negative"),
    "number": (SMALL + 'gamma = "0.9"', "gamma must be a number, got '0.9'"),
    "whole number": (SMALL + "adapt_every = [200, 0.5]", "adapt_every must be a whole number, got 0.5"),
    "truth": (SMALL + "seed = 1", "no option 'seed'; did you mean seeds"),
    "not a choice": (SMALL + 'drop = "none"', r"drop must be 'paper' or .*'code' or 'magnitude'.*, got 'none'"),
    "sizes": (SMALL + 'hidden_sizes = ["a"]', "hidden_sizes must be a list of which each is a whole number"),
    "impossible": (SMALL + "gamma = 2", "ds-td3 on Pendulum-v1: gamma must be between 0 and 1, got 2.0"),
    "both": (SMALL + "sparsity = 0.5\nlambdas = [7, 64]", "sparsity and lambdas both"),
    "distribution": (SMALL.replace("Pendulum-v1", "Ant-v5") + 'distribution = "uniform"', "give sparsity too"),
    "twice": (SMALL + "adapt_every = 1\nadapt-every = 2", "adapt-every is there twice"),
    "toml": ("agents = [", "sweep.toml is not TOML"),
    "description": ("description = 1", "description must be text"),
    "description of a part": (
        SMALL + '[[runs]]\ndescription = "x"',
        r"\[\[runs\]\] 1: description is of the whole file",
    ),
    "runs": (SMALL + "[runs]", r"runs must be one or more tables that begin with \[\[runs\]\]"),
    "too many": (SMALL.replace("[0]", str(list(range(200)))) + f"adapt_every = {list(range(1, 60))}", "10,000 runs"),
    "warm-up": (SMALL + "warm_up_policy = 3", "must be a directory, or a run of this sweep"),
    "warm-up agent": (SMALL + 'warm_up_policy = { agent = "td" }', "unknown agent 'td'; did you mean td3"),
    "warm-up list": (SMALL + 'warm_up_policy = { agent = "td3", gamma = [0.5, 1] }', "gamma must have one value here"),
    "warm-up environment": (
        SMALL + 'warm_up_policy = { agent = "td3", env_kwargs = { g = 9.0 } }',
        r"warm_up_policy: env_kwargs is \{'g': 9.0\}, and the run of ds-td3 .* has none; leave it out here",
    ),
    "name": (
        SMALL + "threads = [1, 2]",
        "two different runs would both be called Pendulum-v1-ds-td3-73d389e1-0: threads, in which they differ, "
        "changes nothing that is learnt, and is no part of a name; give it one value",
    ),
    "names": (
        SMALL + "threads = 1\n[[runs]]\nenv_processes = true\n[[runs]]\ncheckpoint_every = 7",
        r"\[\[runs\]\] 2: two different .*: env_processes and checkpoint_every, in which they differ, change nothing",
    ),
    "modules": (
        SMALL + 'env_module = ["rewirl.noisy", "rewirl.changing"]',
        "0: env_module, in which they differ, is no part of a name; give it one value",
    ),
    "label": (SMALL + 'label = "a/b"', 'label must be a word of at most 40 letters, digits and "_.-"'),
    "paper": (SMALL + 'paper = "ds-dril"', "no paper 'ds-dril'; did you mean ds-drl"),
    "no label": (SMALL + "label = 3", "label must be a word"),
}


@pytest.mark.parametrize("text, message", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_refused_with_file_and_key(runs, text, message):
    with pytest.raises(SweepError, match=message) as refused:
        runs(text)
    assert "sweep.toml" in str(refused.value)


@pytest.mark.parametrize(
    "text, message",
    [
        (SMALL.replace("Pendulum-v1", "Pendulun-v1"), r"unknown environment 'Pendulun-v1': did you mean Pendulum-v1\?"),
        (SMALL + "sparsity = 0.9999", r"layer +shape +density +connections"),
        (SMALL + 'rule = "sett"', "sett"),
        (SMALL + 'warm_up_policy = "nowhere"', "nowhere does not exist"),
    ],
)
def test_what_no_environment_or_agent_can_be_made_of_is_refused_before_anything_starts(runs, text, message):
    made = runs(text)
    with pytest.raises(SweepError, match=message) as refused:
        check(made.values())
    assert "sweep.toml: " in str(refused.value) and next(iter(made)) in str(refused.value)


def test_an_unknown_experiment_is_refused_with_what_is_near(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("")
    with pytest.raises(SweepError, match=r"did you mean mine\.toml\?"):
        read_sweep("mine")
    with pytest.raises(SweepError, match=r"none of \d+ names is like it; see .*sweep --help"):
        read_sweep("xyzzy")
    with pytest.raises(SweepError, match=r"no experiment 'small/pendulum', .*it is a preset: .* train --preset small/"):
        read_sweep("small/pendulum")
    with pytest.raises(SweepError, match=r"no experiment 'ds-drl/table2'.*did you mean ds-drl/table-2\?"):
        read_sweep("ds-drl/table2")
    with pytest.raises(SweepError, match="cannot be read"):
        read_sweep("missing.toml")


@pytest.mark.parametrize("name", [".", "", "/", ".."])
def test_a_path_without_a_name_is_no_experiment(name):
    with pytest.raises(SweepError, match=f"no experiment '{re.escape(name)}', and no such file; none of .* see .*help"):
        read_sweep(name)


def test_a_preset_file_that_is_not_there_is_named_with_the_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.toml").write_text('presets = ["mine.toml"]')
    with pytest.raises(SystemExit):
        main(["sweep", "sweep.toml"])
    assert "rewirl: sweep.toml: mine.toml cannot be read" in capsys.readouterr().err
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "best.toml").touch()
    for name in ("study", "study/best"):
        with pytest.raises(ValueError, match=r"no preset .*; did you mean study/best\.toml\?"):
            preset(name)


@pytest.mark.parametrize("command", [["sweep", "sweep.toml"], ["tune", "--agent", "td3", "--env", "Pendulum-v1"]])
@pytest.mark.parametrize("place", ["sweep.toml", "sweep.toml/below"])
def test_a_directory_that_cannot_be_is_refused_before_anything_starts(tmp_path, monkeypatch, capsys, command, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.toml").write_text(SMALL)
    for dry in ([], ["--dry-run"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--directory", place, *dry])
        assert ended.value.code == 2
        assert re.search(f"--directory {place} cannot be: .*sweep.toml is not a directory", capsys.readouterr().err)


def test_a_sweep_can_be_narrowed_to_what_it_has():
    kept = narrowed(read_sweep("ds-drl/table-2"), ["td3"], ["Ant-v5", "Hopper-v5"], [4]).requests
    assert [(run.agent, run.env, run.seed) for run in kept] == [("td3", "Hopper-v5", 4), ("td3", "Ant-v5", 4)]
    for wrong, message in [
        ((["td"],), "has no agent td; did you mean td3"),
        (([], ["Ant-v4"]), "has no environment Ant-v4; did you mean Ant-v5"),
        (([], [], [7]), "has no seed 7"),
    ]:
        with pytest.raises(SweepError, match=message):
            narrowed(read_sweep("ds-drl/table-2"), *wrong)
    with pytest.raises(SweepError, match="no run with that agent, environment and seed together"):
        narrowed(read_sweep("ds-drl/results"), ["sac"], ["Hopper-v5"])


def test_runs_that_others_wait_for_are_not_narrowed_away():
    made = plan(narrowed(read_sweep("ds-drl/figure-4"), ["ds-td3"], [], [0]).requests, Path("runs"))
    assert [run.config.agent for run in made.values()] == ["ds-td3", "td3", "ds-td3", "td3", "ds-td3"]


RUNS = {
    "table-1": 100,
    "table-2": 100,
    "figure-1": 100,
    "memory-flops": 15,
    "figure-2": 25,
    "figure-3": 20,
    "figure-4": 55,
    "table-4": 50,
    "table-5": 50,
    "figure-5": 50,
    "paper": 89,
    "figures": 30,
    "why-ds-sac": 32,
    "why-humanoid": 12,
    "wall-clock": 25,
    "connections": 55,
    "results": 17,
}


def test_every_experiment_of_the_paper_has_a_name_and_says_what_it_shows():
    assert {name: len(plan(read_sweep(name).requests, Path("runs"))) for name in experiments()} == {
        **{f"ds-drl/{name}": count for name, count in RUNS.items()},
        "blocks/screening": 28,
        "blocks/at-90": 60,
        "blocks/rewiring": 32,
        "blocks/normalised": 40,
        "blocks/settings": 24,
        "blocks/fast-settings": 8,
        "blocks/batch-96": 10,
        "blocks/width": 20,
        "blocks/paper": 20,
        "blocks/fast": 40,
        "discrete/breakout": 9,
        "discrete/breakout-size": 6,
        "discrete/cartpole": 9,
        "frontier/dense": 4,
        "frontier/dog-run": 4,
        "frontier/dog-width": 10,
        "frontier/humanoid": 8,
        "frontier/per-hour": 10,
        "frontier/simba-width": 16,
        "frontier/xqc-rewiring": 6,
        "frontier/xqc-sparsity": 10,
        "methods/ninety-percent": 42,
        "methods/noise": 6,
        "on-policy/cartpole": 9,
        "on-policy/half-cheetah": 9,
        "on-policy/pqn-cartpole": 9,
        "plasticity/slippery-ant": 12,
        "small/tasks": 18,
        "streams/mujoco": 15,
    }
    assert all(experiments().values())


def test_experiments_share_their_runs_and_their_settings_are_the_papers():
    table, figure = (plan(read_sweep(f"ds-drl/{name}").requests, Path("runs")) for name in ("table-2", "figure-1"))
    assert table.keys() == figure.keys()
    for env in MUJOCO:
        for agent in ("td3", "static-td3", "ds-td3"):
            assert table[f"{env}-{agent}-0"].agent_config == resolve({"preset": f"ds-drl/{agent}/{env}"}).agent
        (soft,) = (run for name, run in table.items() if re.fullmatch(rf"{env}-sac-soft-[0-9a-f]{{8}}-0", name))
        assert soft.agent_config == resolve({"preset": f"ds-drl/sac-soft/{env}"}).agent
        assert soft.config == TrainConfig(agent="sac", env=env, threads=1)
    hard = plan(read_sweep("ds-drl/table-5").requests, Path("runs"))
    assert hard["Ant-v5-ds-sac-4"].agent_config == resolve({"preset": "ds-drl/ds-sac/Ant-v5"}).agent
    for name in ("figure-2", "figure-3", "figure-4", "wall-clock", "connections"):
        assert "HalfCheetah-v5-td3-4" in plan(read_sweep(f"ds-drl/{name}").requests, Path("runs"))


@pytest.mark.parametrize("name", names())
def test_a_preset_in_a_sweep_is_the_preset(tmp_path, name):
    path = tmp_path / "mine.toml"
    path.write_text(f'presets = ["{name}"]\nseeds = [3]')
    ((planned),) = plan(read_sweep(str(path)).requests, tmp_path).values()
    run, agent = resolve({"preset": name, "seed": 3, "threads": 1})
    assert planned.agent_config == agent
    assert planned.config == run


def test_options_go_before_those_of_a_preset(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("""
seeds = [0, 1]
total_timesteps = 1000
[[runs]]
presets = ["rlx2/td3/Hopper-v5", "graesser/set-sac/Hopper-v5"]
batch_size = [50, 60]
[[runs]]
agents = ["td3"]
envs = ["Hopper-v5"]
""")
    planned = list(plan(read_sweep(str(path)).requests, tmp_path).values())
    assert len(planned) == 2 * (2 * 2 + 1)
    assert {run.config.total_timesteps for run in planned} == {1000}
    assert {run.agent_config.batch_size for run in planned if run.config.agent != "td3"} == {50, 60}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('presets = ["rlx2/td3/Hoper-v5"]', "did you mean rlx2/td3/Hopper-v5"),
        ('presets = "rlx2/td3/Hopper-v5"', "presets must be a list of names"),
        ("presets = []", "presets must be a list of names"),
        ('presets = ["rlx2/td3/Hopper-v5"]\nagents = ["td3"]', "leave agents out"),
    ],
)
def test_presets_that_cannot_be_are_refused(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(f"seeds = [0]\n{text}")
    with pytest.raises(SweepError, match=message):
        read_sweep(str(path))


def test_the_example_in_the_docs_means_what_they_say(runs):
    (example,) = re.findall(r"```toml\n(.*?)```", (Path(__file__).parents[2] / "docs/sweeps.md").read_text(), re.DOTALL)
    made = runs(example)
    assert len(made) == 2 * 3 * (2 + 2 * 2 + 1 + 1)
    agents = [run.agent_config for run in made.values()]
    assert sum(agent.hidden_sizes == (512, 512) and agent.topology.adapt_every == 500 for agent in agents) == 6
    assert sum(run.config.agent == "td3" and run.config.total_timesteps == 200_000 for run in made.values()) == 6
