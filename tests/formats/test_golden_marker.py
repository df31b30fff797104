"""The marker of version 1, byte for byte, in both directions and for ever."""

from pathlib import Path

from modelfloat.backends.marker import Marker, MarkerBackend, decode, encode
from modelfloat.ids import BackendId, StoreId

GOLDEN = Path(__file__).with_name("golden") / "marker-v1.json"
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


def test_decodes_for_ever() -> None:
    assert decode(GOLDEN.read_bytes(), "d0") == MARKER


def test_encodes_to_these_bytes() -> None:
    assert encode(MARKER) == GOLDEN.read_bytes()
