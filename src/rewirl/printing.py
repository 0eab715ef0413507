"""The one door for what a person reads: text that only says something, whoever wrote it.

Names of environments, agents, options and directories come from files and from other people. A terminal obeys control
characters in them, so each is shown as Python would write it. Output that is closed, full or no terminal is no fault of
a run: messages that cannot be shown are left out, results that cannot be are an `OutputError`.
"""

from __future__ import annotations

import contextlib
import math
import re
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Control characters; formatting ones, which hide text or turn it round; halves of characters; line and paragraph ends.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_WORDS_AFTER = " " * 4
_typed = False
"""Whether what is said now answers the command line."""
_TO_COPY = re.compile(r"(: (\S*rewirl|\S+ -m rewirl|pip|make) [^.]*|\S*[/\\=]\S*|--\S+)$")
"""The end of a message that somebody may copy."""


class OutputError(Exception):
    """The standard output takes no result; the message says why."""


def visible(text: object, lines: bool = False) -> str:
    """Return text in which every control character is written out, such as \\x1b.

    Args:
        text: anything; what str() makes of it.
        lines: whether line ends stay what they are.
    """
    return "".join(
        character
        if (character.isascii() and character.isprintable()) or (lines and character == "\n")
        else _shown(character)
        for character in str(text)
    )


def visible_but_colours(text: str) -> str:
    """Return text of another program for a terminal: its lines and colours stay, nothing else is obeyed."""
    parts = _COLOURS.split(text)
    colours = [*_COLOURS.findall(text), ""]
    return "".join(visible(part, lines=True) + colour for part, colour in zip(parts, colours, strict=True))


def without_colours(text: str) -> str:
    """Return text of another program without the colours that it gave it."""
    return _COLOURS.sub("", text)


def message(text: object) -> str:
    """Return a message for people: what follows a line end in it is indented, so that it is no message of its own."""
    return f"\n{_WORDS_AFTER}".join(map(visible, str(text).split("\n")))


def ended(text: object) -> str:
    """Return a message that ends as a sentence does, unless it ends with something to copy: a path or a command."""
    words = str(text).rstrip()
    last = words.rpartition("\n")[2]
    copied = _TO_COPY.search(last) is not None
    return words if copied or not words or not (words[-1].isalnum() or words[-1] in "'\")]") else f"{words}."


def quoted(word: object) -> str:
    """Return a word for a command to copy, as a shell reads it: one word, and nothing but that.

    Args:
        word: such as a path. One with control characters is written as bash, zsh and ksh read them, $'\\x1b'.
    """
    text = str(word)
    if visible(text) == text:
        return shlex.quote(text)
    data = text.encode("utf-8", "surrogateescape" if _from_bytes(text) else "backslashreplace")
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in data) + "'"


def quoted_path(path: object) -> str:
    """Return a path for a command to copy; one that begins with a hyphen is no option."""
    text = str(path)
    return quoted(f"./{text}" if text.startswith("-") else text)


def program() -> str:
    """Return what starts the command line from here, for a command to copy.

    That is `rewirl` where the PATH leads to this installation. Else it is how this process was started, the script
    beside Python, or `python -m rewirl`.
    """
    beside = Path(sys.executable).with_name("rewirl")
    started = Path(sys.argv[0]) if sys.argv else Path()
    scripts = [each for each in (started, beside) if each.name == "rewirl" and each.is_file()]
    on_path = shutil.which("rewirl")
    if on_path is not None and any(Path(on_path).samefile(script) for script in scripts):
        return "rewirl"
    python = shutil.which("python")
    if python == sys.executable:
        return "python -m rewirl"
    return from_here(scripts[0]) if scripts else f"{from_here(Path(sys.executable))} -m rewirl"


def from_here(file: Path) -> str:
    """Return a path for a command to copy, as it is typed in the working directory."""
    with contextlib.suppress(OSError, ValueError):  # it is not below the working directory, or that is gone
        return quoted_path(file.relative_to(Path.cwd()))
    return quoted_path(file)


@contextlib.contextmanager
def command_line() -> Iterator[None]:
    """Let remedies be commands and options meanwhile; a program in Python is told functions and arguments."""
    global _typed
    before, _typed = _typed, True
    try:
        yield
    finally:
        _typed = before


def typed() -> bool:
    """Return whether what is said now answers the command line, rather than a program in Python."""
    return _typed


def option(name: str) -> str:
    """Return how whoever reads a message gives an option: run_dir in Python, --run-dir on the command line."""
    return f"--{name.replace('_', '-')}" if _typed else name


def to_resume(path: object) -> str:
    """Return what continues a run, for whoever reads a message to copy."""
    return f"{program()} resume {quoted_path(path)}" if _typed else f"rewirl.resume({str(path)!r})"


def decimals(*values: float, least: int = 0, digits: int = 3) -> int:
    """Return after how many decimals the largest of some numbers has its significant digits.

    Args:
        values: numbers that are shown beside each other; those that are not finite do not count.
        least: decimals in any case.
        digits: significant ones.
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest == 0:
        return least
    return min(max(digits - 1 - math.floor(math.log10(largest)), least), 12)


def number(value: float, *beside: float, least: int = 0) -> str:
    """Return a number as people need it: of the digits that its size, and that of others beside it, gives it."""
    return f"{value:,.{decimals(value, *beside, least=least)}f}"


def counted(count: int, noun: str) -> str:
    """Return how many there are of something: "1 run", "2,000 updates"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def say(text: object, *more: object) -> None:
    """Print messages on the standard error, a line each or more; what cannot be printed is left out."""
    for each in (text, *more):
        show(each, sys.stderr)


def show(text: object, stream: Any) -> None:
    """Print a message; what cannot be printed is left out.

    Args:
        text: a message.
        stream: anything with a `write`; None, an output that is closed, shows nothing.
    """
    with contextlib.suppress(OutputError, BrokenPipeError):
        write(message(text), stream)


def result(text: str) -> None:
    """Print what a command was asked for; its lines stay as they are.

    Raises:
        OutputError: it cannot be printed.
        BrokenPipeError: whoever read it went away.
    """
    write(visible(text, lines=True), sys.stdout)


def write(text: str, stream: Any, end: str = "\n") -> None:
    """Write text and its end; characters that the stream cannot encode are written out, such as \\xb1.

    Args:
        text: nothing in it is changed otherwise.
        stream: anything with a `write`; None is an output that is closed.
        end: what follows the text.

    Raises:
        OutputError: the stream is closed or does not take it.
        BrokenPipeError: whoever read it went away.
    """
    if stream is None:
        raise OutputError("the standard output is closed")
    try:
        try:
            stream.write(text + end)
        except UnicodeEncodeError:
            encoding = getattr(stream, "encoding", None) or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + end)
        flush = getattr(stream, "flush", None)
        if flush is not None:
            flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError, AttributeError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"the standard output does not take what is printed: {reason}") from error


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; one that is closed, None, or cannot tell is none."""
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError, TypeError):
        return False


@contextlib.contextmanager
def text_only() -> Iterator[None]:
    """Let what another library prints meanwhile be text and colours.

    Raises:
        OutputError: it printed what was asked for and ended the program, but that cannot be printed.
    """
    out, err = _TextOnly(sys.stdout), _TextOnly(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        except SystemExit:
            if out.problem is not None:
                raise out.problem from None
            raise


class _TextOnly:
    """A stream that a terminal obeys in colours alone; all else of it is the stream's."""

    def __init__(self, stream: Any) -> None:
        """Write to this stream; None is one that is closed."""
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "ascii"
        self.problem: OutputError | None = None
        """Why something could not be printed."""

    def write(self, text: str) -> int:
        """Write text, as `visible_but_colours` has it."""
        try:
            write(visible_but_colours(text), self._stream, end="")
        except OutputError as error:
            self.problem = self.problem or error
        return len(text)

    def flush(self) -> None:
        """Do nothing: every write has been."""

    def isatty(self) -> bool:
        """Return whether the stream says that it is a terminal."""
        return is_terminal(self._stream)

    def __getattr__(self, name: str) -> Any:
        """Return what the stream has."""
        return getattr(self._stream, name)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that is no text
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _from_bytes(text: str) -> bool:
    return all("\udc80" <= c <= "\udcff" for c in text if "\ud800" <= c <= "\udfff")
