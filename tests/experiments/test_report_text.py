"""Whatever a run's files say is text in the report: in the page, in Markdown, in figures and in commands to copy."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from synthetic_runs import make_run, rising

from rewirl.cli.main import main
from rewirl.experiments.report import document, figures
from rewirl.experiments.report.document import Code, Figure, Heading, Items, Table, Text
from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.report.run_groups import command
from rewirl.storage.run_directory import RunDirectory

NAMES = (
    "![x](http://e.org/i.png)",
    "```\n# title",
    "<img src=x onerror=alert(1)>",
    "`code` **bold** _em_ ~~no~~ | a | b |",
    "https://e.org www.e.org a@e.org #1",
    "a\x1b[2J\u202eb\x00",
    "- item",
    "&lt;b&gt; \\*",
)


def blocks(name):
    return [
        Heading(name),
        Text(name),
        Items([name]),
        Code(name),
        Table(name, ["a", name], [[name, "1"]]),
        Figure('<svg width="1"></svg>', name, name),
    ]


class Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def tags_and_text(page):
    seen = Seen()
    seen.feed(page)
    return seen.tags, "".join(seen.text)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_the_page_has_the_same_elements_whatever_the_name(name):
    tags, text = tags_and_text(document.html(blocks(name)))
    assert tags == tags_and_text(document.html(blocks("name")))[0]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_markdown_has_the_same_elements_whatever_the_name(name):
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("gfm-like", {"linkify": False, "html": True})

    def elements(name):
        text = document.markdown(blocks(name), "f")
        tokens = [part for token in parser.parse(text) for part in (token, *(token.children or ()))]
        return [part.type for part in tokens if part.type != "text"], "".join(
            part.content for part in tokens if part.type in ("text", "fence")
        )

    kinds, text = elements(name)
    assert kinds == elements("name")[0]
    assert "".join(re.findall("[a-z]+", name.split()[0]))[:1] in text
    assert not re.search(r"(?<!`)https?://|\bwww\.", document.markdown([Text(name)]))


def test_the_place_of_the_figures_is_one_link():
    text = document.markdown([Figure("<svg></svg>", "t", "a")], "my figures) [x](y")
    assert text.count("](") == 1 and "my%20figures%29%20%5Bx%5D%28y/figure-1.svg" in text


@pytest.mark.draws
def test_labels_of_figures_are_no_formulas_and_no_markup():
    at = figures.np.array([0.0, 1.0])
    for label in ("$\\frac{", "a$b$c", "<b>--></b>", "a\x01b", "漢"):
        svg = figures.lines({label: (at, at, at, at)}, [], {label: 0}, "x $", "y")
        assert ET.fromstring(svg).tag.endswith("svg")


def test_a_matplotlibrc_in_the_working_directory_changes_nothing(tmp_path):
    make_run(tmp_path / "runs", "td3", 0, rising(1000, 50_000))
    pages = {}
    for place in ("plain", "rc"):
        here = tmp_path / place
        here.mkdir()
        if place == "rc":
            (here / "latex").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
            (here / "latex").chmod(0o755)
            (here / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nlines.color: red\n")
        ended = subprocess.run(
            [sys.executable, "-m", "rewirl", "report", str(tmp_path / "runs")],
            cwd=here,
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": f"{here}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert ended.returncode == 0, ended.stderr
        pages[place] = (here / "report.html").read_text()
    assert not (tmp_path / "ran").exists() and pages["rc"] == pages["plain"]


def changed(path, change):
    """Return a run like that at a path, of a changed configuration."""
    config = json.loads((path / "config.json").read_text())["config"]
    change(config)
    new = path.parent / "changed"
    RunDirectory.create(new, config, instruction_set="portable").close()
    (path / "metrics.jsonl").rename(new / "metrics.jsonl")
    return new


STRANGE = "x; touch ran $(touch ran) `touch ran` 'y' \x1b[2J"


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["train"].update(env=STRANGE),
        lambda c: c["train"].update(env="--dry-run"),
        lambda c: c["train"].update(env_module=STRANGE),
        lambda c: c["train"].update(warm_up_policy=STRANGE),
        lambda c: c["train"].update(env_kwargs={STRANGE: STRANGE}),
        lambda c: c["agent"]["topology"].update(structure=STRANGE),
        lambda c: c["agent"].update(hidden_sizes=[STRANGE]),
    ],
)
def test_a_command_to_copy_is_one_command(tmp_path, change):
    (run,), problems = find_runs([changed(make_run(tmp_path, "td3", 0, rising(9, 9)), change)])
    text = command(run)
    assert not problems and text.isprintable()
    script = f"rewirl() {{ printf '%s\\n' \"$#\"; }}; {text}"
    ended = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stderr == "" and len(ended.stdout.split()) == 1
    assert not (tmp_path / "ran").exists()
    if "\x1b" not in text and "$'" not in text:
        assert shlex.split(text)[:2] == ["rewirl", "train"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda c: c["train"].update(agent="td3; touch ran"), "name of an agent"),
        (lambda c: c["train"].update(agent="--help"), "name of an agent"),
        (lambda c: c["agent"].update({"x; touch ran": 1}), "name of an option"),
        (lambda c: c["train"].update({"$(touch ran)": 1}), "name of an option"),
        (lambda c: c["agent"]["topology"].update({"\x1b": 1}), "name of an option"),
        (lambda c: c["train"].update(threads="1; touch ran"), "threads"),
    ],
)
def test_names_that_are_none_are_refused(tmp_path, change, word):
    runs, ((_, problem),) = find_runs([changed(make_run(tmp_path, "td3", 0, rising(9, 9)), change)])
    assert runs == [] and word in problem


def test_a_directory_with_a_name_that_is_no_text_is_reported(tmp_path, capsys):
    strange = tmp_path / os.fsdecode(b"a\xff\x1b[2J\n# b")
    make_run(strange, "td3", 0, rising(1000, 50_000))
    make_run(strange, "td3", 1, [])
    page, table = strange / "r.html", strange / "r.md"
    with pytest.raises(SystemExit) as ended:
        main(["report", str(strange), "--output", str(page), "--markdown", str(table)])
    out, err = capsys.readouterr()
    assert ended.value.code == 0 and "\x1b" not in out + err + page.read_text() + table.read_text()
    assert "a\\xff\\x1b[2J" in err and "a\\xff\\x1b[2J" in page.read_text()
