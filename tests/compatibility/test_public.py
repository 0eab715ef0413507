"""What is public stays: a change of it is meant, and shows in a diff of public.json (docs/compatibility.md)."""

from __future__ import annotations

import json

import public
import pytest


def test_what_is_public_is_what_was_written_down():
    now = json.loads(json.dumps(public.public()))
    before = json.loads(public.SNAPSHOT.read_text())
    if not public.HAS_TORCH:
        before["names"] = {name: value for name, value in before["names"].items() if "rewirl.torch." not in name}
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


def test_the_state_of_a_layer_for_pytorch_has_the_names_and_shapes_that_are_public():
    torch = pytest.importorskip("torch")
    from rewirl.torch import SparseLinear

    layer = SparseLinear(20, 16, 0.5)
    state = {name: (tuple(value.shape), value.dtype) for name, value in layer.state_dict().items()}
    of_values = (layer.connections,)
    assert state == {
        "values": (of_values, torch.float32),
        "bias": ((16,), torch.float32),
        "indices": (of_values, torch.int64),
    }
    assert list(SparseLinear(20, 16, bias=False).state_dict()) == ["values", "indices"]
