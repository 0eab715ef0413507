from __future__ import annotations

import pytest

from rewirl import _core
from rewirl.nn import Pool


@pytest.fixture(params=_core.available_instruction_sets())
def instruction_set(request):
    """Run the test on every instruction set of this machine."""
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


@pytest.fixture(scope="module")
def pool():
    pool = Pool(1)
    yield pool
    pool.close()
