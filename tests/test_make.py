"""What `make` says to someone who has just copied the repository."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = [
    pytest.mark.quick,
    pytest.mark.skipif(shutil.which("make") is None or shutil.which("c++") is None, reason="needs make and c++"),
]


@pytest.fixture
def make(tmp_path: Path) -> list[str]:
    """The command, with an environment whose Python does nothing and whose rewirl waits for Ctrl-C."""
    scripts = {
        "python": "exit 0",
        "rewirl": f"trap 'echo saved; exit $CODE' INT\necho training\nread line <> {tmp_path}/never",
    }
    os.mkfifo(tmp_path / "never")
    for name, script in scripts.items():
        path = tmp_path / "env" / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
    return ["make", "-C", str(ROOT), "train", f"VENV={tmp_path}/env", f"RUN_DIR={tmp_path}/run"]


@pytest.mark.parametrize("code", [130, 1])
def test_make_train_says_that_it_compiles_and_ctrl_c_is_no_error(make: list[str], tmp_path: Path, code: int) -> None:
    with subprocess.Popen(
        make,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "CODE": str(code)},
        start_new_session=True,
        # Where the tests run in the background, Ctrl-C is ignored, and what is ignored stays so in what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        heard = []
        for line in process.stdout:
            heard.append(line)
            if "training" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.read()
    assert any("compiling its core" in line for line in heard)
    assert "saved" in rest
    assert ("Error" in rest) == (code != 130), rest


def made(make: list[str], tmp_path: Path, *words: str) -> str:
    """What make says, of a target in that environment."""
    command = [*make[:3], *words, f"VENV={tmp_path}/env"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("other", ["installed", "installed-for-tests"])
def test_make_dev_installs_again_after_another_install_took_its_place(
    make: list[str], tmp_path: Path, other: str
) -> None:
    made(make, tmp_path, "dev")
    assert "pip install" not in made(make, tmp_path, "--dry-run", "dev")
    made(make, tmp_path, f"{tmp_path}/env/{other}")
    assert "pip install" in made(make, tmp_path, "--dry-run", "dev")


def test_make_quick_tests_no_copy_of_older_files(make: list[str], tmp_path: Path) -> None:
    made(make, tmp_path, f"{tmp_path}/env/installed-for-tests")
    assert "pip install" not in made(make, tmp_path, "--dry-run", "quick")
    os.utime(tmp_path / "env" / "installed-for-tests", (0, 0))
    assert "pip install" in made(make, tmp_path, "--dry-run", "quick")
