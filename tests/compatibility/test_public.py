"""What is public stays: a change of it is meant, and shows in a diff of public.json (docs/compatibility.md)."""

from __future__ import annotations

import json

import public


def test_what_is_public_is_what_was_written_down():
    now = json.loads(json.dumps(public.public()))
    before = json.loads(public.SNAPSHOT.read_text())
    for part in before | now:
        differences = [
            name
            for name in {**dict.fromkeys(before[part]), **dict.fromkeys(now[part])}
            if (name in before[part]) != (name in now[part])
            or (isinstance(now[part], dict) and before[part][name] != now[part][name])
        ]
        assert differences == [], (
            f"public {part} changed: {', '.join(differences)}. If that is meant, say so in CHANGELOG.md and run "
            "python tests/compatibility/public.py"
        )
