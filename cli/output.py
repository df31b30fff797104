"""Text for people and documents for programs: sizes, times, names, columns, JSON.

Results go to stdout, everything else to stderr.
"""

import contextlib
import errno
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from ..errors import ModelFloatError
from ..redaction import redact_text

PAGE: Final = 1000
"""Rows that are aligned with each other where there may be any number of them."""

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def human_size(size: float) -> str:
    """A number of bytes in decimal units: `512 B`, `90.9 MB`, `1.41 GB`."""
    value, unit = float(size), 0
    while unit < len(_UNITS) - 1 and value >= (999.5 if unit else 1000):
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return f"{value:.0f} B"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def human_seconds(seconds: float) -> str:
    """A duration: `0.42 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def human_latency(seconds: float) -> str:
    """How long something took that may have been short: `12 µs`, `1.3 ms`, `0.42 s`."""
    if seconds < 9.95e-4:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.0995:
        return f"{seconds * 1e3:.{1 if seconds < 9.95e-3 else 0}f} ms"
    return human_seconds(seconds)


def human_rate(size: float, seconds: float) -> str:
    """Bytes a second, as `850 MB/s`."""
    return f"{human_size(size / seconds) if seconds > 0 else '–'}/s"


def human_time(time_ns: int) -> str:
    """A moment, given in nanoseconds since the epoch, in local time to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_ns // 1_000_000_000))


def iso_time(time_ns: int) -> str:
    """A moment in UTC, as `2026-01-31T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ns // 1_000_000_000))


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`, `2 repositories`."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("ry"):
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}{'es' if noun.endswith('ch') else 's'}"


def shown(name: bytes) -> str:
    """A name for people: what is not printable text is escaped, so it cannot steer a terminal.

    A backslash is escaped as well, so no two names look alike.
    """
    return printable(name.replace(b"\\", rb"\\").decode("utf-8", "surrogateescape"))


def printable(text: str) -> str:
    """`text`, whose names may be escaped already, with everything escaped that does not print."""
    safe = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)


def text_of(name: bytes) -> str:
    """A name for programs: what is no UTF-8 becomes lone surrogates."""
    return name.decode("utf-8", "surrogateescape")


def one_line(text: str) -> str:
    """`text` on one line, printable, and without what stands before the @ of a URL."""
    return printable(redact_text(" ".join(text.splitlines())))


def reason(backend: str, why: str) -> str:
    """Why a backend is down, without the backend's name where the line has it already."""
    return one_line(why.removeprefix(f"backend {backend}: "))


def columns(rows: Sequence[Sequence[str]], align: str) -> str:
    """Lines of aligned columns; `align` has one of `<` and `>` for each column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, align, widths, strict=True)
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def say(text: str) -> None:
    """Print one or more lines of a result."""
    with to_stdout():
        sys.stdout.write(text + "\n")


@contextlib.contextmanager
def to_stdout() -> Iterator[None]:
    """Name standard output in what the system says of it; a reader that went away is no failure."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        hint = "free some space there" if error.errno == errno.ENOSPC else "write it elsewhere"
        raise ModelFloatError(f"standard output: {error.strerror}; {hint}") from error


def flush() -> None:
    """Have everything printed so far written."""
    with to_stdout():
        sys.stdout.flush()


def say_json(document: Any) -> None:
    """Print the command's one JSON document; bytes that are no UTF-8 come as lone surrogates."""
    say(json.dumps(document, indent=2))


def say_json_list(documents: Iterable[Any]) -> None:
    """Print one JSON document, a list, item by item as they come: it may be of any length."""
    _write_list(documents, "")
    say("")


def say_json_parts(parts: Iterable[tuple[str, Any]]) -> None:
    """Print one JSON document, an object, part by part: iterators are lists of any length."""
    separator = "{\n"
    for name, part in parts:
        _write(f"{separator}  {json.dumps(name)}: ")
        if isinstance(part, Iterator):
            _write_list(part, "  ")
        else:
            _write(json.dumps(part, indent=2).replace("\n", "\n  "))
        separator = ",\n"
    say("\n}")


def _write_list(documents: Iterable[Any], indent: str) -> None:
    separator = "[\n"
    for document in documents:
        text = json.dumps(document, indent=2).replace("\n", f"\n  {indent}")
        _write(f"{separator}  {indent}{text}")
        separator = ",\n"
    _write("[]" if separator.startswith("[") else f"\n{indent}]")


def _write(text: str) -> None:
    with to_stdout():
        sys.stdout.write(text)


def say_columns(rows: Iterable[Sequence[str]], align: str) -> None:
    """Print rows of any number in aligned columns; each page of them is aligned by itself."""
    rest = iter(rows)
    while page := list(islice(rest, PAGE)):
        say(columns(page, align))


def tell(text: str) -> None:
    """Print a line that is no result."""
    sys.stderr.write(text + "\n")


def complain(text: str) -> None:
    """Print one line about a failure."""
    sys.stderr.write(f"modelfloat: {one_line(text)}\n")
    sys.stderr.flush()
