"""What tests of several rooms need."""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from pathlib import Path

# Matrices of tests are small: other threads of the libraries that multiply them would only spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("any machine")

# Tests that need the oracles or other libraries are skipped where those are not installed: see rewirl[test-core].
NEEDS = {
    "torch": (
        *("agents/test_oracles.py", "agents/test_gradient_growth.py", "nn/test_reference.py", "test_benchmarks.py"),
        "export/test_torch_module.py",
    ),
    "tensorboardX": ("storage/test_tensorboard.py",),
    "mkdocstrings": ("docs/test_site.py",),
    "onnxruntime": ("export/test_onnx.py",),
    "ray": ("experiments/test_sweep_ray.py",),
}
collect_ignore = [path for module, paths in NEEDS.items() if find_spec(module) is None for path in paths]

# `make quick` leaves these out, unread: together they take nine tenths of the time.
SLOW = (
    *("agents/test_oracles.py", "agents/test_td3.py", "agents/test_sac.py", "agents/test_gradient_growth.py"),
    *("agents/test_new_agent.py", "agents/test_probes.py", "agents/test_changing_sparsity.py", "agents/test_soft_"),
    *(
        "agents/test_added_layers.py",
        "agents/test_block_agents.py",
        "compatibility/test_fix",
        "compatibility/test_same",
    ),
    *(
        "experiments/test_sweep",
        "experiments/test_run_queue.py",
        "experiments/test_report",
        "native/",
        "nn/",
        "torture/",
    ),
    *("experiments/test_aggregates.py", "experiments/test_bounded_inputs.py", "experiments/test_welch.py", "export/"),
    *("presets/", "storage/test_log_sums.py", "storage/test_run_directory.py", "training/test_callbacks.py"),
    *("training/test_evaluation_process.py", "training/test_handed_over_runs.py", "training/test_memory.py"),
    *("training/test_nan_noticed.py", "training/test_normalised_runs.py", "training/test_run.py", "test_bench"),
    *("training/test_several_environments.py", "training/test_soft_runs.py", "training/test_spaces_in_runs.py"),
    *(
        "training/test_threads_of_a_program.py",
        "training/test_watch.py",
        "test_peers.py",
        "test_cli.py",
        "test_readme.py",
    ),
    *("test_examples.py", "test_installed.py", "test_output.py", "test_resume_from_python.py"),
)


def is_slow(path: Path) -> bool:
    return path.relative_to(Path(__file__).parent).as_posix().startswith(SLOW)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What the slow ones import takes as long as some of the fast ones run."""
    quick = config.option.markexpr == "quick" and collection_path.name.startswith("test_")
    return True if quick and is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not is_slow(item.path):
            item.add_marker(pytest.mark.quick)


class Threads:
    """The threads of this process, whoever made them."""

    def count(self) -> int:
        return sum(1 for _ in Path("/proc/self/task").iterdir())

    def come_to(self, expected: int) -> bool:
        """Whether so many are left; the system shows a thread for a moment after it has been joined."""
        end = time.monotonic() + 10
        while self.count() != expected and time.monotonic() < end:
            os.sched_yield()
        return self.count() == expected


@pytest.fixture
def process_threads() -> Threads:
    return Threads()
