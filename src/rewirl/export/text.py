"""Text of strangers in files that are made for compilers, and the names that such files give to things."""

from __future__ import annotations

import re

_SAFE = re.compile(r"[^A-Za-z0-9 ._:,=@()\[\]'/+-]")
_LONGEST = 200

_HEADERS = {
    # C, up to C23.
    *("assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math"),
    *("setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbit", "stdbool", "stdckdint", "stddef", "stdint"),
    *("stdio", "stdlib", "stdmchar", "stdnoreturn", "string", "tgmath", "threads", "time", "uchar", "wchar", "wctype"),
    # POSIX.
    *("aio", "cpio", "dirent", "dlfcn", "endian", "fcntl", "fmtmsg", "fnmatch", "ftw", "glob", "grp", "iconv"),
    *("langinfo", "libgen", "libintl", "monetary", "mqueue", "ndbm", "netdb", "nl_types", "poll", "pthread", "pwd"),
    *("regex", "sched", "search", "semaphore", "spawn", "strings", "stropts", "syslog", "tar", "termios", "trace"),
    *("ulimit", "unistd", "utime", "utmpx", "wordexp"),
    # The C libraries of Linux, macOS, Windows and microcontrollers, and compilers.
    *("alloca", "ar", "byteswap", "crypt", "elf", "err", "error", "execinfo", "features", "fpu_control", "fts"),
    *("getopt", "ieeefp", "ifaddrs", "libio", "link", "malloc", "mcheck", "memory", "mntent", "newlib", "obstack"),
    *("paths", "picolibc", "printf", "pty", "reent", "resolv", "stdfix", "sysexits", "syslimits", "ucontext"),
    *("unwind", "utmp", "values", "varargs", "wait", "xlocale", "cpuid", "intrin", "linkage", "access", "machine"),
    *("conio", "corecrt", "crtdbg", "crtdefs", "direct", "excpt", "io", "mbstring", "minmax", "new", "process"),
    *("sal", "share", "tchar", "vadefs", "vcruntime", "windef", "windows", "winnt", "yvals", "yvals_core"),
}
"""Headers of C and of systems, without the `.h`, which others of them may include."""

_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Names that no file may have on Windows, whatever its ending."""


def comment(text: str) -> str:
    """Return text that is nothing but text inside a comment of C: one line of plain characters, not too long.

    No comment can end or begin in it, and no line continue: `*`, `?` and the backslash are among the characters that
    are written as their numbers, such as <2a>.
    """
    plain = _SAFE.sub(lambda found: f"<{ord(found[0]):x}>", text[: _LONGEST + 1])
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 3]}..."


def checked_name(name: str) -> str:
    """Return a name that files and functions may have.

    Raises:
        ValueError: C could not use it, or it is that of a header of C or of a system, or of a device.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        raise ValueError(
            f"the name {name!r} is to begin functions of C: at most 32 lower-case letters, digits and underscores, a "
            "letter first"
        )
    if name in _HEADERS:
        raise ValueError(f"a file {name}.h would hide the header <{name}.h> of C or of a system; choose another name")
    if name in _DEVICES:
        raise ValueError(f"the name {name!r} is that of a device on Windows, so of no file; choose another name")
    return name
