"""Ranges by HTTP: only what was asked for, from nowhere but where it may be asked for."""

import logging
from pathlib import Path

import pytest
from trio.testing import MockClock

from modelfloat.cli.sources import hub_token
from modelfloat.hub.httpsource import HttpSource
from modelfloat.tests.support.rangeserver import Answer, head, range_server, well
from modelfloat.tests.support.samples import noise

DATA = noise("file", 300_000)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


async def test_a_range_comes() -> None:
    async with range_server({"/a": DATA}) as server:
        fetch = HttpSource().fetch
        assert await fetch(server.url("/a"), 0, 100_000) == DATA[:100_000]
        assert await fetch(server.url("/a"), 123_456, 1) == DATA[123_456:123_457]
        (path, headers), *_ = server.asked
        assert (path, headers["range"]) == ("/a", "bytes=0-99999")
        assert headers["accept-encoding"] == "identity"
        assert "authorization" not in headers


def _with(status: int, *more: str, body: bytes | None = None) -> Answer:
    def answer(path: str, start: int, end: int, data: bytes) -> bytes:
        part = data[start : end + 1] if body is None else body
        return head(status, len(part), *more) + part

    return answer


RANGE = "Content-Range: bytes 10-109/300000"
ILL: dict[str, Answer] = {
    "whole file": _with(200, body=DATA),
    "page of a portal": _with(200, "Content-Type: text/html", body=b"<html>log in</html>"),
    "no range said": _with(206),
    "another range": _with(206, "Content-Range: bytes 11-110/300000"),
    "too little": _with(206, RANGE, body=DATA[10:60]),
    "too much": _with(206, RANGE, body=DATA[10:1000]),
    "encoded": _with(206, RANGE, "Content-Encoding: gzip"),
    "gone": _with(404, body=b""),
    "cut off": lambda path, start, end, data: well(path, start, end, data)[:-20],
    "no HTTP": lambda path, start, end, data: b"\x00\x01hello\r\n\r\n",
    "to a file": _with(302, "Location: file:///etc/passwd", body=b""),
    "to nowhere": _with(302, body=b""),
    "to itself": _with(302, "Location: /a", body=b""),
    "to plain HTTP": _with(302, "Location: http://example.org/a", body=b""),
}


@pytest.mark.parametrize("name", ILL)
async def test_no_answer_but_the_range_will_do(name: str) -> None:
    async with range_server({"/a": DATA}) as server:
        server.answers["/a"] = ILL[name]
        assert await HttpSource().fetch(server.url("/a"), 10, 100) is None
        assert len(server.asked) <= 6


async def test_why_a_source_is_no_help_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with range_server({"/a": DATA}) as server:
        server.answers["/a"] = ILL["whole file"]
        source = HttpSource()
        for _ in range(3):
            assert await source.fetch(server.url("/a"), 10, 100) is None
        (told,) = (each for each in caplog.records if each.levelname == "WARNING")
        assert told.getMessage() == (
            f"the source {server.url('/a')} cannot be read: its server does not answer ranges"
        )


async def test_redirects_are_followed_and_the_token_stays_at_home() -> None:
    path = f"/acme/llama/resolve/{COMMIT}/a/b.bin"
    async with range_server({"/b": DATA}) as other, range_server({}) as hub:
        hub.answers[path] = _with(307, f"Location: {other.url('/b')}", body=b"")
        source = HttpSource(hub.url(""), lambda: "hf_secret")
        found = await source.fetch(f"hf://models/acme/llama@{COMMIT}/a/b.bin", 5, 1000)
        assert found == DATA[5:1005]
        assert hub.asked[0][1]["authorization"] == "Bearer hf_secret"
        assert "authorization" not in other.asked[0][1]


@pytest.mark.parametrize("end", ["\nhf_other", "\r", "\x00", " x", "é"])
async def test_a_token_that_cannot_be_is_not_told(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = f"/acme/llama/resolve/{COMMIT}/a"
    async with range_server({path: DATA}) as hub:
        source = HttpSource(hub.url(""), lambda: f"hf_s3kr1t{end}")
        assert await source.fetch(f"hf://models/acme/llama@{COMMIT}/a", 0, 10) == DATA[:10]
        assert "authorization" not in hub.asked[0][1]
    assert "characters that no token has" in caplog.text
    assert "s3kr1t" not in caplog.text


async def test_nothing_is_asked_of_who_may_not_be(caplog: pytest.LogCaptureFixture) -> None:
    for url in ("http://example.org/a", "ftp://localhost/a", "https://[::1/a", "x", ""):
        assert await HttpSource().fetch(url, 0, 10) is None
    assert await HttpSource().fetch("http://127.0.0.1:9/a?token=s3kr1t", 0, 10) is None
    assert "s3kr1t" not in caplog.text


async def test_one_that_hangs_is_given_up(autojump_clock: MockClock) -> None:
    async with range_server({}) as server:
        server.answers["/a"] = lambda path, start, end, data: b""
        assert await HttpSource().fetch(server.url("/a"), 0, 10) is None


def test_the_token_is_where_huggingface_hub_has_it(tmp_path: Path) -> None:
    assert hub_token({"HF_TOKEN": " a ", "HF_HOME": str(tmp_path)}) == "a"
    assert hub_token({"HF_HOME": str(tmp_path)}) == ""
    (tmp_path / "token").write_text("b\n")
    assert hub_token({"HF_HOME": str(tmp_path)}) == "b"
