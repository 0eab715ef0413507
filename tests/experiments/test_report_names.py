"""What groups are called and compared with: the defaults of their agents; and a report of many groups can be read."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic_runs import make_run, rising

from rewirl.agents import AGENTS, agent_entry, registry
from rewirl.cli.main import main
from rewirl.experiments.report import document, report
from rewirl.experiments.report.document import EndFold, Figure, Fold, Legend, Table
from rewirl.experiments.report.labels import LONGEST
from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.report.run_groups import group_runs
from rewirl.experiments.report.sections.comparison import with_dense_ones
from rewirl.experiments.sweep.results import results
from rewirl.options.resolve import agent_settings, resolve
from rewirl.presets import lookup


def made(path, agent, env="Pendulum-v1", seed=0, **options):
    return make_run(path, agent, seed, rising(1, 1), env, usual=agent_settings, **options)


def of_preset(path, name):
    preset, settings = lookup.preset(name), resolve({"preset": name})
    run = {"usual": lambda agent, env: settings.agent, "eval_every": settings.run.eval_every}
    return make_run(path, preset.agent, 0, rising(1, 1), preset.env, **run)


def groups(path):
    runs, problems = find_runs([path])
    assert not problems
    return group_runs(runs)[0]


def labels(path):
    return [item.label for item in groups(path)]


@pytest.mark.parametrize("agent", ["td3", "ds-td3", "sac", "ds-sac", "ds-dqn", "ppo", "simba"])
@pytest.mark.parametrize("env", ["HalfCheetah-v5", "Pendulum-v1"])
def test_an_agent_with_its_defaults_has_its_name_and_nothing_else(tmp_path, agent, env):
    made(tmp_path, agent, env)
    (group,) = groups(tmp_path)
    assert (group.label, group.options, group.preset, group.of_paper) == (agent, {}, None, None)


def test_what_differs_from_the_defaults_is_named_and_what_does_not_is_not(tmp_path):
    made(tmp_path, "sac", gamma=0.98)
    made(tmp_path, "sac", tau=0.005, learning_starts=1000)  # which are the defaults
    made(tmp_path, "td3", normalise_observations=True, weight_decay=0.0)
    assert labels(tmp_path) == ["td3, weight-decay 0.0, normalise-observations", "sac", "sac, gamma 0.98"]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("small/pendulum", "small/pendulum"),
        ("small/cartpole", "small/cartpole"),
        ("rlx2/td3/HalfCheetah-v5", "rlx2/td3"),
        ("ds-drl/sac-soft/HalfCheetah-v5", "ds-drl/sac-soft"),
        ("dopamine/ds-dqn/Asterix-v1", "dopamine/ds-dqn"),
    ],
)
def test_the_name_of_a_preset_can_be_typed(tmp_path, name, label):
    of_preset(tmp_path, name)
    (group,) = groups(tmp_path)
    assert (group.label, group.preset) == (label, name)
    assert f"| preset {name} |" in document.markdown(report(*find_runs([tmp_path])))


def test_what_nearly_all_have_is_said_once_and_who_has_it_not_is_told(tmp_path):
    for agent in ("td3", "static-td3", "ds-td3", "sac"):
        made(tmp_path, agent, gamma=0.98)
    made(tmp_path, "ds-sac", batch_size=32)
    assert labels(tmp_path) == ["td3", "static-td3", "ds-td3", "sac", "ds-sac, batch-size 32"]
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "All groups have, unless the table says otherwise: gamma 0.98." in text
    assert re.search(r"\| ds-sac, batch-size 32 \| .* \| gamma 0.99 \|\n", text)


def test_what_tells_two_groups_apart_is_never_left_out(tmp_path):
    for agent in ("td3", "static-td3", "ds-td3", "sac"):
        made(tmp_path, agent, gamma=0.98)
    made(tmp_path, "sac")
    assert labels(tmp_path) == [
        "td3, gamma 0.98",
        "static-td3, gamma 0.98",
        "ds-td3, gamma 0.98",
        "sac",
        "sac, gamma 0.98",
    ]


def test_groups_of_other_settings_are_not_one_agent_over_environments(tmp_path):
    for env in ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5"):
        for agent in ("td3", "ds-td3"):
            options = {} if (agent, env) == ("ds-td3", "Hopper-v5") else {"batch_size": 512}  # 5 of 6 have it
            made(tmp_path, agent, env, gamma=0.98, **options)
    found = [(item.env, item.label) for item in groups(tmp_path) if item.agent == "ds-td3"]
    assert found == [
        ("HalfCheetah-v5", "ds-td3, batch-size 512"),
        ("Hopper-v5", "ds-td3"),
        ("Walker2d-v5", "ds-td3, batch-size 512"),
    ]


def test_a_name_that_is_too_long_is_short_and_the_table_explains_it(tmp_path):
    many = {"gamma": 0.9, "batch_size": 32, "learning_rate": 1e-4, "buffer_size": 1234, "learning_starts": 77}
    for size in (8, 16):
        made(tmp_path, "td3", hidden_sizes=(size, size, size), **many)
    assert labels(tmp_path) == ["td3, hidden-sizes 16 16 16", "td3, hidden-sizes 8 8 8"]
    made(tmp_path / "other", "td3", "Acrobot-v1", hidden_sizes=(8, 8, 8), **many)
    (group,) = groups(tmp_path / "other")
    assert group.label == "td3 (1)" and len(group.label) <= LONGEST
    assert "hidden-sizes 8 8 8" in document.markdown(report(*find_runs([tmp_path / "other"])))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Report on 8 groups: a dense one, and sparse ones with drift."""
    path = tmp_path_factory.mktemp("many")
    for number in range(8):
        for seed in (0, 1):
            own = {"sparsity": number / 10} if number else {}
            agent = "ds-td3" if number else "td3"
            returns = rising(1000 + 10 * number + seed, 50_000)
            make_run(path, agent, seed, returns, "Pendulum-v1", usual=agent_settings, drift=lambda n: 0.9**n, **own)
    return report(*find_runs([path]))


@pytest.mark.draws
def test_many_groups_share_one_legend_and_their_details_are_folded(many):
    page, text = document.html(many), document.markdown(many)
    (legend,) = (block for block in many if isinstance(block, Legend))
    assert len(legend.entries) == 8 and page.count('class="legend"') == 1
    assert len({svg for _, svg in legend.entries}) == 8
    of_groups = [block for block in many if isinstance(block, Figure) and block.bare]
    assert len(of_groups) == 3  # they have no legend on the page, but one as a file
    for figure in of_groups:
        assert "legend_1" in figure.svg and "legend_1" not in (figure.bare or "")
    assert sum(isinstance(block, Fold) for block in many) == sum(isinstance(block, EndFold) for block in many) == 4
    assert page.count("<details>") == page.count("</details>") == 4 and "details" not in text
    shown = page
    while "<details>" in shown:
        shown = re.sub(r"(?s)<details>((?!<details>).)*?</details>", "", shown)
    assert shown.count("<tr>") < 8 * 7  # what is not folded has one row a group in each of six tables


def test_cells_are_broken_before_they_push_others_aside(many):
    page = document.html([*many, Table("c", ["a", "b"], [["x", "1 (a label as long as a cell must not be)"]])])
    for kind, cell in re.findall(r'<td class="(number[ a-z]*)">(.*?)</td>', page):
        assert len(cell) <= 28 or "long" in kind, cell
    assert '<td class="number long">1 (a label' in page


@pytest.mark.draws
def test_few_groups_have_their_legends_in_the_figures_and_nothing_is_folded(tmp_path):
    for agent in ("td3", "ds-td3"):
        made(tmp_path, agent)
    blocks = report(*find_runs([tmp_path]))
    assert not any(isinstance(block, Legend | Fold) or (isinstance(block, Figure) and block.bare) for block in blocks)


def test_what_is_sparse_is_told_by_settings_and_not_by_names(tmp_path):
    for seed in (0, 1):
        for agent, own in (
            ("td3", {"sparsity": 0.5}),
            ("td3", {"structure": "2:4"}),
            ("ds-td3", {}),
            ("static-td3", {"sparsity": 0.0}),
            ("td3", {"batch_size": 64, "learning_rate": 1e-4}),  # by its options the least like the others
        ):
            made(tmp_path, agent, seed=seed, **own)
    found = {item.label: item for item in groups(tmp_path)}
    tuned = "td3, learning-rate 0.0001, batch-size 64"
    assert [label for label, item in found.items() if item.dense] == [tuned, "static-td3, sparsity 0.0"]
    pairs = [(one.label, other.label) for one, other in with_dense_ones(list(found.values()))]
    sparse = {"td3, sparsity 0.5", "td3, structure 2:4", "ds-td3"}
    assert len(pairs) == 3 and {one for one, _ in pairs} == sparse
    assert {other for _, other in pairs} == {"static-td3, sparsity 0.0"}


def test_without_a_dense_group_none_is_called_dense(tmp_path):
    made(tmp_path, "ds-td3")
    made(tmp_path, "td3", sparsity=0.5)
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "there are no runs of a sparse agent and of its dense one to compare" in text and "over td3" not in text


def test_an_option_of_the_topology_that_a_sparse_td3_has_not_is_not_said_of_it(tmp_path):
    for size in (32, 64, 128, 512):
        made(tmp_path, "ds-td3", rule="rigl", batch_size=size)
    made(tmp_path, "td3", sparsity=0.5)
    made(tmp_path, "td3")
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "All groups have, unless the table says otherwise: rule rigl." in text
    assert re.search(r"\| td3, sparsity 0.5 \| .* \| rule static \|\n", text)
    assert re.search(r"\| td3 \| .* \| - \|\n", text)


OWN = """
from dataclasses import dataclass, replace
from rewirl.agents import AGENTS, TD3, TD3Config

@dataclass(frozen=True)
class Config(TD3Config):
    mix: float = 0.5

AGENTS["mine"] = replace(AGENTS["td3"], name="mine", config=Config)
AGENTS["td3"] = AGENTS["mine"]
"""


@pytest.fixture
def own_agents(tmp_path, monkeypatch):
    """Modules own_agents and others_agents, each with an agent `mine`; returns what makes them unknown again."""
    before = dict(AGENTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def forget():
        monkeypatch.setattr(registry, "_ENTERED", {})
        for name in set(AGENTS) - set(before):
            del AGENTS[name]
        for name in ("own_agents", "others_agents"):
            sys.modules.pop(name, None)

    for name in ("own_agents", "others_agents"):
        Path(f"{name}.py").write_text(OWN)
    yield forget
    forget()
    assert before == AGENTS


def reported(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["report", "runs", "--markdown", "report.md", *arguments])
    assert ended.value.code == 0
    return Path("report.md").read_text(), capsys.readouterr().err


def test_a_sweep_ends_with_the_runs_that_its_table_does_not_count(tmp_path):
    paths = [make_run(tmp_path, "td3", seed, rising(1000, 50_000, count=20 + 2 * (seed == 1))) for seed in (0, 1, 2)]
    *_, line, _, _ = results([SimpleNamespace(path=path) for path in paths])
    told = ", ".join(f"{paths[seed].name} (at 100,000)" for seed in (0, 2))
    assert line == f"not counted, as runs of their group have more steps: {told}"


def test_a_report_knows_own_agents_of_the_modules_that_it_is_told_as_their_sweep_does(own_agents, capsys):
    settings = {"sparsity": 0.8, "policy_delay": 3}
    agent_entry("own_agents:mine")
    paths = [made(Path("runs"), "own_agents:mine", seed=seed, mix=mix, **settings) for seed in (0, 1) for mix in (1, 2)]
    paths += [made(Path("runs"), "td3", gamma=0.9)]
    *table, command = results([SimpleNamespace(path=path.absolute()) for path in paths])
    assert command.endswith("report runs --agent-module own_agents")
    names = [
        "own_agents:mine, sparsity 0.8, policy-delay 3, mix 1.0",
        "own_agents:mine, sparsity 0.8, policy-delay 3, mix 2.0",
    ]
    assert all(any(line.startswith(f"{name}  ") for line in table) for name in names)
    flops = [run.flops[-1] for run in find_runs([Path("runs")])[0] if run.agent != "td3"]

    own_agents()
    page, warnings = reported(capsys)
    assert "own_agents" not in sys.modules  # which the runs name, and they may be a stranger's
    told = (
        "the agent own_agents:mine. So its FLOPs are left out, and all its settings count as changed. If it is your own"
    )
    assert f"rewirl: warning: not known here: {told}, add --agent-module own_agents" in warnings
    assert f"Not known here: {told}" in page and "own_agents:mine, sparsity 0.8, mix 1.0 |" in page
    assert "lambdas" not in page
    costs = page[page.index("what training takes") :]
    assert re.search(r"\| own_agents:mine, .*\| - \| ", costs) and re.search(r"\| td3.*\| \S+e\+\d+ \| ", costs)
    drawn = [block for block in report(*find_runs([Path("runs")])) if isinstance(block, Figure)]
    assert [block.svg.count("own_agents") > 0 for block in drawn if block.title == "Return against arithmetic"] == [
        False
    ]

    page, warnings = reported(capsys, "--agent-module", "own_agents", "--baseline", names[0])
    assert not warnings and "Not known here" not in page and all(f"| {name} |" in page for name in names)
    assert f"| {np.mean(flops):.3g} |" in page
    assert [run.flops[-1] for run in find_runs([Path("runs")])[0] if run.agent != "td3"] == flops


def test_where_no_agent_is_known_no_figure_is_against_flops(own_agents, capsys):
    agent_entry("own_agents:mine")
    made(Path("runs"), "own_agents:mine")
    own_agents()
    page, _ = reported(capsys)
    titles = [block.title for block in report(*find_runs([Path("runs")])) if isinstance(block, Figure)]
    assert "own_agents:mine" in page and titles and "Return against arithmetic" not in titles


def test_what_a_program_calls_an_agent_is_known_unless_two_modules_do(own_agents, capsys):
    registry.import_agents(["own_agents"])
    made(Path("runs"), "mine")
    own_agents()
    both = "--agent-module", "own_agents", "others_agents"
    for modules, known in (((), False), (both[:2], True), (both, False)):
        assert ("add --agent-module MODULE" not in reported(capsys, *modules)[1]) is known
        own_agents()


def test_an_agent_that_is_entered_by_two_modules_as_one_imports_the_other_is_one(own_agents, capsys):
    kind = "class Own(TD3): pass\nAGENTS['yours'] = replace(AGENTS['td3'], name='yours', agent=Own)\n"
    Path("your_agents.py").write_text(OWN[: OWN.index("@")] + kind)
    Path("their_agents.py").write_text("import your_agents\n")
    made(Path("runs"), "td3")
    registry.import_agents(["their_agents", "your_agents"])
    assert AGENTS["yours"].agent.__module__ == "your_agents"


def test_a_module_without_agents_says_which_one_it_is(own_agents, capsys):
    made(Path("runs"), "td3")
    Path("queue.py").touch()
    with pytest.raises(SystemExit):
        main(["report", "runs", "--agent-module", "queue"])
    assert re.search(r"it enters none in AGENTS; queue is .*, and not .*queue\.py: rename", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("own_agents:mine", "a module is named without an agent: own_agents"),
        ("nowhere", "cannot import 'nowhere': No module named 'nowhere'"),
        ("json", "it enters none in AGENTS"),
    ],
)
def test_a_module_that_has_no_agents_is_refused(own_agents, capsys, module, why):
    made(Path("runs"), "td3")
    with pytest.raises(SystemExit) as ended:
        main(["report", "runs", "--agent-module", module])
    assert ended.value.code == 2 and f"the agents of {module!r}: {why}" in capsys.readouterr().err
