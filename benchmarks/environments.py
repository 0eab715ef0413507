"""Virtual environments for peers: what goes into each, with its versions, in one place.

Every peer has one of its own, because their dependencies exclude each other: RLtools must not see torch, for instance.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NUMPY = "numpy==2.4.6"
GYMNASIUM = ["gymnasium[mujoco]==1.4.0", "mujoco==4.0.0", NUMPY]
TORCH = "torch==2.13.0"
"""On the Python package index this may be a build for CUDA; it is slower to install, not to run. For the CPU build set
PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu."""

PEERS: dict[str, list[list[str]]] = {
    "sb3": [["stable-baselines3==2.9.2", TORCH, *GYMNASIUM]],
    "sbx": [["sbx-rl==0.28.0", "jax==0.10.2", TORCH, *GYMNASIUM]],
    "rltools": [["rltools[mkl]==2.2.1", "mkl==2026.2.0", "mkl-include==2026.2.0", *GYMNASIUM]],
    # Its build asks the `pip` and the `python3` on the PATH for pybind11, and the Python that builds it for setuptools.
    "sparseprop": [
        ["setuptools==80.9.0", "pybind11==3.1.0", NUMPY, "scipy==1.17.1"],
        ["--no-build-isolation", "sparseprop==0.1.14"],
    ],
}
"""The arguments of pip, call by call, by environment."""


def python_of(directory: Path, peer: str) -> Path:
    """Return the Python of a peer's environment, be it there or not."""
    return directory / peer / "bin" / "python"


def install(directory: Path, peers: list[str]) -> None:
    """Make the environments that are not complete yet."""
    for peer in peers:
        root = directory / peer
        done = root / "installed"
        if done.exists():
            print(f"{root} is there already", file=sys.stderr)
            continue
        print(f"{root}: {' '.join(' '.join(arguments) for arguments in PEERS[peer])}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
        environment = os.environ | {"PATH": f"{root.absolute() / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        for arguments in PEERS[peer]:
            command = [str(python_of(root.parent, peer)), "-m", "pip", "install", "--quiet", *arguments]
            if subprocess.run(command, env=environment).returncode:
                raise SystemExit(f"pip could not install {peer}; its error is above. The others can do without it")
        done.touch()


def missing(directory: Path, peers: list[str]) -> list[str]:
    """Return the peers whose environment is not complete."""
    return [peer for peer in peers if not (directory / peer / "installed").exists()]
