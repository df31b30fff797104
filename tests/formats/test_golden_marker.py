"""Markers of version 1, byte for byte, in both directions and for ever."""

from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.backends.marker import CAPACITIES, Marker, MarkerBackend, decode, encode
from modelfloat.ids import BackendId, StoreId

GOLDEN = Path(__file__).with_name("golden")
D0, D1 = (BackendId(bytes(range(start, start + 16))) for start in (0x10, 0x20))
MARKER = Marker(
    StoreId(bytes(range(16))),
    D0,
    "d0",
    "4+2",
    (
        MarkerBackend(D0, "d0", "/mnt/größe", "disk:1f3a9c02"),
        MarkerBackend(D1, "attic", "sftp://host/models", "attic host", 0.5),
    ),
)


WITH_CAPACITY = replace(
    MARKER,
    backends=(MARKER.backends[0], replace(MARKER.backends[1], capacity=500_000_000_000)),
    compat=CAPACITIES,
)
GOLDENS = {"marker-v1.json": MARKER, "marker-v1-capacity.json": WITH_CAPACITY}


@pytest.mark.parametrize("name", GOLDENS)
def test_decodes_for_ever(name: str) -> None:
    assert decode((GOLDEN / name).read_bytes(), "d0") == GOLDENS[name]


@pytest.mark.parametrize("name", GOLDENS)
def test_encodes_to_these_bytes(name: str) -> None:
    assert encode(GOLDENS[name]) == (GOLDEN / name).read_bytes()


def test_the_flag_says_whether_there_are_capacities() -> None:
    """Whoever wrote the marker before may have known none."""
    assert encode(replace(WITH_CAPACITY, compat=0)) == encode(WITH_CAPACITY)
