"""Choosing an engine, and what each does beyond one step or block."""

import ctypes
import logging
from collections.abc import Iterator

import pytest

from modelfloat.erasure import codec, engine, fallback, isal
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import UnsupportedError
from modelfloat.tests.support.erasure_engines import (
    ISAL,
    NUMPY,
    needs_isal,
    oracle_parity,
    random_shards,
)


@pytest.fixture
def fresh_choice() -> Iterator[None]:
    engine._choose.cache_clear()
    yield
    engine._choose.cache_clear()


@needs_isal
@pytest.mark.usefixtures("fresh_choice")
def test_isal_is_the_choice_where_it_is_installed(caplog: pytest.LogCaptureFixture) -> None:
    assert codec.engine() == "isa-l"
    assert not caplog.records


@pytest.mark.usefixtures("fresh_choice")
def test_without_isal_one_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(isal, "SONAME", "libisal.so.none")
    data = random_shards(4, 100)
    parity = [bytearray(100), bytearray(100)]
    for _ in range(3):
        codec.encode(Scheme(4, 2), data, parity)
    assert codec.engine() == "numpy"
    assert [bytes(shard) for shard in parity] == oracle_parity(Scheme(4, 2), data)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "install the package libisal2; erasure coding falls back" in record.getMessage()


def test_a_library_without_the_functions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with pytest.raises(UnsupportedError, match="install the package libisal2"):
        isal.load()


@needs_isal
@pytest.mark.parametrize("text", ["4+2", "4+7"])
def test_isal_takes_long_shards_in_steps(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(isal, "_LONGEST_STEP", 128)
    monkeypatch.setattr(isal, "_CACHED_STEP", 64)
    scheme = Scheme.parse(text)
    data = random_shards(scheme.k, 300)
    parity = [bytearray(300) for _ in range(scheme.m)]
    codec.encode(scheme, data, parity, using=ISAL)
    assert [bytes(shard) for shard in parity] == oracle_parity(scheme, data)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 15, 16, 17, 40])
def test_numpy_takes_long_shards_in_blocks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(fallback, "_BLOCK", 8)
    data = random_shards(4, size)
    parity = [bytearray(size) for _ in range(2)]
    codec.encode(Scheme(4, 2), data, parity, using=NUMPY)
    assert [bytes(shard) for shard in parity] == oracle_parity(Scheme(4, 2), data)
