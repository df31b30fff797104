"""A program for a peer's venv: compresses a file's bytes in memory and times it.

`compressors.py zipnn|blosc2|zstd` reads questions, a JSON object a line:
`{"do": "version"}`, `{"do": "encode", "path", "setting", "width"}` and then `{"do": "decode"}`.
`setting` is zipnn's `bytearray_dtype`, blosc2's filter, or zstd's level; `width` is the size of an
element in bytes. Answers hold the processor's seconds and, for `encode`, the bytes that came out.
One thread each. What the peer needs only because it changes its input is done off the clock.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

BLOSC_LEVEL = 5
"""blosc2's own default."""


class Coder(Protocol):
    """What every peer does with a buffer."""

    def encode(self, raw: bytearray) -> bytes: ...
    def decode(self, encoded: bytes) -> bytes: ...


class ZipNN:
    """zipnn over the whole buffer; it writes into what it is given."""

    def __init__(self, setting: str, width: int) -> None:
        import zipnn

        self._coder = zipnn.ZipNN(bytearray_dtype=setting, input_format="byte", threads=1)

    def encode(self, raw: bytearray) -> bytes:
        encoded: bytes = self._coder.compress(raw)
        return encoded

    def decode(self, encoded: bytes) -> bytes:
        raw: bytes = self._coder.decompress(encoded)
        return raw


class Blosc:
    """blosc2 with zstd behind one of its filters."""

    def __init__(self, setting: str, width: int) -> None:
        import blosc2

        self._module = blosc2
        blosc2.set_nthreads(1)
        self._options = {
            "codec": blosc2.Codec.ZSTD,
            "clevel": BLOSC_LEVEL,
            "typesize": width,
            "filters": [blosc2.Filter[setting]],
            "filters_meta": [0],
            "nthreads": 1,
        }

    def encode(self, raw: bytearray) -> bytes:
        encoded: bytes = self._module.compress2(raw, **self._options)
        return encoded

    def decode(self, encoded: bytes) -> bytes:
        raw: bytes = self._module.decompress2(encoded, nthreads=1)
        return raw


class Zstd:
    """One zstd frame of the whole buffer."""

    def __init__(self, setting: str, width: int) -> None:
        import zstandard

        self._compressor = zstandard.ZstdCompressor(level=int(setting))
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, raw: bytearray) -> bytes:
        return self._compressor.compress(raw)

    def decode(self, encoded: bytes) -> bytes:
        return self._decompressor.decompress(encoded)


CODERS: dict[str, Callable[[str, int], Coder]] = {"zipnn": ZipNN, "blosc2": Blosc, "zstd": Zstd}
PACKAGES = {"zipnn": "zipnn", "blosc2": "blosc2", "zstd": "zstandard"}


class Contest:
    """Answers questions with one coder at a time; keeps what it encoded for the decoding."""

    def __init__(self, name: str) -> None:
        self._name = name

    def version(self, question: dict[str, Any]) -> dict[str, object]:
        return {"version": f"{PACKAGES[self._name]} {version(PACKAGES[self._name])}"}

    def encode(self, question: dict[str, Any]) -> dict[str, object]:
        self._raw = Path(question["path"]).read_bytes()
        self._coder = CODERS[self._name](question["setting"], question["width"])
        given = bytearray(self._raw)
        start = time.process_time()
        self._encoded = self._coder.encode(given)
        seconds = time.process_time() - start
        return {"seconds": seconds, "size": len(self._encoded)}

    def decode(self, question: dict[str, Any]) -> dict[str, object]:
        start = time.process_time()
        decoded = self._coder.decode(self._encoded)
        seconds = time.process_time() - start
        if decoded != self._raw:
            return {"error": f"{self._name} returned other bytes than it was given"}
        return {"seconds": seconds}


def main(name: str) -> None:
    """Answer until the input ends."""
    contest = Contest(name)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = getattr(contest, question["do"])(question)
        except Exception as error:  # noqa: BLE001  the other side tells of it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
