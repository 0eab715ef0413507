"""Builds the site of the documentation into build/site; needs pip install 'rewirl[docs]'.

python docs/build_site.py

Pages keep their places beside each other, so that links lead where they lead in the repository.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "benchmarks", "examples", "results", "src/rewirl")
KEPT = (".md", ".svg", ".png", ".py", ".sh", ".toml", ".ipynb", ".cpp")


def collect(target: Path) -> None:
    """Copy what pages show or link to; what a build before this one left is removed."""
    shutil.rmtree(target, ignore_errors=True)
    for name in PAGES:
        files = [ROOT / name] if name.endswith(".md") else sorted((ROOT / name).rglob("*"))
        for file in files:
            if file.suffix in KEPT or (file.suffix == ".json" and name == "results" and "benchmarks" in file.parts):
                copy = target / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)


if __name__ == "__main__":
    collect(ROOT / "build" / "site-source")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", str(ROOT / "mkdocs.yml")]
    sys.exit(subprocess.run(build, check=False).returncode)
