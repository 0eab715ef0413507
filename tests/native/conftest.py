"""Begins the builds under sanitizers before the first test, if their tests will run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from builds import BUILDS


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    tests = [item for item in session.items if item.path.name == "test_sanitizers.py"]
    for name, build in BUILDS.items():
        if any(name in test.name for test in tests):
            build.begin(Path(tempfile.mkdtemp(prefix="rewirl-native-")))


def pytest_sessionfinish() -> None:
    for build in BUILDS.values():
        build.stop()
        if build.directory is not None:
            shutil.rmtree(build.directory, ignore_errors=True)
