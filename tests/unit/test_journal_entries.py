"""Journal entries that contradict themselves are refused, whatever their digest says."""

from dataclasses import replace
from typing import Any

import pytest
from blake3 import blake3

from modelfloat.cas.formats.journal import PackStored, RefChanged, decode_record, encode_record
from modelfloat.errors import FormatError
from modelfloat.tests.support import samples


def pack(**changes: Any) -> PackStored:
    stored = samples.record().entries[0]
    assert isinstance(stored, PackStored)
    return replace(stored, **changes)


@pytest.mark.parametrize(
    "entry",
    [
        pack(k=0),
        pack(k=33, locations=(samples.PACK,) * 35),
        pack(m=17, locations=(samples.PACK,) * 21),
        pack(shard=pack().shard + 64),
        pack(length=0, shard=0, chunks=()),
        pack(chunks=pack().chunks[:-1]),
        pack(locations=pack().locations[:-1]),
    ],
    ids=["no k", "large k", "large m", "shard", "empty", "chunks", "places"],
)
def test_a_pack_is_checked(entry: PackStored) -> None:
    data = encode_record(replace(samples.record(), entries=(entry,)))
    with pytest.raises(FormatError, match="contradicts itself"):
        decode_record(data, "record")


def test_a_ref_change_fills_its_entry() -> None:
    change = samples.record().entries[1]
    assert isinstance(change, RefChanged)
    data = encode_record(replace(samples.record(), entries=(change,)))
    cut = bytearray(data[:-32])
    # The last text, one byte longer than what is there.
    at = len(cut) - len(change.ref) - 2
    cut[at] += 1
    sealed = bytes(cut) + blake3(bytes(cut)).digest()
    with pytest.raises(FormatError, match="contradicts itself"):
        decode_record(sealed, "record")
