"""The recovery sheet: written once, typed from paper, and wrong only where it says so."""

import pytest

from modelfloat.cas.encryption.keys import random_master
from modelfloat.cas.encryption.secrets import key_file
from modelfloat.cas.encryption.sheet import TITLE, Sheet, decode_sheet, encode_sheet, is_sheet
from modelfloat.errors import UsageError
from modelfloat.ids import random_store_id

SHEET = Sheet(random_store_id(), random_master())
TEXT = encode_sheet(SHEET, "2026-11-22").decode()


def rows(text: str) -> list[str]:
    """The lines that matter."""
    return [line for line in text.splitlines() if line.startswith(("    store", "    key "))]


def test_it_comes_back() -> None:
    assert decode_sheet(TEXT.encode(), "sheet") == SHEET
    assert is_sheet(TEXT.encode())
    assert len(rows(TEXT)) == 5
    assert all(len(line) < 80 for line in TEXT.splitlines())


def test_it_may_be_typed_loosely() -> None:
    typed = "\r\n".join([TITLE.upper(), *(r.strip().lower() for r in rows(TEXT))])
    assert decode_sheet(typed.replace("-", " ").encode(), "typed") == SHEET
    look_alikes = "\n".join(
        row if "store" in row else row[:12] + row[12:].replace("O", "0").replace("I", "1")
        for row in rows(TEXT)
    )
    assert decode_sheet(look_alikes.encode(), "typed") == SHEET


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_mistake_is_found_in_its_row(number: int) -> None:
    lines = TEXT.splitlines()
    at = next(n for n, line in enumerate(lines) if line.strip().startswith(f"key {number}"))
    for place in range(11, len(lines[at])):
        if lines[at][place] == "-":
            continue
        other = "A" if lines[at][place] != "A" else "B"
        typed = lines[at][:place] + other + lines[at][place + 1 :]
        with pytest.raises(UsageError, match=f"`key {number}`") as caught:
            decode_sheet("\n".join([*lines[:at], typed, *lines[at + 1 :]]).encode(), "typed")
        assert typed.split()[-1] not in str(caught.value)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_missing_row_is_named(number: int) -> None:
    left = [row for row in TEXT.splitlines() if not row.strip().startswith(f"key {number}")]
    with pytest.raises(UsageError, match=f"`key {number}`"):
        decode_sheet("\n".join(left).encode(), "typed")


def test_swapped_rows_are_found() -> None:
    swapped = TEXT.replace("key 1", "key x").replace("key 2", "key 1").replace("key x", "key 2")
    with pytest.raises(UsageError, match="`key 1`"):
        decode_sheet(swapped.encode(), "typed")


def test_the_store_counts_too() -> None:
    other = TEXT.replace(SHEET.store.hex(), random_store_id().hex())
    with pytest.raises(UsageError, match="`store` has one"):
        decode_sheet(other.encode(), "typed")
    with pytest.raises(UsageError, match="32 hex digits"):
        decode_sheet(TITLE.encode(), "typed")


def test_a_key_file_that_begins_so_is_a_sheet() -> None:
    found = key_file(TEXT.encode(), "sheet.txt")
    assert (found.kind, found.data, found.store) == (None, SHEET.master, SHEET.store)
    assert SHEET.master.hex() not in repr(found)
    with pytest.raises(UsageError, match=r"sheet\.txt: its line"):
        key_file(TITLE.encode() + b"\n", "sheet.txt")


def test_nothing_of_it_is_shown() -> None:
    assert "master" not in repr(SHEET)
