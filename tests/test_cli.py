"""Promises of the command line: what a person types, reads, and gets as exit code."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rewirl.bench import end_to_end
from rewirl.cli import policy as policy_commands
from rewirl.cli.commands import COMMANDS
from rewirl.cli.inputs import lines_of_inputs
from rewirl.cli.main import main
from rewirl.cli.parse import parse, parse_run
from rewirl.environments.environment import Environment
from rewirl.options.resolve import resolve
from rewirl.presets import lookup
from rewirl.printing import number
from rewirl.storage.policy_file import load_policy, save_policy
from rewirl.storage.values import from_text

PROBES = str(Path(__file__).parent / "training")
SMALL = shlex.split(
    "--env Pendulum-v1 --hidden-sizes 16 16 --learning-starts 50 --batch-size 10 --eval-episodes 2 --threads 1"
)


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def rewirl(capsys):
    def call(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        code = exit_.value.code
        assert isinstance(code, int)
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    with pytest.raises(SystemExit) as exit_:
        main(["train", *SMALL, "--total-timesteps", "300", "--eval-every", "150", "--run-dir", str(path)])
    assert exit_.value.code == 0
    return path


def test_help_lists_every_command_and_each_explains_itself(rewirl):
    overview = rewirl("--help")
    assert overview.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in overview.out
        one = rewirl(name, "--help")
        assert one.code == 0 and f"usage: rewirl {name}" in one.out


def test_train_help_has_every_option_flat_with_the_resolved_defaults(rewirl):
    text = rewirl("train", "--agent", "ds-td3", "--env", "Ant-v5", "--help").out
    for option in shlex.split(
        "agent env total-timesteps learning-starts batch-size buffer-size learning-rate gamma tau sparsity lambdas "
        "rule adapt-every adapt-fraction eval-every eval-episodes checkpoint-every threads hidden-sizes env-module "
        "env-kwargs preset run-dir seed dry-run"
    ):
        assert f"--{option} " in text, option
    words = " ".join(text.replace("│", " ").split())
    assert "Typical: 7 64. (default: 40.0 64.0)" in words
    assert "(default: Ant-v5)" in words
    other = " ".join(rewirl("train", "--env=Pendulum-v1", "--help").out.replace("│", " ").split())
    assert "Typical: 0.5 to 0.95. (default: 0.5)" in other


def test_inspect_has_the_papers_numbers(rewirl):
    dense = json.loads(rewirl("inspect", "--agent", "td3", "--env", "HalfCheetah-v5", "--json").out)
    assert dense["params"] == 214_784
    assert f"{dense['flops']:.3g}" == "1.07e+14"
    assert dense["sparsity"] == 0
    assert dense["memory_bytes"]["replay"] == 4 * (17 + 6 + 1 + 17 + 1) * 1_000_000
    first = {"shape": [256, 17], "connections": 4352, "density": 1.0, "format": "dense", "structure": "dense"}
    assert dense["networks"]["actor"]["layers"][0] == first
    sparse = json.loads(rewirl("inspect", "--agent", "ds-td3", "--env", "HalfCheetah-v5", "--json").out)
    assert sparse["params"] / dense["params"] == pytest.approx(0.49, abs=0.005)
    assert sparse["flops"] / dense["flops"] == pytest.approx(0.49, abs=0.006)


def test_inspect_names_the_structure_of_every_layer(rewirl):
    options = (
        "inspect",
        "--env",
        "Pendulum-v1",
        "--sparsity",
        "0.5",
        "--structure",
        "8x1",
        "--hidden-sizes",
        "100",
        "6",
    )
    layers = json.loads(rewirl(*options, "--json").out)["networks"]["critic1"]["layers"]
    assert [layer["structure"] for layer in layers] == ["8x1", "unstructured", "dense"]
    assert re.search(r"critic1 +1 +100 x 4 .* 8x1\n +2 +6 x 100 .* unstructured\n", rewirl(*options).out)


def test_inspect_names_the_ends_of_tasks_and_the_bounds_of_a_sparsity_that_follows_the_loss(rewirl):
    small = ("inspect", "--env", "Pendulum-v1", "--hidden-sizes", "16")
    tasks = rewirl(*small, "--rule", "set", "--sparsity", "0.5", "--freeze-after", "10", "2000").out
    assert "\ntasks      0 ended, one after each of the updates 10, 2,000; flops are those" in tasks
    bounds = "--lowest-sparsity 0.25 --sparsity 0.7 --actor-sparsity 0.6 --sparsity-start 5 --sparsity-end 5000"
    follows = rewirl(*small, "--sparsity-schedule", "adaptive", "--initial-sparsity", "0.5", *bounds.split()).out
    assert "\nadaptive   from update 5 to 5,000, between sparsity 0.25 and 0.7 or 0.6, by the loss; flops" in follows


def test_dry_run_prints_and_writes_nothing(rewirl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = rewirl("train", *SMALL, "--dry-run")
    assert shown.code == 0
    for word in ("critic2", "connections", "flops", "memory"):
        assert word in shown.out
    assert list(tmp_path.iterdir()) == []


def test_the_sparsity_asked_for_replaces_the_papers_lambdas(rewirl):
    shown = json.loads(rewirl("inspect", "--env", "HalfCheetah-v5", "--sparsity", "0.8", "--json").out)
    assert shown["sparsity"] == pytest.approx(0.8, abs=0.01)


def test_a_preset_sets_agent_environment_and_topology(rewirl):
    shown = json.loads(rewirl("inspect", "--preset", "ds-drl/static-td3/Hopper-v5", "--json").out)
    assert (shown["agent"], shown["env"]) == ("static-td3", "Hopper-v5")


def test_presets_are_listed_and_shown_in_full(rewirl):
    listed = rewirl("presets")
    assert listed.code == 0
    assert re.search(r"ds-drl/ds-sac/HalfCheetah-v5 +ds-sac +lambdas 12 80, set\n", listed.out)
    assert re.search(r"ds-drl/td3/Ant-v5 +td3 +dense\n", listed.out)
    shown = json.loads(rewirl("presets", "ds-drl/sac-soft/Ant-v5", "--json").out)
    assert (shown["agent"], shown["env"]) == ("sac", "Ant-v5")
    assert (shown["settings"]["tau"], shown["settings"]["target_update_interval"]) == (0.005, 1)
    everything = json.loads(rewirl("presets", "--json").out)
    assert everything["ds-drl/sac-soft/Ant-v5"] == shown
    assert len(everything) == len(listed.out.splitlines()) - 3
    wrong = rewirl("presets", "ds-drl/ds-sac/Ant-v4")
    assert wrong.code == 2 and "did you mean ds-drl/ds-sac/Ant-v5?" in wrong.err


def test_a_preset_that_is_shown_is_a_preset_file_that_stands_for_the_same(rewirl, tmp_path):
    file = tmp_path / "mine.toml"
    kinds = {(lookup.preset(name).agent, name.partition("/")[0]): name for name in lookup.names()}
    for name in kinds.values():
        file.write_text(rewirl("presets", name).out)
        assert resolve({"preset": str(file)}) == resolve({"preset": name}), name
    shown = file.read_text()
    assert rewirl("presets", str(file)).out.splitlines()[1:] == shown.splitlines()[1:]


def test_policies_are_listed_and_evaluated_by_name(rewirl):
    listed = rewirl("policies")
    card = json.loads(rewirl("policies", "Walker2d-v5/ds-td3").out)
    (row,) = (line for line in listed.out.splitlines() if line.startswith("Walker2d-v5/ds-td3 "))
    played = f"{card['return_mean']:,.0f} +- {card['return_std']:,.0f} ({card['episodes']})"
    numbers = [f"{card['sparsity']:.0%}", f"{card['connections']:,}", f"{card['bytes']:,}"]
    assert re.split(" {2,}", row)[1:] == [played, *numbers]
    assert json.loads(rewirl("policies", "--json").out)["Walker2d-v5/ds-td3"] == card
    assert json.loads(rewirl("policies", "Walker2d-v5/ds-td3/").out) == card
    wrong = rewirl("policies", "Walker2d-v5/ds-td4")
    assert (wrong.code, "did you mean Walker2d-v5/ds-td3?" in wrong.err) == (2, True)
    played = json.loads(rewirl("evaluate", "Walker2d-v5/ds-td3", "--episodes", "1", "--json").out)
    assert played["return_mean"] > 1000


def test_the_help_of_presets_names_what_it_takes(rewirl):
    text = rewirl("presets", "--help").out
    assert "[NAME]" in text and "ds-drl/ds-td3/Ant-v5" in text


@pytest.mark.parametrize("words, steps", [("1e6", 1_000_000), ("1_000_000", 1_000_000), ("2.5e3", 2_500)])
def test_whole_numbers_may_be_powers_of_ten_everywhere(rewirl, tmp_path, words, steps):
    assert from_text(int, [words], "steps") == steps
    missing = rewirl("resume", tmp_path / "none", "--total-timesteps", words)
    assert missing.code == 2 and "holds no run" in missing.err
    assert parse_run("train", ["--total-timesteps", words]).run.total_timesteps == steps


@pytest.mark.parametrize("command", [("train",), ("resume", "run"), ("inspect",)])
def test_a_fraction_is_no_number_of_steps(rewirl, command):
    wrong = rewirl(*command, "--total-timesteps", "1.5e0")
    assert wrong.code == 2 and "a whole number, got 1.5" in wrong.err + wrong.out


def test_sac_trains_stops_and_goes_on_as_any_agent(rewirl, tmp_path):
    settings = [
        "--agent",
        "ds-sac",
        *SMALL,
        "--temperature",
        "auto",
        "--target-update-interval",
        "20",
        "--adapt-every",
        "25",
    ]
    for name, steps in (("whole", 200), ("parts", 120)):
        done = rewirl(
            "train", *settings, "--total-timesteps", steps, "--run-dir", tmp_path / name, "--eval-every", "100"
        )
        assert done.code == 0, done.err
        assert f"steps 0 to {steps}, in" in done.out + done.err
    resumed = rewirl("resume", tmp_path / "parts", "--total-timesteps", "200")
    assert resumed.code == 0
    policies = [(tmp_path / name / "policy" / "policy.safetensors").read_bytes() for name in ("whole", "parts")]
    assert policies[0] == policies[1]
    assert rewirl("evaluate", tmp_path / "whole", "--episodes", "2").code == 0
    described = json.loads(rewirl("inspect", tmp_path / "whole", "--json").out)
    assert set(described["networks"]) == {"actor", "critic1", "critic2", "target_critic1", "target_critic2"}
    lines = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["event"] == "evaluation"][-1]
    density, final = f"{1 - described['sparsity']:.3f}", number(last["return_mean"], least=1)
    for said in (f"seed 0: density {density}, steps 120 to 200, in ", f"Finished 200 steps, return {final}. See it"):
        assert said in resumed.out + resumed.err


def test_the_cost_of_sac_counts_its_actor_at_every_update(rewirl):
    found = json.loads(rewirl("inspect", "--agent", "sac", "--env", "HalfCheetah-v5", "--json").out)
    assert found["params"] == (17 * 256 + 256**2 + 256 * 12) + 2 * (23 * 256 + 256**2 + 256)
    assert found["flops"] == 6 * 256 * (1_000_000 - 1_000) * found["params"]  # the warm-up has no updates


def test_evaluate_repeats_the_runs_own_last_evaluation(rewirl, run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["event"] == "evaluation"][-1]
    found = json.loads(rewirl("evaluate", run, "--episodes", "2", "--json").out)
    assert (found["step"], found["seed"]) == (300, 0)
    for each in ("returns", "return_mean", "return_std", "lengths"):
        assert found[each] == last[each]
    people = rewirl("evaluate", run, "--episodes", "2").out
    assert "over 1 episode\n" in rewirl("evaluate", run, "--episodes", "1").out
    mean = last["return_mean"]
    spread = f"{number(mean, least=2)} +- {number(last['return_std'], mean, least=2)}"
    assert f"return  {spread} over 2 episodes" in people and f"{last['returns'][1]:.2f}" in people
    other = json.loads(rewirl("evaluate", run / "policy", "--episodes", "2", "--seed", "9", "--json").out)
    assert other["returns"] != last["returns"] and other["seed"] == 9


def test_a_policy_is_not_evaluated_where_observations_are_others(rewirl, run, tmp_path):
    arrays, values = load_policy(run / "policy")
    other = {**values["environment"], "name": "MountainCarContinuous-v0", "id": "MountainCarContinuous-v0"}
    save_policy(tmp_path / "policy", arrays, {**values, "environment": other})
    refused = rewirl("evaluate", tmp_path / "policy")
    assert refused.code == 2
    assert "has 2 observations and 1 actions, but the policy was trained with 3 and 1" in refused.err


def test_evaluate_closes_every_environment(rewirl, run, monkeypatch):
    still_open, begin, close = set(), Environment.__init__, Environment.close

    def begin_noted(self, *arguments, **more):
        begin(self, *arguments, **more)
        still_open.add(self)

    def close_noted(self):
        close(self)
        still_open.discard(self)

    monkeypatch.setattr(Environment, "__init__", begin_noted)
    monkeypatch.setattr(Environment, "close", close_noted)
    assert rewirl("evaluate", run, "--episodes", "1").code == 0 and not still_open


def test_inspect_of_a_run_shows_what_its_networks_make_of_every_input(rewirl, run):
    shown = json.loads(rewirl("inspect", run, "--json").out)
    size = shown["observation_size"]
    for name, scores in shown["inputs"].items():
        n_in = shown["networks"][name]["layers"][0]["shape"][1]
        assert set(scores) == {"connections", "strength", "attribution"} and not name.startswith("target")
        assert all(len(values) == n_in and min(values) >= 0 for values in scores.values())
        assert sum(scores["connections"]) == shown["networks"][name]["layers"][0]["connections"]
    assert len(shown["inputs"]["actor"]["strength"]) == size < len(shown["inputs"]["critic1"]["strength"])
    text = rewirl("inspect", run).out
    strengths = shown["inputs"]["actor"]["strength"]
    strongest = strengths.index(max(strengths))
    assert "inputs of actor, strongest first" in text and f"observation {strongest} " in text and "action 0 " in text


def test_inputs_are_shown_from_the_strongest_to_the_weakest_without_those_between():
    strengths = [float(5 * index % 17 + 1) for index in range(17)]
    scores = {"strength": strengths, "connections": [*range(17)], "attribution": [100.0 + each for each in range(17)]}
    head, *rows = lines_of_inputs({"critic1": scores}, 12)[1:]
    names = [*(f"observation {index}" for index in range(12)), *(f"action {index}" for index in range(5))]
    expected = [
        f"{names[index]} {index} {number(strengths[index])} {number(100.0 + index)}"
        for index in sorted(range(17), key=strengths.__getitem__, reverse=True)
    ]
    assert "inputs of critic1, strongest first" in head
    assert [" ".join(row.split()) for row in rows] == [*expected[:10], "... 2 between", *expected[12:]]


def test_inspect_of_a_run_shows_its_networks(rewirl, run):
    shown = json.loads(rewirl("inspect", run, "--json").out)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for name, count in [line for line in lines if line["event"] == "evaluation"][-1]["connections"].items():
        assert sum(layer["connections"] for layer in shown["networks"][name]["layers"]) == count
    assert shown["flops"] > 0
    told = [line for line in lines if line["event"] == "diagnostics"][-1]
    assert shown["plasticity"].keys() == {"actor", "critic1", "critic2"}
    assert shown["plasticity"]["actor"]["weight_norm"] == told["actor_weight_norm"]
    people = rewirl("inspect", run).out
    ranks = f"{told['critic1_effective_rank']:>14.0f} {number(told['critic1_weight_norm']):>15}\n"
    assert f"{told['critic1_dormant']:.1%} {ranks}" in people
    assert "recycled" not in shown and "recycled" not in people


def test_inspect_of_a_run_says_how_much_was_rewired_and_recycled(rewirl, tmp_path):
    path = tmp_path / "run"
    often = "--adapt-every 20 --redo-every 20 --redo-threshold 0.5 --total-timesteps 200 --eval-every 0"
    assert rewirl("train", *SMALL, *often.split(), "--run-dir", path).code == 0
    shown, people = json.loads(rewirl("inspect", path, "--json").out), rewirl("inspect", path).out
    for what, of in (("rewired", "connections"), ("recycled", "units")):
        assert shown[what] > 0 and f"\n{what:<10} {shown[what]:,} {of} so far\n" in people


def test_a_run_whose_checkpoints_were_removed_stays_as_it_is(rewirl, run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(run, path)
    shutil.rmtree(path / "checkpoints")

    def kept():
        return {file: file.read_bytes() for file in (path / "metrics.jsonl", *(path / "policy").iterdir())}

    before = kept()
    finished = rewirl("resume", path)
    assert finished.code == 0 and "is finished" in finished.out
    longer = rewirl("resume", path, "--total-timesteps", "400")
    assert longer.code == 2 and "has no checkpoints any more, so it cannot go on" in longer.err
    assert "these are its networks as they began" in rewirl("inspect", path).err
    with (path / "metrics.jsonl").open("r+b") as log:  # not finished: its end was never written
        log.truncate(before[path / "metrics.jsonl"].rindex(b'{"event": "end"'))
    before = kept()
    cut = rewirl("resume", path)
    assert cut.code == 2 and "has no checkpoints any more" in cut.err and "move it away" in cut.err
    assert kept() == before


def test_a_finished_run_says_so_and_can_be_extended(rewirl, run, tmp_path):
    finished = rewirl("resume", run)
    assert finished.code == 0 and "is finished" in finished.out
    path = tmp_path / "short"
    assert rewirl("train", *SMALL, "--total-timesteps", "80", "--eval-every", "0", "--run-dir", path).code == 0
    longer = rewirl("resume", path, "--total-timesteps", "120")
    assert longer.code == 0 and "steps 80 to 120" in longer.out and "Finished 120 steps" in longer.out


def test_the_run_directory_is_named_after_the_run(rewirl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(PROBES)
    small = [*SMALL, "--env", "rewirl-tests/Drift-v0", "--env-module", "probe_environments"]
    assert rewirl("train", *small, "--total-timesteps", "60", "--eval-every", "0", "--seed", "2").code == 0
    assert (tmp_path / "runs" / "rewirl-tests-Drift-v0-ds-td3-2" / "policy").is_dir()


def test_watch_writes_a_video(rewirl, tmp_path):
    path = tmp_path / "run"
    small = [*SMALL, "--env", "InvertedPendulum-v5", "--total-timesteps", "60", "--eval-every", "0"]
    assert rewirl("train", *small, "--run-dir", path).code == 0
    shown = rewirl("watch", path, "--video", tmp_path / "films" / "out.mp4")
    if shown.code == 2:  # a machine without rendering libraries: the message says which
        assert "apt-get install libegl1" in shown.err
        return
    assert shown.code == 0, shown.err
    assert (tmp_path / "films" / "out.mp4").read_bytes()[4:8] == b"ftyp"
    assert "episode 0: return" in shown.out


def test_watch_shows_as_many_episodes_of_the_seed_that_is_asked_for(rewirl, run, monkeypatch):
    asked = []

    def show(policy, episodes, seed, *_):
        asked.append((episodes, seed))
        return [-1234.5] * episodes

    monkeypatch.setattr(policy_commands, "show", show)
    assert rewirl("watch", run).out == "episode 0: return -1,234.50\n"
    assert "episode 1: return" in rewirl("watch", run, "--episodes", "2", "--seed", "7").out
    assert asked == [(1, 0), (2, 7)]


@pytest.mark.parametrize("rest", [[], ["train"], ["train", "--agent", "ppo"], ["bench", "updates"]])
def test_help_with_a_command_is_that_commands_help(rewirl, rest):
    told, asked = rewirl("help", *rest), rewirl(*rest, "--help")
    assert told.code == asked.code == 0 and told.out == asked.out != ""


REFUSED = {
    "command": (["trian"], r"no command 'trian'; did you mean train\?"),
    "agent": (["train", "--agent", "ds-td4"], r"unknown agent 'ds-td4'; did you mean ds-td3\?"),
    "environment": (
        ["train", "--env", "HalfCheeta-v5"],
        r"unknown environment 'HalfCheeta-v5': did you mean HalfCheetah-v5\?",
    ),
    "preset": (["train", "--preset", "ds-drl/td3/Ant"], r"no preset .*did you mean ds-drl/td3/Ant-v5\?"),
    "experiment": (["train", "--preset", "ds-drl/paper"], r"no preset .*it is an experiment.* sweep ds-drl/paper"),
    "preset of another agent": (
        ["train", "--preset", "ds-drl/td3/Ant-v5", "--agent", "ds-td3"],
        "is for agent td3, not ds-td3",
    ),
    "sparsity": (["train", "--sparsity", "1.5"], "sparsity must be .* got 1.5"),
    "impossible sparsity": (
        ["train", "--env", "Pendulum-v1", "--sparsity", "0.9999"],
        r"layer +shape +density +connections",
    ),
    "both": (["train", "--sparsity", "0.5", "--lambdas", "7", "64"], "sparsity and lambdas both"),
    "distribution": (["train", "--distribution", "uniform"], "give sparsity too"),
    "gamma": (["train", "--gamma", "2"], "gamma must be between 0 and 1, got 2.0"),
    "steps": (["train", "--total-timesteps", "0"], "total_timesteps must be at least 1"),
    "space": (["train", "--env", "CartPole-v1"], "CartPole-v1 has the action space Discrete"),
    "arguments": (
        ["train", "--env", "Pendulum-v1", "--env-kwargs", '{"colour": 1}'],
        "could not be made with env_kwargs",
    ),
    "module": (["train", "--env-module", "no_such_module"], "cannot import env_module 'no_such_module'"),
    "module by its path": (
        ["train", "--env", "Pendulum-v1", "--env-module", "./mine/envs.py"],
        r"cannot import env_module './mine/envs.py': a module is named with dots, not as a path: mine\.envs\.$",
    ),
    "rule by its path": (
        ["train", "--env", "Pendulum-v1", "--rule", "rules/my_rules:Mine"],
        r"cannot import 'rules/my_rules': a module is named with dots, not as a path: rules\.my_rules\.$",
    ),
    "wrapper by a path outside": (
        ["train", "--env", "Pendulum-v1", "--wrapper", "../mine.py:Mine"],
        r"named with dots, not as a path: mine, and run where mine\.py is\.$",
    ),
    "module that is a place": (["train", "--env-module", "./"], "named with dots, such as my_package.my_module"),
    "module at home": (["train", "--env-module", "~/envs.py"], r"not as a path: envs, and run where envs\.py is\.$"),
    "long preset": (["train", "--preset", "a" * 300], "no preset 'aaa"),
    "seeds with commas": (
        ["sweep", "ds-drl/paper", "--seeds", "0,1"],
        r"seeds must be a list of which each is a whole number, got \('0,1',\); for example: --seeds 0 1 2\.$",
    ),
    "hours": (["sweep", "ds-drl/paper", "--hours", "8h"], "hours must be a number, got '8h'"),
    "run by a name": (
        ["evaluate", "--run-dir", "runs/a b"],
        r"evaluate has no option --run-dir; a run is given by its place: .*rewirl evaluate 'runs/a b'$",
    ),
    "run by no name": (["export", "--run"], r"export has no option --run; .* its place: .*rewirl export DIRECTORY$"),
    "inspected run by a name": (["inspect", "--directory=x"], r"inspect has no option --directory; .* inspect x$"),
    "no run": (["resume", "nowhere"], "nowhere holds no run"),
    "no policy": (["evaluate", "nowhere"], "nowhere does not exist"),
    "no run to inspect": (["inspect", "nowhere"], "nowhere holds no run"),
    "nothing to watch": (["watch", "nowhere"], "nowhere does not exist"),
    "episodes": (["evaluate", "nowhere", "--episodes", "0"], "--episodes must be at least 1"),
}


@pytest.mark.parametrize("arguments, message", REFUSED.values(), ids=REFUSED.keys())
def test_wrong_use_gets_one_message_and_exit_code_2(rewirl, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    refused = rewirl(*arguments)
    assert refused.code == 2
    assert refused.err.startswith("rewirl: ")

    assert re.search(message, refused.err), refused.err
    assert "Traceback" not in refused.err
    assert list(tmp_path.iterdir()) == []


def test_what_holds_no_run_says_what_it_is_and_where_one_may_be(rewirl, tmp_path):
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    for name in ("config.json", "metrics.jsonl"):
        (run / name).write_text("{}")
    assert (
        "runs holds no run: it has no config.json; runs are in it, such as a." in rewirl("resume", f"{run.parent}").err
    )
    (run / "checkpoints").mkdir()
    assert rewirl("resume", f"{run}/checkpoints").err.endswith(f"it has no config.json; {run} is one.\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")  # of another program
    assert rewirl("resume", str(tmp_path)).err.endswith("holds no run: it has no config.json.\n")
    file = run / "config.json"
    assert rewirl("inspect", f"{file}").err.endswith(f"it is a file; a run is a directory; {run} is one.\n")


def test_a_home_is_expanded_after_an_equals_sign_too(rewirl, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").touch()
    assert f"--directory {tmp_path}/file cannot be" in rewirl("sweep", "ds-drl/paper", "--directory=~/file").err


@pytest.mark.parametrize(
    "arguments", [["train", "--gama", "1"], ["train", "--env-kwargs", "[1]"], ["train", "--seed", "x"]]
)
def test_options_that_do_not_parse_exit_with_2(rewirl, arguments):
    assert rewirl(*arguments).code == 2


def test_a_fault_on_the_way_is_one_message_and_exit_code_1(rewirl, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(PROBES)
    options = [
        *SMALL,
        "--env",
        "rewirl-tests/Nan-v0",
        "--env-module",
        "probe_environments",
        "--env-kwargs",
        '{"at": 20}',
    ]
    failed = rewirl("train", *options, "--eval-every", "0", "--run-dir", tmp_path / "run")
    assert failed.code == 1
    assert "rewirl-tests/Nan-v0: the reward is nan" in failed.err and "training step 20" in failed.err
    assert "Traceback" not in failed.err and "It is saved at step 19; go on with: " in failed.err
    assert failed.err.endswith(f"rewirl resume {tmp_path / 'run'}\n")
    options[-1] = '{"at": 1}'
    failed = rewirl("train", *options, "--eval-every", "0", "--run-dir", tmp_path / "nothing")
    assert failed.code == 1 and "Nothing was saved before; --checkpoint-every says" in failed.err


def test_a_run_before_its_first_checkpoint_has_no_policy_yet(rewirl, tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.json").write_text("{}")
    assert "no policy yet" in rewirl("evaluate", path).err


HEAVY = ("torch", "mujoco", "matplotlib", "tensorboardX", "imageio", "scipy", "pygame")


@pytest.mark.parametrize(
    "program",
    [
        "import rewirl",
        "from rewirl.cli.main import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass",
        "import rewirl.cli.sweep",
    ],
    ids=["import", "help", "sweep"],
)
def test_starting_up_imports_nothing_heavy(program):
    check = f"{program}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("output", ["full", "closed"])
def test_a_run_whose_output_goes_nowhere_ends_well(tmp_path, output):
    command = [sys.executable, "-m", "rewirl", "train", *SMALL, "--total-timesteps", "100", "--eval-every", "50"]
    command += ["--run-dir", str(tmp_path / "run")]
    read, write = os.pipe() if output == "closed" else (-1, os.open("/dev/full", os.O_WRONLY))
    if read >= 0:
        os.close(read)
    ran = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert (tmp_path / "run" / "checkpoints" / "step-000000100").is_dir()


@pytest.mark.parametrize(("command", "name"), [("evaluate", "run"), ("inspect", "run"), ("report", "runs")])
def test_what_has_no_name_on_the_command_line_is_not_offered_as_an_option(command, name, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([command, "here", f"--{name}", "there"])
    said = capsys.readouterr().err
    assert f"{command} has no option --{name}; a run is given by its place" in said and said.count(f"--{name}") == 1


def test_a_list_that_is_given_in_several_places_adds_up():
    words = ["--seeds", "0", "--label", "a=*1*", "--seeds", "1", "2", "--label=b=*2*"]
    found = parse("sweep", words, seeds=(tuple[int, ...], (), "Seeds."), label=(tuple[str, ...], (), "Labels."))
    assert (found.seeds, found.label) == ((0, 1, 2), ("a=*1*", "b=*2*"))
    several = ["--presets", "a", "--presets", "b", "--threads=1", "--threads", "2"]
    options = parse("bench", several, "", benchmark=(end_to_end.Options, end_to_end.Options(), "")).benchmark
    assert (options.presets, options.threads) == (("a", "b"), (1, 2))
    words = ["--seeds", "0", "--hidden-sizes", "8", "--seeds", "1", "--hidden_sizes=16"]
    found = parse_run("tune", words, seeds=(tuple[int, ...], (), "Seeds."))
    assert (found.seeds, found.agent.hidden_sizes) == ((0, 1), (16,))  # one value of two numbers or one


ONLY_ONE = """
import gymnasium
from gymnasium.envs.classic_control import PendulumEnv


class Robot(PendulumEnv):
    there = 0

    def __init__(self, **more):
        super().__init__(**more)
        Robot.there += 1
        if Robot.there > 1:
            raise RuntimeError("the port is busy")


gymnasium.register("Robot-v0", Robot, max_episode_steps=200)
"""


def test_an_environment_that_is_there_once_is_said_to_be_no_two(rewirl, tmp_path, monkeypatch):
    (tmp_path / "one_robot.py").write_text(ONLY_ONE)
    monkeypatch.chdir(tmp_path)
    small = SMALL[2:]
    robot = ["--env", "Robot-v0", "--env-module", "one_robot", "--total-timesteps", "60", "--run-dir", "run"]
    ended = rewirl("train", *small, *robot, "--eval-every", "30", "--no-check")
    assert ended.code == 1 and "the port is busy" in ended.err and "Traceback" not in ended.err


def test_a_run_in_an_environment_that_a_program_registered_goes_on_where_its_module_is_named(rewirl, tmp_path):
    (tmp_path / "my_tasks.py").write_text(
        "import gymnasium\ngymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:PendulumEnv', "
        "max_episode_steps=50)\n"
    )
    program = (
        "import my_tasks, rewirl\nwith rewirl.DSTD3('Mine-v0', learning_starts=20, batch_size=4) as agent:\n"
        "    agent.learn(40, run_dir='run', eval_every=0)\n"
    )

    def shell(*command):
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert shell(sys.executable, "-c", program).returncode == 0
    here = (sys.executable, "-m", "rewirl")
    shutil.copytree(tmp_path / "run", tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "policy")  # which else says the sizes of the networks
    for command in (
        ("resume", "run", "--total-timesteps", "60"),
        ("evaluate", "run", "--episodes", "1"),
        ("inspect", "bare"),
    ):
        without, with_it = shell(*here, *command), shell(*here, *command, "--env-module", "my_tasks")
        assert without.returncode == 2 and "--env-module" in without.stderr, without.stderr
        assert with_it.returncode == 0, with_it.stderr
    again = "import rewirl; rewirl.resume('run', env_module='my_tasks').learn(5)"
    assert shell(sys.executable, "-c", again).returncode == 0


def test_inspect_takes_its_options_in_any_order(rewirl, run):
    assert rewirl("inspect", "--json", run).out == rewirl("inspect", run, "--json").out
    for module in (("--env-module", "math"), ("--env-module=math",)):
        assert rewirl("inspect", *module, run).out == rewirl("inspect", run, *module).out


def test_a_rule_that_breaks_its_contract_is_named_without_a_traceback(rewirl, tmp_path, monkeypatch):
    (tmp_path / "rule_out_of_range.py").write_text(
        "import numpy as np\nfrom rewirl.topology import Rule\n\n\nclass Far(Rule):\n"
        "    def drop_score(self, state, fraction, rng):\n        return np.abs(state.weights)\n\n"
        "    def grow(self, state, occupied, count, rng):\n        return np.arange(count) + state.total\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--env", "Pendulum-v1", "--hidden-sizes", "16", "16", "--learning-starts", "40", "--adapt-every", "10"]
    words += ["--total-timesteps", "80", "--checkpoint-every", "30", "--eval-every", "0", "--batch-size", "8"]
    ended = rewirl("train", *words, "--agent", "ds-td3", "--rule", "rule_out_of_range:Far", "--run-dir", "run")
    assert ended.code == 1 and "Traceback" not in ended.err
    assert "the rule rule_out_of_range:Far broke its contract: grow must return indices in" in ended.err
    assert "What was saved before is in run" in ended.err


def test_a_module_that_is_named_with_its_files_ending_is_told(rewirl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules_of_mine.py").touch()
    for option, value in (("--rule", "rules_of_mine.py:Own"), ("--env-module", "rules_of_mine.py")):
        ended = rewirl("train", "--agent", "ds-td3", "--env", "Pendulum-v1", option, value, "--total-timesteps", "2000")
        assert ended.code == 2 and "a module is named without .py: rules_of_mine" in ended.err
