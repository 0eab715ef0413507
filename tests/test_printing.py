"""What others wrote is text: on a terminal, on the command line, and where there is no terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewirl import printing
from rewirl.cli.main import main
from rewirl.training.progress import PlainLines, Silent

pytestmark = pytest.mark.quick

CLEARS = "\x1b[2J\x1b]0;title\x07"
HIDES = {"\x00", "\x07", "\x1b", "\x7f", "\x9b", "\u202e", "\u200b", "\u2028", "\ud800", "\U000e0041", "\xad"}


@pytest.mark.parametrize("character", sorted(HIDES), ids=ascii)
def test_what_a_terminal_obeys_or_hides_is_written_out(character):
    shown = printing.visible(f"a{character}b")
    assert character not in shown and shown.startswith("a\\") and shown.endswith("b")
    assert printing.visible("± é 漢 ~ \\") == "± é 漢 ~ \\"


def test_a_second_line_is_no_message_of_its_own(capsys):
    printing.say("rewirl: bad name\nrewirl: all is well")
    assert capsys.readouterr().err == "rewirl: bad name\n    rewirl: all is well\n"


@pytest.mark.parametrize(
    "word", ["plain", "two words", "$(touch x)`id`;&|", "-rf", "it's", "a\x1b[2Jb", "a\nb", "é\udcff"]
)
def test_a_quoted_word_is_one_word_to_the_shell_and_shows_nothing_but_itself(word):
    quoted = printing.quoted(word)
    assert printing.visible(quoted) == quoted
    read = subprocess.run(["bash", "-c", f"printf %s x{quoted}"], capture_output=True)
    assert read.stdout == b"x" + word.encode("utf-8", "surrogateescape")


def test_a_path_is_no_option():
    assert printing.quoted_path("-rf x") == "'./-rf x'" and printing.quoted_path("a/b") == "a/b"


@pytest.mark.parametrize("progress", [lambda stream: PlainLines(stream), lambda _: Silent()])
def test_messages_of_a_run_are_text(progress, capsys):
    stream = io.StringIO()
    progress(stream).message(f"warm-up policy of {CLEARS}")
    shown = stream.getvalue() + capsys.readouterr().err
    assert "\x1b" not in shown and "\\x1b[2J\\x1b]0;title\\x07" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", CLEARS],
        ["report", CLEARS],
        ["sweep", CLEARS],
        ["train", "--env", CLEARS, "--dry-run"],
        ["train", "--agent", CLEARS],
        ["train", f"--{CLEARS}"],
        ["evaluate", "x", "--episodes", CLEARS],
        ["bench", CLEARS],
        [CLEARS],
        ["presets", CLEARS],
    ],
    ids=ascii,
)
def test_no_error_of_the_command_line_moves_the_terminal(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert ended.value.code == 2 and err
    for control in ("\x1b[2J", "\x1b]", "\x07"):
        assert control not in out + err


def test_the_description_of_a_sweep_is_text(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("rewirl.cli.sweep.estimate", lambda runs, _: (dict.fromkeys(runs, 60.0), {}))
    path = tmp_path / "s.toml"
    path.write_text(
        'description = "\\u001b[2J"\nagents = ["td3"]\nenvs = ["Pendulum-v1"]\nseeds = [0]\ntotal_timesteps = 2_000\n'
    )
    with pytest.raises(SystemExit):
        main(["sweep", str(path), "--dry-run", "--directory", str(tmp_path / "runs")])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\\x1b[2J" in out


def test_warnings_and_tracebacks_are_text():
    code = (
        "import sys, warnings; from rewirl.cli import main\n"
        "main._run = lambda _: (warnings.warn('\\x1b[2J'), {}['\\x1b[2J'])\n"
        "main.main([])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "\x1b" not in ended.stderr and "\\x1b[2J" in ended.stderr and "KeyError" in ended.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no command 'trai'; did you mean train?", "no command 'trai'; did you mean train?"),
        ("gamma must be between 0 and 1, got 2", "gamma must be between 0 and 1, got 2."),
        ("unknown agent 'td4'", "unknown agent 'td4'."),
        ("it is damaged (half of it)\n", "it is damaged (half of it)."),
        ("it holds this run; continue it with: rewirl resume runs/x", None),
        ("go on with: .venv/bin/rewirl resume runs/x", None),
        ("go on with: python -m rewirl resume runs/x", None),
        ("it is saved in runs/x", None),
        ("choose another --run-dir", None),
        ("not evaluated; set eval_every=0", None),
        ("one\n  gamma: 3 there, 4 here", "one\n  gamma: 3 there, 4 here."),
        ("", ""),
    ],
)
def test_a_message_ends_as_a_sentence_unless_with_something_to_copy(text, shown):
    assert printing.ended(text) == (text if shown is None else shown)


@pytest.mark.parametrize(
    ("started", "python", "on_path", "printed"),
    [
        ("env/bin/rewirl", "env/bin/python", "", "env/bin/rewirl"),
        ("env/bin/rewirl", "env/bin/python", "env/bin", "rewirl"),
        ("env/bin/rewirl", "env/bin/python", "other", "env/bin/rewirl"),  # the PATH has another installation
        ("rewirl/__main__.py", "env/bin/python", "", "env/bin/rewirl"),  # as python -m rewirl
        ("rewirl/__main__.py", "bare/python", "", "bare/python -m rewirl"),
        ("rewirl/__main__.py", "bare/python", "bare", "python -m rewirl"),
        ("my program.py", "env/bin/python", "env/bin", "rewirl"),
    ],
)
def test_commands_to_copy_begin_with_what_starts_this_installation(
    tmp_path, monkeypatch, started, python, on_path, printed
):
    for script in ("env/bin/python", "env/bin/rewirl", "bare/python", "other/rewirl"):
        (tmp_path / script).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / script).touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.setattr(sys, "executable", str(tmp_path / python))
    monkeypatch.setenv("PATH", str(tmp_path / on_path) if on_path else "/nowhere")
    assert printing.program() == printed


def test_a_command_to_copy_names_the_script_that_was_started(tmp_path):
    """Of an environment whose directory is not on the PATH, with a name that a shell would take apart."""
    script = tmp_path / "my env" / "rewirl"
    script.parent.mkdir()
    script.write_text("from rewirl.cli.main import main\nmain()\n")
    (tmp_path / "cmake").symlink_to(Path(sys.executable).with_name("cmake"))  # `make dev` compiles when it is imported
    done = subprocess.run(
        [sys.executable, script, "presets"],
        cwd=tmp_path,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "\n'my env/rewirl' presets NAME shows one in full; 'my env/rewirl' train --preset" in done.stdout
