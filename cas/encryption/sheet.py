"""The recovery sheet: a store's master key on paper, in rows that tell where a mistake is.

`docs/format.md`, Recovery sheet. Each of four rows has 8 bytes of the key and 2 that check them
(SHA-256, which every machine has), in base32 (RFC 4648, section 6).
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from ...errors import UsageError
from ...ids import StoreId

TITLE: Final = "ModelFloat recovery sheet"
ROWS: Final = 4
_PART: Final = 8
_CHECK: Final = 2
_GROUP: Final = 4
_DIGITS: Final = 16
"""Digits of a row: 10 bytes in base32."""
_LOOK_ALIKES: Final = str.maketrans("0189", "OIBG")
_LARGEST: Final = 1 << 16
_STORE: Final = re.compile(r"^\s*store\s+([0-9a-f]{32})\s*$", re.MULTILINE | re.IGNORECASE)
_ROW: Final = re.compile(r"^\s*key ([1-4])\s+([A-Za-z0-9 -]+?)\s*$", re.MULTILINE | re.IGNORECASE)

_TEXT: Final = """\
{title}

Whoever has this sheet can read everything in the store; without it, and
without a passphrase or key file, nobody can. Print it, keep it where the
store is not, and delete the file.

    store  {store}
    made   {made}

{rows}

To use it, make a file that begins with the line "{title}"
and has the lines store and key 1 to key {count}, and name that file:

    modelfloat --key-file FILE ls
    modelfloat --key-file FILE key add      (a new passphrase)

There is no 0, 1, 8 or 9 in these rows: what looks so is O, I, B or G.
docs/rescue.py in ModelFloat's source reads a store with this sheet and
without ModelFloat.
"""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What stands on a sheet: which store, and its master key, 32 bytes."""

    store: StoreId
    master: bytes = field(repr=False)


def encode_sheet(sheet: Sheet, made: str) -> bytes:
    """The sheet as a text file; `made` is a date for people."""
    rows = "\n".join(f"    key {n + 1}  {_row(sheet, n)}" for n in range(ROWS))
    store = sheet.store.hex()
    text = _TEXT.format(title=TITLE, store=store, made=made, rows=rows, count=ROWS)
    return text.encode()


def is_sheet(data: bytes) -> bool:
    """Whether a file is meant to be a recovery sheet."""
    return data.lstrip().lower().startswith(TITLE.lower().encode())


def decode_sheet(data: bytes, source: str) -> Sheet:
    """What stands on a sheet that may have been typed from paper; UsageError says which row is
    wrong. `source` names the file."""
    text = data[:_LARGEST].decode(errors="replace")
    store = _STORE.search(text)
    if store is None:
        raise UsageError(f"{source}: its line `store` is missing, or has not 32 hex digits")
    id_ = StoreId(bytes.fromhex(store[1]))
    found = {int(match[1]): match[2] for match in _ROW.finditer(text)}
    parts = (_part(id_, number, found.get(number, ""), source) for number in range(1, ROWS + 1))
    return Sheet(id_, b"".join(parts))


def _row(sheet: Sheet, number: int) -> str:
    part = sheet.master[number * _PART : (number + 1) * _PART]
    digits = base64.b32encode(part + _check(sheet.store, number + 1, part)).decode()
    return "-".join(digits[at : at + _GROUP] for at in range(0, _DIGITS, _GROUP))


def _part(store: StoreId, number: int, row: str, source: str) -> bytes:
    digits = re.sub(r"[ -]", "", row).upper().translate(_LOOK_ALIKES)
    try:
        data = base64.b32decode(digits)
    except binascii.Error:
        data = b""
    part, check = data[:_PART], data[_PART:]
    if len(data) != _PART + _CHECK or check != _check(store, number, part):
        raise UsageError(
            f"{source}: its line `key {number}` is missing or has a mistake (or `store` has one); "
            "compare it with the sheet"
        )
    return part


def _check(store: StoreId, number: int, part: bytes) -> bytes:
    return hashlib.sha256(b"%d " % number + store + part).digest()[:_CHECK]
