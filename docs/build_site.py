"""Builds the site of the documentation; needs pip install 'rewirl[docs]'.

python docs/build_site.py

Pages keep their places beside each other, so that links lead where they lead in the repository.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "docs", "benchmarks", "examples", "results")
CODE = ("src/rewirl", "native")
KEPT = (".md", ".svg", ".png", ".py", ".sh", ".toml", ".ipynb", ".cpp", ".css", ".cff")
NEEDED = ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers")
SITE = ROOT / "build" / "site"


def collect(target: Path) -> None:
    """Copy what pages show or link to; what a build before this one left is removed."""
    shutil.rmtree(target, ignore_errors=True)
    for name in PAGES + CODE:
        files = [ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).rglob("*"))
        for file in files:
            if file.suffix in KEPT or (file.suffix == ".json" and name == "results" and "benchmarks" in file.parts):
                copy = target / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the site and say where it begins; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    if any(importlib.util.find_spec(module) is None for module in NEEDED):
        sys.stderr.write("the site needs MkDocs, its theme Material and mkdocstrings: pip install 'rewirl[docs]'\n")
        return 2
    collect(ROOT / "build" / "site-source")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", str(ROOT / "mkdocs.yml")]
    quiet = {"NO_MKDOCS_2_WARNING": "1"}  # the theme's advertisement of another program
    code = subprocess.run(build, env={**os.environ, **quiet}, check=False).returncode
    if code == 0:
        print(f"wrote {SITE.relative_to(ROOT)}; open {SITE / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
