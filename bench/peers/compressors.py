"""A program for a peer's venv, or for ours: compresses a file's bytes in memory and times it.

`compressors.py NAME warm|new` reads questions, a JSON object a line: `{"do": "version"}`,
`{"do": "encode", "path", "setting", "width"}` and then `{"do": "decode"}`. `setting` is zipnn's
`bytearray_dtype`, blosc2's filter, zstd's level, or for ours element type and effort; `width` is
the size of an element in bytes. Answers hold the processor's seconds and, for `encode`, the bytes
that came out. One thread each; a copy that a peer needs only because it writes into its input is
made off the clock.

`warm` goes through a new question once off the clock and has ours decode into memory that was
touched; whoever starts the program sees to it that freed memory is kept. `new` does neither.
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
CHUNK = 1 << 20


class Coder(Protocol):
    """What everybody does with a buffer; what comes of encoding is the coder's own affair."""

    def encode(self, raw: bytearray) -> Any: ...
    def decode(self, encoded: Any) -> bytes | bytearray: ...
    def size(self, encoded: Any) -> int: ...


class Whole:
    """A coder whose result is one run of bytes."""

    def size(self, encoded: bytes) -> int:
        return len(encoded)


class ModelFloat:
    """Ours: each chunk by itself, with the choice of its codec that `add` makes."""

    def __init__(self, setting: str, width: int, warm: bool) -> None:
        from modelfloat.cas.chunking.regions import ElementType
        from modelfloat.cas.codecs import registry
        from modelfloat.cas.codecs.effort import Effort

        element, effort = setting.split()
        self._element, self._effort = ElementType[element], Effort(effort)
        self._registry, self._warm = registry, warm
        self._out = bytearray()

    def encode(self, raw: bytearray) -> list[tuple[int, Any]]:
        choose, element, effort = self._registry.choose, self._element, self._effort
        whole, self._length = memoryview(raw), len(raw)
        steps = range(0, len(raw), CHUNK)
        return [choose(whole[at : at + CHUNK], element, effort) for at in steps]

    def decode(self, encoded: list[tuple[int, Any]]) -> bytearray:
        if not self._warm or len(self._out) != self._length:
            self._out = bytearray(self._length)
        out = memoryview(self._out)
        for number, (codec, data) in enumerate(encoded):
            self._registry.decode(codec, data, out[number * CHUNK : (number + 1) * CHUNK])
        return self._out

    def size(self, encoded: list[tuple[int, Any]]) -> int:
        return sum(len(data) for _, data in encoded)


class ZipNN(Whole):
    """zipnn over the whole buffer; it writes into what it is given."""

    def __init__(self, setting: str, width: int, warm: bool) -> None:
        import zipnn

        self._coder = zipnn.ZipNN(bytearray_dtype=setting, input_format="byte", threads=1)

    def encode(self, raw: bytearray) -> Any:
        return self._coder.compress(raw)

    def decode(self, encoded: bytes) -> bytes:
        raw: bytes = self._coder.decompress(encoded)
        return raw


class Blosc(Whole):
    """blosc2 with zstd behind one of its filters."""

    def __init__(self, setting: str, width: int, warm: bool) -> None:
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

    def encode(self, raw: bytearray) -> Any:
        return self._module.compress2(raw, **self._options)

    def decode(self, encoded: bytes) -> bytes:
        raw: bytes = self._module.decompress2(encoded, nthreads=1)
        return raw


class Zstd(Whole):
    """One zstd frame of the whole buffer."""

    def __init__(self, setting: str, width: int, warm: bool) -> None:
        import zstandard

        self._compressor = zstandard.ZstdCompressor(level=int(setting))
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, raw: bytearray) -> bytes:
        return self._compressor.compress(raw)

    def decode(self, encoded: bytes) -> bytes:
        return self._decompressor.decompress(encoded)


CODERS: dict[str, Callable[[str, int, bool], Coder]] = {
    "modelfloat": ModelFloat,
    "zipnn": ZipNN,
    "blosc2": Blosc,
    "zstandard": Zstd,
}


class Contest:
    """Answers questions about one file at a time; keeps what it encoded last for the decoding.

    A file is known by its path: other bytes need another one.
    """

    def __init__(self, name: str, memory: str) -> None:
        self._name = name
        self._warm = memory == "warm"
        self._path = ""
        self._coders: dict[str, Coder] = {}

    def version(self, question: dict[str, Any]) -> dict[str, object]:
        return {"version": f"{self._name} {version(self._name)}"}

    def encode(self, question: dict[str, Any]) -> dict[str, object]:
        self._encoded = None
        self._coder = self._ready(question["path"], question["setting"], question["width"])
        given = bytearray(self._raw)
        start = time.process_time()
        self._encoded = self._coder.encode(given)
        seconds = time.process_time() - start
        return {"seconds": seconds, "size": self._coder.size(self._encoded)}

    def _ready(self, path: str, setting: str, width: int) -> Coder:
        """The coder for a setting; a new one is warmed up."""
        if path != self._path:
            self._path, self._raw = path, Path(path).read_bytes()
            self._coders.clear()
        if setting not in self._coders:
            coder = CODERS[self._name](setting, width, self._warm)
            if self._warm:
                coder.decode(coder.encode(bytearray(self._raw)))
            self._coders[setting] = coder
        return self._coders[setting]

    def decode(self, question: dict[str, Any]) -> dict[str, object]:
        start = time.process_time()
        decoded = self._coder.decode(self._encoded)
        seconds = time.process_time() - start
        if decoded != self._raw:
            return {"error": f"{self._name} returned other bytes than it was given"}
        return {"seconds": seconds}


def main(name: str, memory: str) -> None:
    """Answer until the input ends."""
    contest = Contest(name, memory)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = getattr(contest, question["do"])(question)
        except Exception as error:  # noqa: BLE001  the other side tells of it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
