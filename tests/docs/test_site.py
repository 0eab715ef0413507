"""The site of the documentation builds without a warning, and has every page and every public class."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from prose import ROOT

import rewirl

SHOWN = ("learn", "predict", "evaluate", "save", "resume", "load", "record", "drop_score", "grow", "on_evaluation")


def dead_links(site: Path) -> list[str]:
    """Links of the site's pages, and what they show, that are not there; 404.html begins at the root of a server."""
    dead = []
    for page in site.rglob("*.html"):
        targets = set(re.findall(r' (?:href|src)="([^"#?:]+)["#?]', page.read_text(encoding="utf-8")))
        dead += [
            f"{page.name}: {each}" for each in targets if page.name != "404.html" and not (page.parent / each).exists()
        ]
    return dead


def test_the_site_builds_and_the_reference_is_filled_in() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "build_site.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    words = re.fullmatch(r"wrote build/site; open (.*)\n", done.stdout)
    assert words is not None and 'href="docs/print.css"' in Path(words[1]).read_text(encoding="utf-8")
    assert dead_links(ROOT / "build" / "site") == []
    reference = (ROOT / "build" / "site" / "docs" / "reference.html").read_text(encoding="utf-8")
    assert all(f".{name}" in reference for name in SHOWN)
    assert ":::" not in reference


def test_help_is_shown_and_builds_nothing_and_what_is_missing_is_named() -> None:
    site = ROOT / "build" / "site-source"
    before = site.stat().st_mtime_ns if site.exists() else None
    script = str(ROOT / "docs" / "build_site.py")
    shown = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "Builds the site" in shown.stdout and "rewirl[docs]" in shown.stdout
    bare = subprocess.run([sys.executable, "-S", "-E", script], capture_output=True, text=True, check=False)
    assert bare.returncode == 2 and "pip install 'rewirl[docs]'" in bare.stderr
    assert before == (site.stat().st_mtime_ns if site.exists() else None)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "guides").glob("*.md")]
    assert [page.name for page in pages if f" {Path(page).relative_to(ROOT)}\n" not in navigation] == []


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    names = ("TD3", "SAC", "SimBa", "XQC", "CrossQ", "DQN", "PPO", "PQN", "StreamAC", "StreamQ", "StreamSARSA")
    agents = {f"{kind}{name}" for kind in ("", "Static", "DS") for name in names}
    assert agents == set(rewirl.learners.__all__)
    described = set(re.findall(r"^::: rewirl\..*\.(\w+)$", page, re.MULTILINE))
    assert set(rewirl.__all__) - agents <= described
