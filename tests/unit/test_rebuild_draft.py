"""An index in the making: what one thread reads stays as it is while another one writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelfloat.cas.rebuild.draft import Draft
from modelfloat.ids import BackendId, ObjectId, PackId
from modelfloat.tests.support import samples

WHERE = BackendId(b"b" * 16)


def objects(draft: Draft, number: int) -> None:
    draft.put_objects({ObjectId(number.to_bytes(32)): bytes([number % 251]) * 3000})


def shards(draft: Draft, number: int) -> None:
    found = [(PackId(number.to_bytes(16)), index, WHERE, b"\x04\x02") for index in range(60)]
    draft.scratch.note_shards(found)


@pytest.mark.parametrize(
    ("write", "part", "database"),
    [(objects, lambda draft: draft, "objects"), (shards, lambda draft: draft.scratch, "shards")],
)
def test_a_reader_keeps_what_it_reads(
    tmp_path: Path, write: Callable[[Draft, int], None], part: Callable[[Draft], Any], database: str
) -> None:
    draft = Draft(str(tmp_path / "draft"), samples.STORE)
    for number in range(50):
        write(draft, number)
    open_ = part(draft)
    db = draft._dbs.objects if database == "objects" else open_._shards
    with open_._env.begin(db=db) as txn:
        before = list(txn.cursor())
        for number in range(50, 150):
            write(draft, number)
        assert list(txn.cursor()) == before
    draft.abandon()
