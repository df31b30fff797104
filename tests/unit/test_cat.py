"""`cat`: chunks go out as they lie in memory, whatever the system takes of them at a time."""

import os
from pathlib import Path

import pytest

from modelfloat.cas.get import landing
from modelfloat.cas.get.landing import write_all
from modelfloat.cas.read.joining import Joiner
from modelfloat.cli import cat
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store


async def test_a_file_is_written_without_a_copy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    content = noise("model", 9_000_000)
    (tmp_path / "model").write_bytes(content)

    def copied(*_: object) -> memoryview:
        raise AssertionError("chunks were put together in memory of their own")

    monkeypatch.setattr(Joiner, "_copied", copied)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model")
        await cat._copy(store, "acme/model/model")
    assert capfdbinary.readouterr().out == content


@pytest.mark.parametrize("most", [1, 3, 100])
@pytest.mark.parametrize("at_once", [2, 512])
def test_what_a_call_leaves_is_written_by_the_next(
    most: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = bytearray()

    def writev(fd: int, parts: list[memoryview]) -> int:
        assert (fd, len(parts) <= at_once) == (7, True)
        data = b"".join(parts)[:most]
        written.extend(data)
        return len(data)

    monkeypatch.setattr(os, "writev", writev)
    monkeypatch.setattr(landing, "AT_ONCE", at_once)
    write_all(7, [memoryview(part) for part in (b"abc", b"", b"d", b"", b"efghi", b"")])
    assert written == b"abcdefghi"
