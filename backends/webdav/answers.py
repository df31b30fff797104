"""What a WebDAV server says of resources: 207 answers, read as they come. Pure; foreign bytes.

An answer is RFC 4918's `multistatus` (section 14.16), quotas are RFC 4331's. A document type is
refused, so there are no entities to expand; depth, texts and the number of resources are bounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote, urlsplit
from xml.parsers import expat

DEEPEST: Final = 32
LONGEST: Final = 16 << 10
"""Characters of one text; a path of ours has at most some hundred."""
MOST: Final = 1 << 20
"""Resources in one answer."""
SILENT: Final = 1 << 20
"""Bytes without a beginning or an end of an element: the parser keeps what it cannot tell yet."""

QUESTION: Final = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/>'
    b"<getcontentlength/><getlastmodified/><quota-available-bytes/><quota-used-bytes/>"
    b"</prop></propfind>"
)
"""The body of a PROPFIND for all that `Resource` holds."""

_TEXTS: Final = frozenset(
    f"DAV: {name}"
    for name in (
        *("href", "status", "getcontentlength", "getlastmodified"),
        *("quota-available-bytes", "quota-used-bytes"),
    )
)


class MalformedError(ValueError):
    """What a server answered is no multistatus, or one beyond all bounds."""


@dataclass(slots=True)
class Resource:
    """One resource: its path without percent signs and without a slash at its end.

    Sizes in bytes, `modified` in seconds since 1970 by the server's clock; None where the server
    does not say. `status` is 0, or what it says of this resource as a whole.
    """

    path: str = ""
    folder: bool = False
    size: int | None = None
    modified: float | None = None
    free: int | None = None
    used: int | None = None
    status: int = 0


class Multistatus:
    """A reader of one answer: `feed` it bytes, then `close` it; `found` has the resources."""

    def __init__(self) -> None:
        self.found: list[Resource] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._silent = 0
        self._resource = Resource()
        self._properties: dict[str, str] = {}
        self._folder = False
        self._parser = expat.ParserCreate("utf-8", " ")  # whatever it declares
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, data: bytes) -> None:
        """Take more of the answer; MalformedError where it cannot be one."""
        self._silent += len(data)
        if self._silent > SILENT:
            raise MalformedError("its answer has a part that does not end")
        self._parse(lambda: self._parser.Parse(data, False))

    def close(self) -> None:
        """The answer has ended; MalformedError where it should not have."""
        self._parse(lambda: self._parser.Parse(b"", True))

    def _parse(self, step: Callable[[], object]) -> None:
        try:
            step()
        except expat.ExpatError as error:
            raise MalformedError(f"its answer is no XML ({error})") from None

    def _doctype(self, *_: object) -> None:
        raise MalformedError("its answer has a document type")

    def _start(self, name: str, _: object) -> None:
        self._silent = 0
        if not self._open and name != "DAV: multistatus":
            raise MalformedError("its answer is no multistatus")
        if len(self._open) >= DEEPEST:
            raise MalformedError("its answer is nested too deep")
        self._open.append(name)
        self._text, self._length = [], 0
        if name == "DAV: response":
            if len(self.found) >= MOST:
                raise MalformedError(f"its answer has more than {MOST} resources")
            self._resource = Resource()
        elif name == "DAV: propstat":
            self._properties, self._folder = {}, False
        elif name == "DAV: collection":
            self._folder = True

    def _characters(self, text: str) -> None:
        if self._open and self._open[-1] in _TEXTS:
            self._length += len(text)
            if self._length > LONGEST:
                raise MalformedError("its answer has a text that is too long")
            self._text.append(text)

    def _end(self, name: str) -> None:
        self._silent = 0
        self._open.pop()
        above = self._open[-1] if self._open else ""
        text = "".join(self._text).strip()
        self._text = []
        if name == "DAV: response":
            self.found.append(self._resource)
        elif above == "DAV: response" and name == "DAV: href":
            self._resource.path = _path(text)
        elif above == "DAV: response" and name == "DAV: status":
            self._resource.status = _status(text)
        elif name == "DAV: propstat":
            self._take()
        elif name in _TEXTS:
            self._properties[name.removeprefix("DAV: ")] = text

    def _take(self) -> None:
        """What a propstat says, where its status is that of success."""
        if _status(self._properties.get("status", "")) != 200:
            return
        resource, said = self._resource, self._properties
        resource.folder |= self._folder
        if "getcontentlength" in said:
            resource.size = _number(said["getcontentlength"])
        if "getlastmodified" in said:
            resource.modified = date(said["getlastmodified"])
        if "quota-available-bytes" in said:
            resource.free = _number(said["quota-available-bytes"])
        if "quota-used-bytes" in said:
            resource.used = _number(said["quota-used-bytes"])


def date(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date (RFC 9110, section 5.6.7); None where it is none."""
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _path(text: str) -> str:
    try:
        path = urlsplit(text).path
    except ValueError as error:
        raise MalformedError("its answer names a resource by no URL") from error
    return unquote(path).rstrip("/")


def _status(text: str) -> int:
    """The number in `HTTP/1.1 200 OK`."""
    words = text.split(maxsplit=2)
    return _number(words[1]) or 0 if len(words) > 1 else 0


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
