"""Standard output: the documented lines, whole, UTF-8 and plain; or one JSON document.

The lines that scripts look for are never coloured or wrapped, on a terminal neither. Colour is for
the lines that only people read, and only on a terminal without NO_COLOR. With `--json` nothing but
the document goes to standard output; with `--quiet` only documented lines do.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import of typing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import IO, Any


class Output:
    """Where a command writes: `line` for what is documented, `note` for what people read."""

    def __init__(
        self, *, json: bool = False, quiet: bool = False, stream: IO[str] | None = None
    ) -> None:
        self.json = json
        self.quiet = quiet
        self._stream = sys.stdout if stream is None else stream
        self._gone = False
        self.failure: str | None = None
        """Why the output could not be written (a full disk); a reader that left is no failure."""
        self.terminal = is_terminal(self._stream)
        self._colour = self.terminal and wants_colour()

    def line(self, text: str) -> None:
        """A documented line."""
        if not self.json:
            self._write(one_line(text))

    def problem(self, text: str, parts: Sequence[str] = ()) -> None:
        """A documented line of an error; if it is long, with indented lines of what to do."""
        from edulearn_migrate.cli.layout import problem

        for each in problem(one_line(text), parts):
            self.line(each)

    def note(self, text: str, *, style: str = "") -> None:
        """A line for people, left out by --quiet. `style` is a name of `_STYLES`."""
        if self.json or self.quiet:
            return
        self._write(one_line(text), style if self._colour else "")

    def table(self, heads: list[str], rows: list[list[str]]) -> None:
        """Columns for people on a terminal, cut to its width; elsewhere nothing."""
        if not self.terminal or not rows:
            return
        from shutil import get_terminal_size

        self.note("")
        for number, text in enumerate(columns(heads, rows, get_terminal_size().columns)):
            self.note(text, style="heading" if number == 0 else "")

    def document(self, data: Mapping[str, Any] | list[Any]) -> None:
        """The one JSON document. Dates are RFC 3339 in UTC."""
        self._write(as_json(data, indent=2))

    def text(self, text: str) -> None:
        """Several lines as they are, such as the help."""
        self._write(text.rstrip("\n"))

    def _write(self, text: str, style: str = "") -> None:
        """One write and flush. A reader that has gone away ends the output, not the run."""
        if self._stream is None or self._gone:
            return
        text = visible(text, keep="\n")
        if style:
            text = f"\x1b[{_STYLES[style]}m{text}\x1b[0m"
        try:
            binary = getattr(self._stream, "buffer", None)
            if binary is None:
                self._stream.write(text + "\n")
            else:
                # Not through the text layer: its encoding follows the locale.
                binary.write((text + "\n").encode("utf-8", "backslashreplace"))
            self._stream.flush()
        except OSError as error:
            self._gone = True
            if not isinstance(error, BrokenPipeError):
                self.failure = error.strerror
            _discard(self._stream)


_STYLES = {"heading": "1", "good": "32", "warning": "33", "bad": "31", "faint": "2"}


class Unbuffered:
    """A stream for threads that may be left behind in a write, at a terminal that nobody reads.

    It keeps no lock meanwhile, which the end of the program would wait for.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        try:
            self._number: int | None = stream.fileno()
        except (OSError, ValueError):  # no file, as in tests
            self._number = None

    def write(self, text: str) -> int:
        """Write all of it."""
        if self._number is None:
            return self._stream.write(text)
        data = text.encode(self.encoding, "backslashreplace")
        while data:
            data = data[os.write(self._number, data) :]
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""
        if self._number is None:
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The file's number."""
        return self._stream.fileno()


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a person looks at the stream."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def wants_colour() -> bool:
    """Whether colour is welcome: https://no-color.org, and not on a terminal that has none."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def visible(text: str, *, keep: str = "") -> str:
    r"""The text with control characters, bidi overrides and the like as escapes, as in `\u202e`.

    Names and messages come from files and databases. Whatever the command writes, to a terminal, a
    log or a file, goes through here: nothing in it may break a line in two, send the terminal an
    escape sequence, or show something else than what it says. The form is JSON's, so that in a
    JSON document the value stays the same. `keep` holds the control characters that stay.
    """
    if text.isprintable():
        return text
    from unicodedata import category

    def harmless(each: str) -> bool:
        return each.isprintable() or each in keep or category(each) == "Zs"

    return "".join(each if harmless(each) else _escape(each) for each in text)


def _escape(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"


def one_line(text: str) -> str:
    """The text on one line. Line breaks and tabs become spaces, the rest is `visible`."""
    if text.isprintable():
        return text
    joined = " ".join(part for part in map(str.strip, text.rstrip().splitlines()) if part)
    indent = text[: len(text) - len(text.lstrip(" "))]
    return indent + visible(joined.replace("\t", " "))


def as_json(data: object, *, indent: int | None = None) -> str:
    """A JSON document. Dates are RFC 3339 in UTC."""
    import json

    text = json.dumps(data, default=jsonable, ensure_ascii=False, indent=indent)
    return visible(text, keep="\n")


def warn(text: str) -> None:
    """A line for people on stderr."""
    if sys.stderr is not None:
        print(one_line(safe(text)), file=sys.stderr, flush=True)


def columns(heads: list[str], rows: list[list[str]], width: int) -> list[str]:
    """The heads and rows as aligned lines of at most `width` characters."""
    table = [[one_line(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(len(row[at]) for row in table) for at in range(len(heads))]
    lines = []
    for row in table:
        cells = (cell.ljust(size) for cell, size in zip(row, widths, strict=True))
        line = "  ".join(cells).rstrip()
        lines.append(line if len(line) <= width else line[: max(width - 1, 0)] + "…")
    return lines


def megabytes(size: int) -> str:
    """A number of bytes for people, as in `1.5 MB`."""
    if size < 1000:
        return f"{size} bytes"
    if size < 1_000_000:
        return f"{size / 1e3:.1f} kB"
    return f"{size / 1e6:,.1f} MB" if size < 10**9 else f"{size / 1e9:,.1f} GB"


def rfc3339(moment: datetime) -> str:
    """A date in UTC with milliseconds, as in `2026-11-22T13:40:49.286Z`."""
    from datetime import timezone

    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def jsonable(value: object) -> object:
    """What the json module cannot write by itself."""
    from datetime import datetime

    return rfc3339(value) if isinstance(value, datetime) else str(value)


def safe(text: str) -> str:
    """The text without credentials, also where the native engine is missing."""
    try:
        from edulearn_migrate._native import redact
    except ImportError:
        import re

        return re.sub(r"://\S*@", "://***@", text)
    return redact(text)


def _discard(stream: IO[str]) -> None:
    """Let what is still buffered go nowhere, or the interpreter complains when it ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass
