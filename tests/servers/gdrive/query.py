"""Drive's search language, as much of it as clients use: `'x' in parents and trashed = false`.

Grammar: or, and, not, brackets; `field op 'value'` with =, !=, contains, <, <=, >, >=; `'value' in
parents`; `properties has { key='k' and value='v' }`. What it does not know is a bad query.
Source: Google's "Search query terms and operators".
"""

import re
from collections.abc import Callable

from .state import File

Test = Callable[[File], bool]
_TOKEN = re.compile(
    r"\s*(?:'((?:[^'\\]|\\.)*)'|(<=|>=|!=|=|<|>|\(|\)|\{|\})|([A-Za-z][A-Za-z0-9]*))"
)


class QueryError(ValueError):
    """It is none."""


class Query:
    """A query, parsed; `is_trashed` and `root` are of the Drive that it is asked of."""

    def __init__(self, text: str, is_trashed: Test, root: str) -> None:
        self._tokens = _tokens(text)
        self._trashed = is_trashed
        self._root = root
        self._at = 0
        self.matches = self._either()
        if self._at != len(self._tokens):
            raise QueryError(text)

    def _either(self) -> Test:
        found = [self._both()]
        while self._take("or"):
            found.append(self._both())
        return lambda file: any(test(file) for test in found)

    def _both(self) -> Test:
        found = [self._one()]
        while self._take("and"):
            found.append(self._one())
        return lambda file: all(test(file) for test in found)

    def _one(self) -> Test:
        if self._take("not"):
            inner = self._one()
            return lambda file: not inner(file)
        if self._take("("):
            test = self._either()
            self._must(")")
            return test
        kind, word = self._next()
        return self._inside(word) if kind == "text" else self._compared(word)

    def _inside(self, value: str) -> Test:
        self._must("in")
        field = self._next()[1]
        if field == "parents":
            wanted = self._root if value == "root" else value
            return lambda file: wanted in file.parents
        if field in ("owners", "writers", "readers"):
            return lambda file: not file.drive
        raise QueryError(field)

    def _compared(self, field: str) -> Test:
        operator = self._next()[1]
        if field in ("properties", "appProperties") and operator == "has":
            return self._has(field)
        kind, value = self._next()
        if field in ("trashed", "sharedWithMe", "starred") and value in ("true", "false"):
            wanted = (value == "true") == (operator == "=")
            said = self._trashed if field == "trashed" else lambda _: False
            return lambda file: said(file) == wanted
        if kind != "text" or operator not in _OPERATORS or field not in _FIELDS:
            raise QueryError(f"{field} {operator} {value}")
        compare, get = _OPERATORS[operator], _FIELDS[field]
        return lambda file: compare(get(file), value)

    def _has(self, field: str) -> Test:
        self._must("{")
        given = {}
        for name in ("key", "value"):
            self._must(name)
            self._must("=")
            given[name] = self._next()[1]
            if name == "key":
                self._must("and")
        self._must("}")
        pair = given["key"], given["value"]
        if field == "properties":
            return lambda file: pair in file.properties
        return lambda file: pair in file.app_properties

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise QueryError("it ends")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == ("word", word):
            self._at += 1
            return True
        return False

    def _must(self, word: str) -> None:
        if not self._take(word):
            raise QueryError(word)


_FIELDS: dict[str, Callable[[File], str]] = {
    "name": lambda file: file.name,
    "mimeType": lambda file: file.mime,
    "modifiedTime": lambda file: file.modified,
    "createdTime": lambda file: file.created,
    "visibility": lambda _: "limited",
}
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda said, wanted: said.lower() == wanted.lower(),
    "!=": lambda said, wanted: said.lower() != wanted.lower(),
    "contains": lambda said, wanted: said.lower().startswith(wanted.lower()),
    "<": lambda said, wanted: said < wanted,
    "<=": lambda said, wanted: said <= wanted,
    ">": lambda said, wanted: said > wanted,
    ">=": lambda said, wanted: said >= wanted,
}


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise QueryError(text[at:])
        quoted, sign, word = match.groups()
        if quoted is not None:
            found.append(("text", re.sub(r"\\(.)", r"\1", quoted)))
        else:
            found.append(("word", sign or word))
        at = match.end()
    return found
