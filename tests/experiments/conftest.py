"""What tests of sweeps and reports need."""

from __future__ import annotations

import pytest

from rewirl.experiments.report import figures


@pytest.fixture(autouse=True)
def drawn_where_looked_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw figures in tests that are marked so alone: most of a report's time goes there, and most look at its text."""
    if request.node.get_closest_marker("draws") is None:
        monkeypatch.setattr(figures, "_svg", lambda *_, **__: '<svg role="img" viewBox="0 0 1 1"></svg>')
