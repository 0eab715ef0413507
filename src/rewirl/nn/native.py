"""Operations and weight formats in C++ files of users: compiled against the headers of the core, and loaded into it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rewirl import _core
from rewirl.exact import a_path

SOURCES: list[Path] = []
"""The files that are loaded, in their order; another process has to load them too."""

_LINK = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []


def load_native(source: str | Path) -> None:
    """Make known the operations and weight formats of a C++ file, and run what it does when it is loaded.

    The file includes `library.hpp` and ends with REWIRL_REGISTER. It is compiled when it, or anything that it includes,
    has changed; the result is kept in the user's cache. $CXX is the compiler, $CXXFLAGS are more options for it.

    Args:
        source: path of the file.

    Raises:
        ValueError: there is no compiler, or the file cannot be compiled or loaded, or it has a name that Rewirl uses.
    """
    source = a_path(source, "source").resolve()
    library = _compiled(source)
    try:
        # The core is loaded for Python alone; its symbols are made visible to what is loaded next.
        ctypes.CDLL(_core.__file__, mode=ctypes.RTLD_GLOBAL | os.RTLD_NOLOAD)
        register = ctypes.CDLL(str(library)).rewirl_register
    except (OSError, AttributeError) as error:
        raise ValueError(f"{source} cannot be loaded; does it end with REWIRL_REGISTER? {error}") from error
    register.restype = ctypes.c_char_p
    fault = register()
    if fault is not None:
        raise ValueError(f"{source} cannot be loaded: {fault.decode()}")
    if source not in SOURCES:
        SOURCES.append(source)


def headers() -> Path:
    """Return the directory of the headers that the core was compiled with."""
    installed = Path(_core.__file__).parent / "include"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "native"


def _compiled(source: Path) -> Path:
    """Return the shared library of a file, compiled now or before."""
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    flags = ["-std=gnu++17", "-O3", "-DNDEBUG", "-fPIC", "-shared", f"-I{headers()}", *_LINK]
    if _core.CXX11_ABI is not None:
        flags.append(f"-D_GLIBCXX_USE_CXX11_ABI={_core.CXX11_ABI}")
    command = [*compiler, *flags, *shlex.split(os.environ.get("CXXFLAGS", ""))]
    # What the preprocessor makes of it has all that it includes; with the compiler and its options it is the key.
    text = _run([*command, "-E", str(source)], source) + _run([*compiler, "--version"], source)
    key = hashlib.sha256(shlex.join(command).encode() + b"\0" + text).hexdigest()
    cache = _cache(source)
    library = cache / f"{source.stem}-{key[:24]}.so"
    if not library.exists():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as directory:
                _run([*command, str(source), "-o", f"{directory}/library.so"], source)
                Path(directory, "library.so").replace(library)
        except OSError as error:
            raise ValueError(
                f"{source} is compiled into {cache}, which cannot be written to: {error.strerror or error}; set "
                "XDG_CACHE_HOME to a directory that can be"
            ) from error
    return library


def _cache(source: Path) -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rewirl"
    except RuntimeError as error:  # a user without a home, as in containers
        raise ValueError(
            f"{source} has no place to be compiled into, as this user has no home; set XDG_CACHE_HOME to a directory"
        ) from error


def _run(command: list[str], source: Path) -> bytes:
    try:
        return subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
    except OSError as error:
        raise ValueError(
            f"{source} cannot be compiled: {error}; install a C++ compiler, or name yours in the variable CXX"
        ) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise ValueError(f"{source} cannot be compiled by {command[0]}:\n{said}") from error
