"""URLs become backends, and lose what must not be printed."""

from pathlib import Path

import pytest

from modelfloat.backends.keys import check_key
from modelfloat.backends.limit import LimitBackend, Limits
from modelfloat.backends.rated import RateBackend
from modelfloat.backends.registry import is_local_path, open_backend
from modelfloat.backends.retry import RetryBackend, RetryPolicy
from modelfloat.errors import UnavailableError, UsageError
from modelfloat.redaction import redact

KEY = check_key("k")


@pytest.mark.parametrize("url", ["{}", "file://{}", "file://localhost{}", "FILE://{}"])
async def test_paths_and_file_urls(tmp_path: Path, url: str) -> None:
    await open_backend("d0", str(tmp_path)).put(KEY, [b"x"])
    backend = open_backend("d0", url.format(tmp_path))
    assert await backend.get(KEY) == b"x"
    assert backend.name == "d0"
    assert backend.properties.url == str(tmp_path)


async def test_only_create_makes_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with pytest.raises(UnavailableError, match="is gone"):
        await open_backend("d0", str(path)).put(KEY, [b"x"])
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - nothing else runs
    await open_backend("d0", str(path), create=True).put(KEY, [b"x"])
    assert await open_backend("d0", str(path)).get(KEY) == b"x"


async def test_memory_is_private() -> None:
    first, second = open_backend("a", "memory://"), open_backend("b", "memory://")
    await first.put(KEY, [b"x"])
    assert [each async for each in second.list()] == []
    assert first.properties.domain != second.properties.domain


@pytest.mark.parametrize("url", ["memory://", "/somewhere"])
def test_a_domain_given_counts(url: str) -> None:
    assert open_backend("d0", url, domain="rack 1").properties.domain == "rack 1"


def test_wrapping_order() -> None:
    plain = open_backend("d0", "memory://", limits=Limits(concurrency=2))
    assert isinstance(plain, RateBackend)
    assert plain.properties.concurrency == 2
    repeated = open_backend("d0", "memory://", policy=RetryPolicy())
    assert isinstance(repeated, RetryBackend)
    assert isinstance(repeated._inner, RateBackend)
    assert isinstance(repeated._inner._inner, LimitBackend)


def test_unknown_schemes_name_the_known() -> None:
    with pytest.raises(
        UsageError, match=r"d0: nothing here opens gopher:// .*file://, .*gs://, .*s3://"
    ):
        open_backend("d0", "gopher://me:secret@host/x")


@pytest.mark.parametrize(
    "url", ["", "file://", "file://host/path", "/a\0b", "file://[u", "file://u:\u2100@h/"]
)
def test_what_names_no_directory(url: str) -> None:
    with pytest.raises(UsageError, match="backend d0"):
        open_backend("d0", url)


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("s3://key:secret@bucket/path", "s3://bucket/path"),
        ("s3://k@e@y:sec@ret@bucket", "s3://bucket"),
        ("file://AKIA:se/cret@host/x", "file://host/x"),
        ("s3://k:a?b#c d@e@bucket", "s3://bucket"),
        # What may be a secret goes, even where it was a path.
        ("sftp://me@host:22/a@b", "sftp://b"),
        ("file:///path/a@b", "file:///path/a@b"),
        ("file://localhost/path/a@b", "file://localhost/path/a@b"),
        ("/path/with:a@b", "/path/with:a@b"),
        ("memory://", "memory://"),
        ("x://u:p@[::1]:8/", "x://[::1]:8/"),
    ],
)
def test_redact(url: str, printed: str) -> None:
    assert redact(url) == printed


def test_local_paths() -> None:
    assert is_local_path("relative/path:x")
    assert is_local_path("/a")
    assert not is_local_path("file:///a")
