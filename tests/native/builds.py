"""The core and its own tests built under sanitizers, beside the tests that run meanwhile."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tool(name: str) -> str:
    """The program of this name, that of the virtual environment first."""
    found = shutil.which(name, path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]))
    assert found, f"{name} is not installed; it is part of rewirl[test]"
    return found


@dataclass
class Build:
    """One build under sanitizers.

    Args:
        sanitizers: as compilers know them.
        portable_only: whether the kernels of instruction sets are left out.
        targets: what is built.
    """

    sanitizers: str
    portable_only: bool
    targets: tuple[str, ...]
    directory: Path | None = None
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def begin(self, directory: Path) -> None:
        """Start to build, with one compiler at a time: the other core has tests to run."""
        self.directory = directory
        settings = {
            "CMAKE_BUILD_TYPE": "Debug",
            "CMAKE_MAKE_PROGRAM": tool("ninja"),
            "REWIRL_NATIVE_TESTS": "ON",
            "REWIRL_SANITIZE": self.sanitizers,
            "REWIRL_PORTABLE_ONLY": "ON" if self.portable_only else "OFF",
        }
        configure = [tool("cmake"), "-S", str(ROOT), "-B", str(directory), "-G", "Ninja"]
        configure += [f"-D{name}={value}" for name, value in settings.items()]
        build = [tool("cmake"), "--build", str(directory), "--parallel", "1", "--target", *self.targets]
        both = f"{shlex.join(configure)} && {shlex.join(build)}"
        with (directory / "output").open("w") as output:
            self._process = subprocess.Popen(
                both, shell=True, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )

    def end(self) -> Path:
        """Wait for the build; return its directory. A build that fails ends in what the compiler said."""
        assert self.directory is not None and self._process is not None
        assert self._process.wait() == 0, (self.directory / "output").read_text()[-20_000:]
        return self.directory

    def stop(self) -> None:
        """End a build that nobody waited for."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()


# Who writes what at the same time is the same with every instruction set, so for threads one is compiled.
BUILDS = {
    "address,undefined": Build("address,undefined", False, ("native_tests", "limits")),
    "thread": Build("thread", True, ("native_tests",)),
}
