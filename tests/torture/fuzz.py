"""Fuzzing of every parser of outside data, and of the native core through its binding.

    python tests/torture/fuzz.py checkpoint --seconds 600 --seed 0 --keep failures
    python tests/torture/fuzz.py checkpoint --replay failures/checkpoint-1
    python tests/torture/fuzz.py native --sanitize address,undefined --seconds 600

Inputs are tried in forked processes, many in each, so that a crash is counted, attributed and survived. An input fails
if it ends in anything but what is documented: another exception, a crash, seconds of computing, memory out of
proportion, or being accepted and useless. Parsers are led by the lines they run: an input that reaches new ones is
mutated further.

With --sanitize address,undefined the core is built with sanitizers, by pip into a temporary directory or --build DIR,
and the command runs again in a Python that loads them. With --sanitize thread it is the threads' part of the core's
own tests (tests/native/*.cpp) that is built and run over and over: an interpreter that was built without that sanitizer
gives it nothing but noise.
"""

from __future__ import annotations

import argparse
import dataclasses
import faulthandler
import mmap
import os
import pickle
import random
import re
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process with threads of its own cannot be forked safely
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "experiments")]

ROOT = Path(__file__).parents[2]
BATCH_SECONDS = 3.0
HANG_SECONDS = 20  # of computing, by one input
TRACED = 0.25  # share of the inputs that are followed line by line, which takes several times as long
MEMORY = 2**30  # bytes that an input may take beyond what the process had


@dataclasses.dataclass
class Figures:
    """What came of the inputs so far."""

    tried: int = 0
    accepted: int = 0
    refused: int = 0
    failures: int = 0
    crashes: int = 0

    def __str__(self) -> str:
        """Return them as one line."""
        return (
            f"{self.tried} inputs tried, {self.accepted} accepted, {self.refused} refused, "
            f"{self.failures} failures, of which {self.crashes} crashes or hangs"
        )


class Lines:
    """Which lines of the package are run."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int]] = set()
        self._new: set[tuple[str, int]] = set()
        self._ours: dict[Any, bool] = {}

    def of(self, call: Callable[[], Any]) -> Any:
        """Call, and return what it returns."""
        self._new = set()
        sys.settrace(self._call)
        try:
            return call()
        finally:
            sys.settrace(None)

    def new(self) -> frozenset[tuple[str, int]]:
        """Return the lines of the last call that were never run before."""
        return frozenset(self._new - self.seen)

    def _call(self, frame: Any, event: str, argument: Any) -> Any:
        code = frame.f_code
        ours = self._ours.get(code)
        if ours is None:
            ours = self._ours[code] = f"{os.sep}rewirl{os.sep}" in code.co_filename
        if not ours:
            return None
        self._new.add((code.co_filename, frame.f_lineno))
        return self._line

    def _line(self, frame: Any, event: str, argument: Any) -> Any:
        if event == "line":
            self._new.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line


class Fuzzer:
    """One target under fire.

    Args:
        target: has a name, seeds, mutate, run, traced and bounded; see parsers.py and calls.py.
        seed: of everything random.
        keep: where failing inputs are written; None is nowhere.
    """

    def __init__(self, target: Any, seed: int, keep: Path | None) -> None:
        self.target = target
        self.seed = seed
        self.keep = keep
        self.figures = Figures()
        self.corpus: list[bytes] = list(target.seeds())
        self.lines = Lines()
        self._kinds: dict[str, int] = {}
        self._shared = mmap.mmap(-1, 4096)  # tried, accepted, refused of the batch
        self._scratch = tempfile.TemporaryDirectory(prefix="fuzz-", dir=_memory_directory())
        self._current = Path(self._scratch.name) / "current"
        self._errors = Path(self._scratch.name) / "errors"

    def fuzz(self, seconds: float, shout: Callable[[str], None]) -> Figures:
        """Try inputs for so long and return what came of them."""
        end, told, batch = time.monotonic() + seconds, time.monotonic(), 0
        for data in self.corpus:  # what is not mutated is fine; it also gives the lines that are nothing new
            self._batch(batch, data, shout, end)
            batch += 1
        while time.monotonic() < end:
            self._batch(batch, None, shout, end)
            batch += 1
            if time.monotonic() > told + 30:
                told = time.monotonic()
                shout(f"{self.target.name}: {self.figures}; corpus {len(self.corpus)}, lines {len(self.lines.seen)}")
        return self.figures

    def replay(self, data: bytes, shout: Callable[[str], None]) -> Figures:
        """Try one input."""
        self._batch(0, data, shout, time.monotonic() + 3600)
        return self.figures

    def close(self) -> None:
        """Remove what was written on the way."""
        self._scratch.cleanup()
        self._shared.close()

    def _batch(self, number: int, only: bytes | None, shout: Callable[[str], None], end: float) -> None:
        reader, writer = os.pipe()
        self._shared[:24] = bytes(24)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(reader)
                report = self._try_many(number, only, min(BATCH_SECONDS, max(0.0, end - time.monotonic())))
                with os.fdopen(writer, "wb") as pipe:
                    pickle.dump(report, pipe)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(writer)
        report, killed = _receive(reader, child)
        _, status = os.waitpid(child, 0)
        tried, accepted, refused = struct.unpack_from("<3Q", self._shared)
        self.figures.tried += tried
        self.figures.accepted += accepted
        self.figures.refused += refused
        if report is None or status != 0:
            errors = self._errors.read_text(errors="replace")[-6000:] if self._errors.exists() else ""
            how = "did not return" if killed else _ending(status)
            self.figures.crashes += 1
            self._failed(f"{how}\n{errors}", self._current.read_bytes() if self._current.exists() else b"", shout)
            return
        failures, found, lines = report
        self.lines.seen |= lines
        self.corpus += found
        for description, data in failures:
            self._failed(description, data, shout)

    def _failed(self, description: str, data: bytes, shout: Callable[[str], None]) -> None:
        self.figures.failures += 1
        kind = description.strip().splitlines()[-1][:200] if "Traceback" in description else description[:300]
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        if self._kinds[kind] > 3:  # one defect is found over and over
            return
        where = ""
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            path = self.keep / f"{self.target.name}-{self.seed}-{self.figures.failures}"
            path.write_bytes(data)
            where = f"; kept as {path}"
        shout(f"FAILED: {description}{where}")

    def _try_many(self, number: int, only: bytes | None, seconds: float) -> Any:
        """Try inputs for a while, in this process; return failures, what is worth mutating further, and its lines."""
        rng = random.Random(f"{self.seed}/{number}")
        errors = os.open(self._errors, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        os.dup2(errors, 2)
        faulthandler.enable()
        if self.target.bounded:
            in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (in_use + 2 * MEMORY, in_use + 2 * MEMORY))
        signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends this process: a loop in the core would see no exception
        failures: list[tuple[str, bytes]] = []
        found: list[bytes] = []
        lines: set[tuple[str, int]] = set()
        counts = [0, 0, 0]
        end = time.monotonic() + seconds
        while True:
            data = only if only is not None else self.target.mutate(rng, self.corpus + found)
            self._current.write_bytes(data)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
            try:
                traced = self.target.traced and (only is not None or rng.random() < TRACED)
                accepted, refused = self._run(data, traced)
                grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
                if grown > MEMORY:
                    failures.append((f"{grown} bytes of memory for an input of {len(data)}", data))
            except Exception:
                accepted, refused = 0, 0
                failures.append((traceback.format_exc(), data))
            signal.setitimer(signal.ITIMER_PROF, 0)
            if traced:
                new = self.lines.new() - lines
                if new:
                    lines |= new
                    found.append(data)
            counts = [counts[0] + max(1, accepted + refused), counts[1] + accepted, counts[2] + refused]
            struct.pack_into("<3Q", self._shared, 0, *counts)
            if only is not None or time.monotonic() > end or len(failures) > 50:
                return failures, [] if only is not None else found, lines

    def _run(self, data: bytes, traced: bool) -> tuple[int, int]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if traced:
                result: tuple[int, int] = self.lines.of(lambda: self.target.run(data))
                return result
            result = self.target.run(data)
            return result


def _receive(reader: int, child: int) -> tuple[Any, bool]:
    """Return what a child sends, and whether it had to be killed."""
    parts: list[bytes] = []
    end = time.monotonic() + BATCH_SECONDS + 15 * HANG_SECONDS  # it may have to share its processor with others
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                os.kill(child, signal.SIGKILL)
                return None, True
            part = pipe.read(1 << 16)
            if not part:
                break
            parts.append(part)
    try:
        return pickle.loads(b"".join(parts)), False
    except (EOFError, pickle.UnpicklingError):
        return None, False


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) == signal.SIGPROF:
            return f"more than {HANG_SECONDS} seconds of computing"
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.WEXITSTATUS(status)}"


def _memory_directory() -> str | None:
    """Return a directory in memory, if there is one: nothing here has to survive, and disks are slow."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def make_target(name: str) -> Any:
    """Return a target by its name."""
    if name == "native":
        import calls

        return calls.Native()
    import parsers

    return parsers.TARGETS[name]()


def sanitized(sanitizers: str, build: Path, arguments: list[str]) -> int:
    """Build the core with sanitizers, run this command again with it, and return its status."""
    site = build / "site"
    settings = [
        "cmake.build-type=Debug",
        f"cmake.define.REWIRL_SANITIZE={sanitizers}",
        "install.strip=false",
        f"build-dir={build / 'build'}",
    ]
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", str(site)]
    for setting in settings:
        command += ["-C", setting]
    subprocess.run([*command, str(ROOT)], check=True)
    preload = ["libasan.so", "libstdc++.so"] + (["libubsan.so"] if "undefined" in sanitizers else [])
    found = [
        subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in preload
    ]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(found),
        "PYTHONPATH": str(site),
        "PYTHONMALLOC": "malloc",  # so that Python's own memory is watched too
        # Leaks are not looked for: the interpreter ends without freeing what it has.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:abort_on_error=1:handle_segv=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "REWIRL_FUZZ_SANITIZED": sanitizers,
    }
    again = [sys.executable, str(Path(__file__).resolve()), *arguments]
    return subprocess.run(again, env=environment, check=False).returncode


def threads(build: Path, seconds: float, shout: Callable[[str], None]) -> int:
    """Build the core's own tests with the thread sanitizer, run those of threads for so long, and return a status."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"CMAKE_BUILD_TYPE": "Debug", "REWIRL_NATIVE_TESTS": "ON", "REWIRL_SANITIZE": "thread"}
    configure = ["cmake", "-S", str(ROOT), "-B", str(build), *(f"-D{name}={value}" for name, value in settings.items())]
    for command in (configure, ["cmake", "--build", str(build), "--parallel", "2"]):
        subprocess.run(command, check=True, env={**os.environ, "PATH": path}, stdout=subprocess.DEVNULL)
    passed = rounds = failures = 0
    end = time.monotonic() + seconds
    while rounds == 0 or time.monotonic() < end:
        # Without random addresses, under which older thread sanitizers do not start.
        command = ["setarch", "-R", str(build / "native_tests"), "pool"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        rounds += 1
        found = re.search(r"(\d+) passed, 0 failed", done.stdout)
        passed += int(found[1]) if found else 0
        if done.returncode != 0 or not found:
            failures += 1
            shout(f"FAILED: {done.stdout}\n{done.stderr[-6000:]}")
    shout(f"threads: {rounds} rounds, {passed} checks passed, {failures} failures")
    return 1 if failures else 0


def main() -> int:
    """Fuzz what the command line says."""
    names = ["checkpoint", "policy", "toml", "metrics", "config", "native"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=names)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--keep", type=Path, help="directory for inputs that fail")
    parser.add_argument("--replay", type=Path, help="an input that failed; nothing else is tried")
    parser.add_argument("--sanitize", help="address,undefined or thread; for native only")
    parser.add_argument("--build", type=Path, help="where the sanitized core is built; temporary if not given")
    given = parser.parse_args()

    def shout(text: str) -> None:
        print(text, flush=True)

    if given.sanitize:
        if given.target != "native":
            parser.error("--sanitize is for native only")
        arguments = [given.target, "--seconds", str(given.seconds), "--seed", str(given.seed)]
        for name in ("keep", "replay"):
            if getattr(given, name):
                arguments += [f"--{name}", str(getattr(given, name).absolute())]
        with tempfile.TemporaryDirectory(prefix="sanitized-") as temporary:
            build = (given.build or Path(temporary)).absolute()
            if given.sanitize == "thread":
                return threads(build, given.seconds, shout)
            return sanitized(given.sanitize, build, arguments)

    fuzzer = Fuzzer(make_target(given.target), given.seed, given.keep)
    try:
        figures = fuzzer.replay(given.replay.read_bytes(), shout) if given.replay else fuzzer.fuzz(given.seconds, shout)
    finally:
        fuzzer.close()
    shout(f"{given.target}: {figures}")
    return 1 if figures.failures else 0


if __name__ == "__main__":
    sys.exit(main())
