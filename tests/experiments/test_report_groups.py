"""What groups of runs are called, what is told of runs that are alike, and reports of runs that are not the paper's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from synthetic_runs import make_run, recorded, rising

from rewirl.cli.main import main
from rewirl.cli.parse import parse_run
from rewirl.experiments.report import document, figures, report
from rewirl.experiments.report.aggregates import Estimate
from rewirl.experiments.report.judge import judge
from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.report.run_groups import command, group_runs
from rewirl.experiments.report.sections.comparison import compared, with_dense_ones
from rewirl.experiments.report.sections.words import figure_of
from rewirl.experiments.report.welch import detectable
from rewirl.experiments.sweep.names import names_of
from rewirl.options.resolve import agent_settings, resolve
from rewirl.presets import lookup
from rewirl.printing import number
from rewirl.storage.run_directory import hash_of
from rewirl.storage.values import to_values


def labels(path, names=()):
    runs, problems = find_runs([path])
    assert not problems
    return [item.label for item in group_runs(runs, names)[0]]


def groups(path):
    runs, problems = find_runs([path])
    assert not problems
    return group_runs(runs)[0]


def test_a_group_is_called_by_its_preset(tmp_path):
    options = dict(lookup.preset("rnm/2-of-4-td3/HalfCheetah-v5").options)
    make_run(tmp_path, "ds-td3", 0, rising(1, 1), **options)
    make_run(tmp_path, "ds-td3", 0, rising(1, 1), **{**options, "gamma": 0.9})
    other, preset = labels(tmp_path)
    assert (preset, other) == ("rnm/2-of-4-td3", "ds-td3 (1)")
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "preset rnm/2-of-4-td3/HalfCheetah-v5" in text and "gamma 0.9, " in text


def test_runs_of_versions_that_lacked_an_option_are_in_one_group(tmp_path):
    """What an option is by default and what is recorded of it are the same, lists too."""
    for seed in (0, 1):
        made = make_run(tmp_path, "ds-td3", seed, rising(1, 1), usual=agent_settings)
    record = json.loads((made / "config.json").read_text())
    for name in ("wrapper", "n_envs", "env_processes"):
        del record["config"]["train"][name]
    make_run(tmp_path / "older", "ds-td3", 2, rising(1, 1), usual=agent_settings).joinpath("config.json").write_text(
        json.dumps({**record, "config": {**record["config"], "train": {**record["config"]["train"], "seed": 2}}})
    )
    made.joinpath("config.json").write_text(json.dumps(record))
    for config in tmp_path.rglob("config.json"):
        value = json.loads(config.read_text())
        config.write_text(json.dumps({**value, "config_hash": hash_of(value["config"])}))
    runs, problems = find_runs([tmp_path])
    assert not problems
    (group,) = group_runs(runs)[0]
    assert (group.label, group.options, group.seeds) == ("ds-td3", {}, [0, 1, 2])
    assert "--wrapper" not in command(group.runs[0])


def test_a_group_is_called_by_its_sweep_or_the_user(tmp_path):
    for seed in (0, 1):
        for value in (0.9, 0.8):
            made = make_run(tmp_path, "ds-td3", seed, rising(1, 1), gamma=value)
            (run,), _ = find_runs([made])
            named = names_of(*resolve({"agent": "ds-td3", "gamma": value, "seed": seed}), label="shortsighted")
            made.rename(tmp_path / named.name)
            assert run.seed == seed
    assert labels(tmp_path) == ["shortsighted, gamma 0.8", "shortsighted, gamma 0.9"]  # never both the same
    hash_of = re.search(r"-([0-9a-f]{8})-", names_of(*resolve({"agent": "ds-td3", "gamma": 0.9}), label="x").name)
    assert "mine" in labels(tmp_path, [("mine", f"*{hash_of[1]}*")])
    assert labels(tmp_path, [("all", "*")]) == ["all, gamma 0.8", "all, gamma 0.9"]


@pytest.mark.parametrize("place", [".", "checkpoints/.."])
def test_a_run_has_its_name_wherever_it_is_looked_at_from(tmp_path, monkeypatch, place):
    of_sweep(tmp_path, "HalfCheetah-v5", "mine", [1], gamma=0.9)
    (run,) = tmp_path.iterdir()
    monkeypatch.chdir(run)
    Path("checkpoints").mkdir(exist_ok=True)
    assert labels(Path(place)) == ["mine"]
    assert labels(Path(place), [("theirs", f"{run.name[:-2]}*")]) == ["theirs"]


def test_of_two_groups_that_a_sweep_calls_the_same_the_one_with_the_default_says_no_more(tmp_path):
    for own in ({"gamma": 0.9}, {"gamma": 0.9, "tau": 0.01}):
        made = make_run(tmp_path, "ds-td3", 0, rising(1, 1), **own)
        made.rename(tmp_path / names_of(*resolve({"agent": "ds-td3", **own}), label="shortsighted").name)
    assert labels(tmp_path) == ["shortsighted", "shortsighted, tau 0.01"]


def of_sweep(path, env, label, tops, agent="ds-td3", **own):
    """Make two runs, with returns up to `tops`, that a sweep called by a label."""
    for seed, top in enumerate(tops):
        made = make_run(path, agent, seed, rising(top, 1), env=env, **own)
        made.rename(path / names_of(*resolve({"agent": agent, "env": env, "seed": seed, **own}), label=label).name)


def test_settings_that_a_sweep_calls_the_same_are_not_taken_for_one_over_environments(tmp_path):
    """On one environment two of a name are told apart; the one on the other is the second of them."""
    for env in ("Pendulum-v1", "Pusher-v5"):
        for seed, top in ((0, 100), (1, 101)):
            make_run(tmp_path, "td3", seed, rising(top, 1), env=env)
        of_sweep(tmp_path, env, "mine", (200, 201), gamma=0.9, tau=0.01)
    of_sweep(tmp_path, "Pendulum-v1", "mine", (50, 51), gamma=0.9)
    labels_of = {(item.env, item.label): item.options for item in groups(tmp_path) if item.agent == "ds-td3"}
    assert list(labels_of) == [
        ("Pendulum-v1", "mine"),
        ("Pendulum-v1", "mine, tau 0.01"),
        ("Pusher-v5", "mine, tau 0.01"),
    ]
    text = document.markdown(report(*find_runs([tmp_path])))
    (row,) = re.findall(r"\| (mine.* over .*?) \| (.*?) \| final return \| (.*?) \|", text.partition("Over all")[2])
    assert row[:2] == ("mine, tau 0.01 over td3", "Pendulum-v1, Pusher-v5") and row[2].startswith("+99")


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"gamma": 0.9}, {"gamma": 0.8}, "ds-td3, .*gamma 0.9.* on Pendulum-v1; ds-td3, .*gamma 0.8.* on Pusher-v5"),
        ({}, {"agent": "static-td3"}, "ds-td3, .* on Pendulum-v1; static-td3, .* on Pusher-v5"),
    ],
)
def test_one_name_for_other_settings_on_every_environment_is_pooled_and_said(tmp_path, one, other, said):
    for env, own in (("Pendulum-v1", one), ("Pusher-v5", other)):
        for seed, top in ((0, 100), (1, 101)):
            make_run(tmp_path, "td3", seed, rising(top, 1), env=env)
        of_sweep(tmp_path, env, "mine", (200, 201), **own)
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "Settings differ between environments:" in text
    assert re.search(rf"\* mine: {said}\.", text)


def test_agents_that_are_compared_on_other_environments_have_a_performance_profile_of_their_own(tmp_path):
    for env in ("Pendulum-v1", "Pusher-v5", "Swimmer-v5"):
        for seed, top in ((0, 100), (1, 101)):
            make_run(tmp_path, "td3", seed, rising(top, 1), env=env)
            make_run(tmp_path, "static-td3", seed, rising(top, 1), env=env)
            if env != "Swimmer-v5":
                make_run(tmp_path, "ds-td3", seed, rising(top, 1), env=env)
    profiles = {
        block.title: block.alt
        for block in report(*find_runs([tmp_path]))
        if isinstance(block, document.Figure) and block.title.startswith("Performance profile")
    }
    three, two = "on Pendulum-v1, Pusher-v5, Swimmer-v5", "on Pendulum-v1, Pusher-v5"
    assert list(profiles) == [f"Performance profile {three}", f"Performance profile {two}"]
    for where, agent in ((three, "static-td3"), (two, "ds-td3")):
        assert f"share of runs {where} whose" in profiles[f"Performance profile {where}"]
        assert f"Shown are {agent}, td3." in profiles[f"Performance profile {where}"]


def test_the_command_takes_names_and_finds_runs(tmp_path, monkeypatch, capsys):
    make_run(tmp_path / "runs", "td3", 0, rising(1, 1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["report", "--label", "mine=*td3*"])
    assert ended.value.code == 0 and "mine" in (tmp_path / "report.html").read_text()
    with pytest.raises(SystemExit) as ended:
        main(["report", "--label", "mine"])
    assert ended.value.code == 2 and "NAME=PATTERN" in capsys.readouterr().err


def test_a_label_that_names_no_group_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        make_run(tmp_path / "runs", "td3", seed, rising(1, 1))
    first, second = sorted(path.name for path in (tmp_path / "runs").iterdir())
    words = {
        "x=nomatch*": f"label 'x=nomatch*' names no group: no run directory fits nomatch*; one here is {first}",
        f"half={second}": f"{second} fits, but not all runs with the same settings do",
        "mine=*td3*": "",
        "late=*": "warning: --label 'late=*' names no group: a label before it fits the same runs",
    }
    with pytest.raises(SystemExit) as ended:
        main(["report", "--label", *words])
    err = capsys.readouterr().err
    assert ended.value.code == 0 and err.count("names no group") == 3 and "mine" in Path("report.html").read_text()
    assert all(each in err for each in words.values())


@pytest.mark.parametrize("other", ["z.html", "./z.html", "sub/../z.html", "link.html"])
def test_page_and_tables_are_two_files(tmp_path, monkeypatch, capsys, other):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs", "td3", 0, rising(1, 1))
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.html").symlink_to("z.html")
    for there in (False, True):
        if there:
            Path("z.html").write_text("mine")
        with pytest.raises(SystemExit) as ended:
            main(["report", "--output", "z.html", "--markdown", other])
        assert ended.value.code == 2 and "--output and --markdown are both z.html" in capsys.readouterr().err
    assert Path("z.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (["--output", "file/x.html"], "the folder of --output file cannot be: file is not a directory"),
        (["--markdown", "file/x.md"], "the folder of --markdown file cannot be: file is not a directory"),
        (["--output", "."], "--output . is a directory; name a file in it"),
        (["--markdown", "."], "--markdown . is a directory; name a file in it"),
        (["--figures", "file"], "--figures file cannot be: file is not a directory"),
        (["--output", "f/figure-2.svg", "--figures", "f"], "--output f/figure-2.svg has the name of a figure in f"),
    ],
)
def test_places_that_nothing_can_be_written_to_are_refused_before_anything_is_read(
    places, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        main(["report", ".", *places])
    assert ended.value.code == 2 and said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_report_of_other_runs_says_nothing_of_the_paper(tmp_path):
    for seed in (0, 1):
        for agent in ("td3", "ds-td3"):
            make_run(tmp_path, agent, seed, rising(100, 50_000), env="Pendulum-v1")
    text = document.markdown(report(*find_runs([tmp_path])))
    for word in ("Sokar", "/ 5,000", "paper", "What is missing"):
        assert word not in text, word
    assert "learning-curve area" in text and "ds-td3 over td3" in text


def test_areas_that_are_not_divided_are_not_said_to_be(tmp_path):
    make_run(tmp_path, "td3", 0, rising(100, 50_000))
    assert (
        "(LCA): mean over all evaluations up to there; divided by 5,000 as in the paper's tables."
        in document.markdown(report(*find_runs([tmp_path])))
    )
    make_run(tmp_path, "td3", 0, rising(100, 50_000), env="Pendulum-v1")
    assert "divided by 5,000 as in the paper's tables where a column says LCA / 5,000." in document.markdown(
        report(*find_runs([tmp_path]))
    )


def test_every_group_is_compared_with_the_baseline_and_with_nothing_else(tmp_path, capsys):
    for env in ("Pendulum-v1", "HalfCheetah-v5"):
        for seed in (0, 1, 2):
            make_run(tmp_path, "td3", seed, rising(100 + seed, 50_000), env=env, gamma=0.9)
            for sparsity, top in ((0.6, 150), (0.9, 120)):
                make_run(
                    tmp_path, "ds-td3", seed, rising(top + 3 * seed, 50_000), env=env, sparsity=sparsity, gamma=0.9
                )
    runs, problems = find_runs([tmp_path])
    baseline = "ds-td3, sparsity 0.9"
    blocks = report(runs, problems, baseline=baseline)
    assert document.markdown(blocks) != document.markdown(report(runs, problems))
    tables = [block for block in blocks if isinstance(block, document.Table)]
    differences = [table for table in tables if f"each over {baseline}" in table.caption]
    assert len(differences) == 2
    for table in differences:
        rows = {tuple(row[i] for i in (0, 3)): row for row in table.rows}
        assert {comparison for comparison, _ in rows} == {
            f"td3 over {baseline}",
            f"ds-td3, sparsity 0.6 over {baseline}",
        }
        final = dict(zip(table.head, rows[f"ds-td3, sparsity 0.6 over {baseline}", "final return"], strict=True))
        assert (final["difference"], final["runs"]) == ("+30.0", "3 and 3")
        # Both have 0, 3 and 6 beside their means: error sqrt(2 * 9 / 3), four degrees of freedom.
        assert final["detectable"] == number(detectable([np.array([0.0, 3.0, 6.0])] * 2))
        assert rows[f"td3 over {baseline}", "probability of improvement"][-1] == "-"
        of = f"ds-td3, sparsity 0.6 over {baseline}"
        others = [kind for comparison, kind in rows if comparison == of and kind != "final return"]
        assert [rows[of, kind][4] for kind in others] == ["+30.0", f"{30 * 15.5 / 21:+.3f}", "1.00"]
    (reach,) = (
        table
        for table in tables
        if "has the final return of the baseline" in table.caption and "HalfCheetah-v5" in table.caption
    )
    assert {row[1] for row in reach.rows} == {baseline} and "baseline" in reach.head
    (across,) = (
        table for table in tables if table.caption.startswith(f"Each over {baseline}, in units of the baseline's")
    )
    assert "dense" not in document.markdown([across])
    kinds = ["final return", "learning-curve area", "IQM of final returns / baseline's mean"]
    kinds += ["probability of improvement", "share of the steps to the baseline's final return"]
    measured = {row[0]: [] for row in across.rows}
    for row in across.rows:
        assert row[2] == kinds[len(measured[row[0]])]
        measured[row[0]].append(row[3])
        assert row[5] == ("85%" if row[2] in kinds[:2] else "-")  # four samples of three runs
    # The means are 101, 153 and 123.
    assert measured[f"td3 over {baseline}"] == ["-17.9%", "-17.9%", "0.821", "0.00", "never"]
    assert measured[f"ds-td3, sparsity 0.6 over {baseline}"][:4] == ["+24.4%", "+24.4%", "1.244", "1.00"]
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path), "--baseline", "ds-td4", "--output", str(tmp_path / "r.html")])
    said = capsys.readouterr().err
    assert (
        ended.value.code == 2
        and "'ds-td4'; did you mean 'td3'? There are 'td3', 'ds-td3, sparsity 0.6'" in said
        and not (tmp_path / "r.html").exists()
    )


def test_a_sparse_group_is_compared_with_the_dense_one_that_differs_by_the_least_options(tmp_path):
    for gamma in (0.9, 0.98, 0.99):
        make_run(tmp_path, "td3", 0, [0.0, 1.0], gamma=gamma)
        make_run(tmp_path, "ds-td3", 0, [0.0, 1.0], gamma=gamma)
    pairs = with_dense_ones(groups(tmp_path))
    of = {tuple(each.options.get("gamma") for each in pair) for pair in pairs}
    assert of == {(0.9, 0.9), (0.98, 0.98), (None, None)}


def test_groups_are_compared_with_others_of_their_task_alone(tmp_path):
    for env in ("Hopper-v5", "HalfCheetah-v5"):
        for agent, own in (("ds-td3", {}), ("td3", {"gamma": 0.9} if env == "Hopper-v5" else {})):
            kwargs = {"env": env, "fraction": 0.9}
            make_run(tmp_path / env, agent, 0, rising(1, 1), "rewirl/Noisy-v0", env_kwargs=kwargs, **own)
    recorded(make_run(tmp_path / "w", "ds-td3", 0, rising(1, 1), "rewirl/Noisy-v0"), wrapper=["my.tasks:Clip"])
    found = groups(tmp_path)
    for one, other in compared(found, None):
        assert one.task == other.task
    assert len(compared(found, None)) == 2
    (baseline,) = (item.label for item in found if "gamma 0.9" in item.label)
    assert [one.agent for one, _ in compared(found, baseline)] == ["ds-td3"]
    page = document.markdown(report(*find_runs([tmp_path]), baseline=baseline))
    left_out = page.partition(f"Not compared with {baseline}, for their environments have other")[2].split("\n\n")[1]
    assert left_out.count("HalfCheetah-v5") == 2 and "my.tasks:Clip" in left_out and "Hopper-v5" not in left_out


def origin(path, **changes):
    """Change what a run says of where it was made."""
    record = json.loads((path / "config.json").read_text())
    record["git_revision"] = changes.get("revision")
    record["machine"]["instruction_set"] = changes.get("instructions", "avx2")
    record["versions"]["gymnasium"] = changes.get("gymnasium", "1.4.0")
    (path / "config.json").write_text(json.dumps(record))


def test_what_was_made_differently_is_named(tmp_path):
    origin(make_run(tmp_path, "td3", 0, rising(1000, 50_000)), revision="a" * 40)
    origin(make_run(tmp_path, "td3", 1, rising(1000, 50_000)), revision="b" * 40, instructions="avx512")
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "counted together" in text and "seed 0 by rewirl" in text
    assert "revision aaaaaaaaaaaa, avx2; seed 1 by" in text and "revision bbbbbbbbbbbb, avx512." in text


def test_what_was_made_with_changes_or_another_gymnasium_is_named(tmp_path):
    for seed, (changes, gymnasium) in enumerate((("", "1.2.0"), ("-dirty", "1.2.0"), ("", "1.4.0"))):
        path = make_run(tmp_path, "ds-td3", seed, rising(1000, 50_000))
        origin(path, revision="a" * 40 + changes, gymnasium=gymnasium)
    text = document.markdown(report(*find_runs([tmp_path])))
    for seed, words in enumerate(
        (", avx2, Gymnasium 1.2.0", "-dirty, avx2, Gymnasium 1.2.0", ", avx2, Gymnasium 1.4.0")
    ):
        assert re.search(rf"seed {seed} by rewirl \S+, revision {'a' * 12}{words}", text)
    assert "| aaaaaaaaaaaa-dirty |" in text


def test_of_two_runs_alike_the_one_left_out_is_told_from_the_other(tmp_path):
    origin(make_run(tmp_path / "a", "td3", 0, rising(1000, 50_000, count=10), total=100_000), revision="a" * 40)
    origin(make_run(tmp_path / "b", "td3", 0, rising(1100, 50_000)), revision="b" * 40)
    _, ((_, reason),) = group_runs(find_runs([tmp_path])[0])
    assert "Their returns differ" in reason and "revision aaaaaaaaaaaa" in reason and "revision bbbbbbbbbbbb" in reason
    make_run(tmp_path / "c", "ds-td3", 0, rising(1100, 50_000))
    make_run(tmp_path / "d", "ds-td3", 0, rising(1100, 50_000))
    reasons = [reason for _, reason in group_runs(find_runs([tmp_path])[0])[1]]
    assert any(reason.endswith("Their returns are the same") for reason in reasons)


def test_of_two_runs_alike_the_same_one_counts_in_any_order(tmp_path):
    for place, top in (("a", 1000), ("b", 1100)):
        make_run(tmp_path / place, "td3", 0, rising(top, 50_000))
    pages = []
    for places in ("ab", "ba"):
        pages.append(document.markdown(report(*find_runs([tmp_path / place for place in places]))))
    assert pages[0] == pages[1]


def test_a_run_that_was_extended_is_compared_with_another_where_both_were_evaluated(tmp_path):
    extended = make_run(tmp_path / "a", "td3", 0, rising(1000, 50_000))
    lines = (extended / "metrics.jsonl").read_text().splitlines()
    at_its_first_end = lines[-2].replace('"step": 100000', '"step": 97000')  # the last line is cut short
    (extended / "metrics.jsonl").write_text("\n".join([*lines[:-2], at_its_first_end, lines[-2], ""]))
    make_run(tmp_path / "b", "td3", 0, rising(1000, 50_000))
    _, ((_, reason),) = group_runs(find_runs([tmp_path])[0])
    assert reason.endswith("Their returns are the same")


@pytest.mark.draws
def test_many_groups_have_looks_of_their_own_and_a_legend_that_takes_no_room():
    at = figures.np.linspace(0, 1, 5)

    def height(count):
        names = [f"a rather long label, with an option {number}" for number in range(count)]
        svg = figures.lines(dict.fromkeys(names, (at, at, at, at)), [], {n: i for i, n in enumerate(names)}, "x", "y")
        return float(re.search(r'height="([\d.]+)pt"', svg)[1])

    assert height(13) - height(3) > 10 * 72 * 0.15  # ten lines more
    looks = {(figures._look(number)) for number in range(49)}
    assert len(looks) == 49 and len({look[0] for look in list(map(figures._look, range(7)))}) == 7


def test_the_legend_of_a_figure_is_drawn_for_whoever_asks_for_it():
    drawn: list[bool] = []

    def draw(legend: bool = True) -> str:
        drawn.append(legend)
        return f"<svg>{legend}</svg>"

    few, many = figure_of(draw, 2, "t", "a"), figure_of(draw, 30, "t", "a")
    assert drawn == [True, False] and few.svg == "<svg>True</svg>"
    assert "<svg>False</svg>" not in document.html([few]) and "False" in document.html([many])
    assert many.svg == many.svg == "<svg>True</svg>" and drawn == [True, False, True]


@pytest.mark.draws
def test_a_label_that_begins_with_an_underscore_is_in_the_legend():
    at, estimate = figures.np.linspace(0, 1, 5), Estimate(1.0, 0.5, 1.5)

    def glyphs(label):
        curves = figures.lines({label: (at, at, at, at)}, [], {label: 0}, "x", "y")
        return [svg.count("<use") for svg in (curves, figures.points({label: (1.0, estimate)}, {label: 0}, "x", "y"))]

    assert glyphs("_abc") == [count + 1 for count in glyphs("abc")]


@pytest.mark.draws
def test_a_figure_is_drawn_once(monkeypatch):
    draws: list[str] = []
    draw = Axes.draw
    monkeypatch.setattr(Axes, "draw", lambda axes, renderer: draws.append(axes.get_xlabel()) or draw(axes, renderer))
    at = np.linspace(0.0, 3.0, 5)
    assert figures.lines({"one": (at, at, at, at)}, [], {"one": 0}, "steps", "return").count("<svg ") == 1
    assert draws == ["steps"]


def test_the_page_follows_the_scheme_of_the_reader(tmp_path):
    make_run(tmp_path, "td3", 0, rising(1000, 50_000))
    page = document.html(report(*find_runs([tmp_path])))
    assert "@media screen and (prefers-color-scheme: dark)" in page and "currentColor" in page
    drawing = page[page.index("<svg") :]
    assert "#ffffff" not in drawing and "#000000" not in drawing  # neither glares in the other scheme


def test_runs_that_have_nothing_in_common_end_no_report(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path, "td3", seed, [1e-300, 5e-324, 1e-310])
        make_run(tmp_path, "td3", seed, [1.0, 5.0, 2.0], "Hopper-v5")
        for env in ("HalfCheetah-v5", "Hopper-v5"):
            log = make_run(tmp_path, "ds-td3", seed, rising(1e29, 50_000), env) / "metrics.jsonl"
            lines = log.read_text().splitlines(keepends=True)
            log.write_text("".join([lines[0], *lines[8:]]))  # its first evaluations are lost
    log = make_run(tmp_path, "td3", 2, [1e300, -1e300]) / "metrics.jsonl"
    runs, problems = find_runs([tmp_path])
    assert [str(path) for path, _ in problems] == [str(log.parent)] and "larger than any run" in problems[0][1]
    text = document.markdown(report(runs, problems))
    assert "ds-td3 and td3 on HalfCheetah-v5: no evaluations in common, so a claim cannot be judged" in text


def of_mujoco(version, path):
    """Make a run one of another version of MuJoCo."""
    record = json.loads((path / "config.json").read_text())
    record["versions"]["mujoco"] = version
    (path / "config.json").write_text(json.dumps(record))


def test_runs_of_two_versions_of_mujoco_are_neither_pooled_nor_compared(tmp_path):
    for seed, version in enumerate(["3.17.0", "4.0.0", "3.17.0"]):
        for env in ("HalfCheetah-v5", "Pendulum-v1"):
            of_mujoco(version, make_run(tmp_path, "ds-td3", seed, rising(10 + seed, 1), env))
    of_mujoco("4.0.0", make_run(tmp_path, "td3", 0, rising(1, 1)))
    of_mujoco(None, make_run(tmp_path, "ds-td3", 5, rising(1, 1)))
    runs, problems = find_runs([tmp_path])
    groups = group_runs(runs)[0]
    assert [(item.env, item.agent, item.seeds) for item in groups] == [
        ("HalfCheetah-v5 (MuJoCo 3.17.0)", "ds-td3", [0, 2]),
        ("HalfCheetah-v5 (MuJoCo 4.0.0)", "td3", [0]),
        ("HalfCheetah-v5 (MuJoCo 4.0.0)", "ds-td3", [1]),
        ("HalfCheetah-v5 (MuJoCo of unknown version)", "ds-td3", [5]),
        ("Pendulum-v1", "ds-td3", [0, 1, 2]),
    ]
    assert groups[0].published == groups[2].published is not None
    page = document.markdown(report(runs, problems))
    assert "On HalfCheetah-v5 (MuJoCo 3.17.0) there are no runs of a sparse agent and of its dense one" in page
    for finding in judge(groups):
        assert finding.env != "HalfCheetah-v5 (MuJoCo 3.17.0)" or finding.verdict == "missing"


def test_a_run_that_went_on_with_another_version_of_mujoco_is_of_neither(tmp_path):
    for seed in (0, 1, 2):
        path = make_run(tmp_path, "ds-td3", seed, rising(10, 1))
        of_mujoco("4.0.0" if seed == 2 else "3.17.0", path)
        if seed == 1:
            record = json.loads((path / "config.json").read_text())
            now = {name: record[name] for name in ("git_revision", "machine")}
            now |= {"versions": {**record["versions"], "mujoco": "4.0.0"}}
            lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
            lines.insert(3, json.dumps({"event": "continued", "step": 5000, "made_with": now}) + "\n")
            (path / "metrics.jsonl").write_text("".join(lines))
    runs, problems = find_runs([tmp_path])
    assert [(item.env, item.seeds) for item in group_runs(runs)[0]] == [
        ("HalfCheetah-v5 (MuJoCo 3.17.0 then 4.0.0)", [1]),
        ("HalfCheetah-v5 (MuJoCo 3.17.0)", [0]),
        ("HalfCheetah-v5 (MuJoCo 4.0.0)", [2]),
    ]
    page = document.markdown(report(runs, problems))
    assert re.search(r"mujoco 3\.17\.0.* then .*mujoco 4\.0\.0", page)


def test_environments_of_two_versions_of_mujoco_are_no_mean(tmp_path):
    tasks = {"HalfCheetah-v5": "3.17.0", "Hopper-v5": "4.0.0", "Walker2d-v5": "4.0.0"}
    for env, version in tasks.items():
        for agent in ("td3", "ds-td3"):
            for seed in (0, 1):
                of_mujoco(version, make_run(tmp_path, agent, seed, rising(10 + seed, 1), env))
    runs, problems = find_runs([tmp_path])
    page = document.markdown(report(runs, problems))
    assert re.findall(r"Over all environments.*", page) == ["Over all environments, MuJoCo 4.0.0"]
    assert {finding.tasks for finding in judge(group_runs(runs)[0]) if finding.env is None} == {2}


def test_claims_over_all_tasks_say_which_version_of_mujoco_they_are_of(tmp_path):
    for version in ("3.17.0", "4.0.0"):
        for env in ("HalfCheetah-v5", "Hopper-v5"):
            for agent in ("td3", "ds-td3"):
                for seed in (0, 1):
                    of_mujoco(version, make_run(tmp_path / version, agent, seed, rising(10 + seed, 1), env))
    page = document.markdown(report(*find_runs([tmp_path])))
    claim = re.escape("| ds-td3 has a higher final return than td3 | 2 tasks together, ")
    assert re.findall(rf"{claim}(.*?) \|", page) == ["MuJoCo 3.17.0", "MuJoCo 4.0.0"]


def test_runs_warmed_up_by_policies_of_other_settings_are_two_groups(tmp_path):
    names = ("td3-0", "td3-3f9c2a71-1", "short-3f9c2a71-2")
    sources = [*(f"HalfCheetah-v5-{name}" for name in names), "walker-20250101-3"]
    for seed, source in enumerate(sources):
        path = make_run(tmp_path, "td3", seed, [0.0, 1.0])
        policy = {"sha256": str(seed), "agent": "td3", "seed": seed, "step": 20_000}
        recorded(path, warm_up=policy, warm_up_policy=f"/somewhere/{source}")
    alike = "td3, warm-up-policy td3 of 20000 steps"
    assert {item.label: item.seeds for item in groups(tmp_path)} == {alike: [0, 3], f"{alike} 3f9c2a71": [1, 2]}


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ([(3, "b", 0), (4, "b", 0)], {" aaaaaaaa": [0, 1], " bbbbbbbb": [3, 4]}),  # one policy each for several seeds
        ([(0, "b", 0), (1, "b", 0)], {" aaaaaaaa": [0, 1], " bbbbbbbb": [0, 1]}),  # of the same seeds: none is left out
        ([], {"": [0, 1]}),
        ([(2, "a", 0)], {"": [0, 1, 2]}),
    ],
)
def test_runs_warmed_up_by_several_policies_are_several_groups(tmp_path, others, found):
    for seed, letter, of in [(0, "a", 0), (1, "a", 0), *others]:
        path = make_run(tmp_path / letter, "td3", seed, [0.0, 1.0])
        policy = {"sha256": letter * 64, "agent": "td3", "seed": of, "step": 20_000}
        recorded(path, warm_up=policy, warm_up_policy=f"/somewhere/{letter}")
    assert {item.label.partition("td3 of 20000 steps")[2]: item.seeds for item in groups(tmp_path)} == found


def test_policies_of_the_runs_own_seeds_are_one_setting_and_another_policy_is_not(tmp_path):
    for seed in (0, 1):
        for letter, of in (("ab"[seed], seed), ("c", 7)):
            path = make_run(tmp_path / letter, "td3", seed, [0.0, 1.0])
            policy = {"sha256": letter * 64, "agent": "td3", "seed": of, "step": 20_000}
            recorded(path, warm_up=policy, warm_up_policy=f"/somewhere/{letter}")
    alike = "td3, warm-up-policy td3 of 20000 steps"
    assert {item.label: item.seeds for item in groups(tmp_path)} == {alike: [0, 1], f"{alike} cccccccc": [0, 1]}


def test_modules_that_may_register_a_task_differently_are_two_environments(tmp_path):
    env = "HalfCheetah-v5"
    for seed, module in enumerate(("a.tasks", "a.tasks", None)):
        recorded(make_run(tmp_path, "td3", seed, [0.0, 1.0]), env_module=module)
    assert [item.env for item in groups(tmp_path)] == [env]
    recorded(make_run(tmp_path, "td3", 3, [0.0, 1.0]), env_module="b.tasks")
    found = groups(tmp_path)
    assert {item.env: item.seeds for item in found} == {
        f"{env} (module a.tasks)": [0, 1],
        f"{env} (module b.tasks)": [3],
        f"{env} (module unknown)": [2],
    }


def test_a_run_whose_environments_were_in_processes_or_that_was_saved_more_often_is_of_the_group(tmp_path):
    otherwise = {"env_processes": True, "threads": 5, "checkpoint_every": 7, "keep_checkpoints": 9}
    for seed, train in enumerate(({}, otherwise)):
        recorded(make_run(tmp_path, "td3", seed, [0.0, 1.0]), **train)
    assert [item.seeds for item in groups(tmp_path)] == [[0, 1]]


@pytest.mark.parametrize("env", ["my/Hopper-v0", "my_tasks:Hopper-v0"])
def test_a_task_of_ones_own_is_not_the_papers(tmp_path, env):
    for agent in ("td3", "ds-td3"):
        path = make_run(tmp_path, agent, 0, rising(1, 1), env="Hopper-v5")
        recorded(path, env=env)
    found = groups(tmp_path)
    assert [(item.env, item.of_paper) for item in found] == [(env, None)] * 2 and not judge(found)


def test_a_command_turns_off_what_is_on_by_default(tmp_path):
    path = make_run(tmp_path, "dqn", 0, rising(1, 1), env="CartPole-v1", usual=agent_settings, double_q=False)
    (group,) = groups(tmp_path)
    assert "--no-double-q" in command(group.runs[0])
    made = parse_run("train", command(group.runs[0]).split()[2:])
    assert json.loads(json.dumps(to_values(made.agent))) == group.runs[0].settings and path.is_dir()
