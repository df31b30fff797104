"""An object store's place taken by somebody else: what only a store can say is asked for."""

from collections.abc import AsyncIterator

import pytest

from modelfloat.backends.credentials import S3Keys
from modelfloat.backends.keys import check_key
from modelfloat.backends.objects import opening
from modelfloat.backends.objects.backend import ObjectBackend
from modelfloat.backends.registry import open_backend
from modelfloat.errors import CorruptAnswerError, UnavailableError
from modelfloat.tests.contract.suite import listed
from modelfloat.tests.support.meddler import Meddler, Request, answer, meddling
from modelfloat.tests.support.servers import CREDENTIALS

KEY = check_key("packs/ab/abcd/0-4-2")
TIME = "Sun, 01 Nov 2026 11:00:00 GMT"
PAGE = b"<html><body>Please log in</body></html>"
MARKS = {"etag": '"5f-1"', "last_modified": TIME}
PAGES = {
    "page": answer("200 OK", PAGE, content_type="text/html"),
    "page of no type": answer("200 OK", PAGE),
    "file of a web server": answer("200 OK", PAGE, content_type="text/html; charset=x", **MARKS),
    "page of a framework": answer("200 OK", PAGE, **{**MARKS, "etag": 'W/"27-a"'}),
    "nothing": answer("204 No Content"),
    "range": answer("206 Partial Content", PAGE, content_range=f"bytes 0-{len(PAGE) - 1}/100"),
    "not found": answer("404 Not Found", PAGE, content_type="text/html"),
    "trouble": answer("502 Bad Gateway", PAGE, content_type="text/html"),
}


@pytest.fixture
async def meddler(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Meddler]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    async with meddling() as meddler:
        yield meddler


def opened(meddler: Meddler, *, conditional_put: bool = True) -> ObjectBackend:
    url = f"s3://bucket?endpoint=http://{meddler.host}"
    return ObjectBackend.from_url(
        "d0", url, domain=None, create=False, conditional_put=conditional_put
    )


@pytest.mark.parametrize("conditional_put", [True, False])
@pytest.mark.parametrize("page", PAGES)
async def test_what_another_answers_is_no_answer(
    meddler: Meddler, page: str, conditional_put: bool
) -> None:
    files = page == "file of a web server"  # which takes no puts
    refusal = answer("503 Service Unavailable")
    meddler.before = lambda asked: refusal if files and asked.method == "PUT" else PAGES[page]
    backend = opened(meddler, conditional_put=conditional_put)
    buffer = bytearray(10)
    for call in (
        lambda: backend.put(KEY, [b"value"]),
        lambda: backend.put(KEY, [b"value"], if_absent=True),
        lambda: backend.get(KEY),
        lambda: backend.get(KEY, 0, 10),
        lambda: backend.get_into(KEY, 0, memoryview(buffer)),
        lambda: backend.get_into(KEY, 0, memoryview(b"")),
        lambda: backend.head(KEY),
        lambda: backend.age(KEY),
        lambda: backend.delete(KEY),
        lambda: listed(backend),
        lambda: listed(backend, "packs/"),
    ):
        with pytest.raises(UnavailableError, match=r"^backend d0: [^\n]*$"):
            await call()
    assert not any(buffer)
    assert backend._bucket()._ranges


async def test_a_time_that_is_not_told_is_no_age(meddler: Meddler) -> None:
    """Else what is being stored now would be decades old, and garbage."""
    meddler.before = lambda _: answer("200 OK", b"x", etag='"5f-1"')
    with pytest.raises(UnavailableError, match="answers as no object store does"):
        await opened(meddler).age(KEY)


async def test_a_listing_that_a_page_cuts_short_is_no_listing(meddler: Meddler) -> None:
    """Its first page is the store's, the second is not."""
    entry = f"<Contents><Key>{KEY}</Key><LastModified>2026-11-01T11:00:00.000Z</LastModified>"
    first = f"<ListBucketResult>{entry}<Size>5</Size></Contents>".encode()
    first += b"<NextContinuationToken>2</NextContinuationToken></ListBucketResult>"

    def reply(request: Request) -> bytes:
        if "list-type" in request.target and "continuation-token" not in request.target:
            return answer("200 OK", first, content_type="application/xml")
        return PAGES["page"]

    meddler.before = reply
    listing = opened(meddler).list("packs/")
    assert (await anext(listing)).key == KEY
    with pytest.raises(UnavailableError, match="answers as no object store does"):
        await anext(listing)


async def test_sizes_that_nothing_has_are_not_believed(meddler: Meddler) -> None:
    """Room for them would be more than the machine has."""
    meddler.before = lambda _: answer("200 OK", b"x", content_length=str(1 << 50), **MARKS)
    url = f"s3://bucket?endpoint=http://{meddler.host}"
    for backend in (opened(meddler), open_backend("d0", url)):
        with pytest.raises(CorruptAnswerError, match="1125899906842624 bytes, more than anything"):
            await backend.get(KEY)


async def test_a_panic_of_the_library_is_a_failure_of_the_backend(
    meddler: Meddler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hands out keys which no header can hold makes it panic."""
    monkeypatch.setattr(opening, "s3_keys", lambda *_: S3Keys("a\nb", "c"))
    with pytest.raises(UnavailableError, match="the library obstore failed"):
        await opened(meddler).head(KEY)
