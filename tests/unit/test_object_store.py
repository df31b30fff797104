"""Object stores beyond the contract: large objects, servers that fail or are odd, time, secrets."""

import contextlib
import logging
import sys
from dataclasses import replace

import pytest
import trio

from modelfloat.backends import staging
from modelfloat.backends.conditional import PREFIX, keeps_conditions
from modelfloat.backends.keys import check_key
from modelfloat.backends.objects.backend import ObjectBackend
from modelfloat.backends.objects.bucket import WHOLE
from modelfloat.backends.registry import open_backend
from modelfloat.errors import (
    BackendError,
    DeniedError,
    KeyNotFoundError,
    UnavailableError,
    UnsupportedError,
)
from modelfloat.tests.contract.suite import listed
from modelfloat.tests.support.servers import SECRET_KEY, RcloneS3, SeaweedFS, free_ports
from modelfloat.tests.support.sources import noise

KEY = check_key("packs/ab/abcd/0-4-2")


def opened(url: str, conditional_put: bool | None = True) -> ObjectBackend:
    return ObjectBackend.from_url(
        "d0", url, domain=None, create=False, conditional_put=conditional_put
    )


async def every_call(backend: ObjectBackend) -> list[BackendError]:
    """What each call of a backend fails with."""
    found = []
    for call in (
        lambda: backend.put(KEY, [b"x"]),
        lambda: backend.put(KEY, [b"x"], if_absent=True),
        lambda: backend.get(KEY),
        lambda: backend.get(KEY, 0, 1),
        lambda: backend.get_into(KEY, 0, memoryview(bytearray(1))),
        lambda: backend.head(KEY),
        lambda: backend.age(KEY),
        lambda: backend.delete(KEY),
        lambda: listed(backend, "packs/"),
    ):
        with pytest.raises(BackendError) as caught:
            await call()
        found.append(caught.value)
    return found


async def test_large_objects_go_in_parts(seaweedfs: SeaweedFS) -> None:
    backend = opened(seaweedfs.s3_url(seaweedfs.new_bucket()))
    value = noise(3, WHOLE + 5_000_001)
    view = memoryview(value)
    await backend.put(KEY, [view[:7], view[7:20_000_000], b"", view[20_000_000:]])
    assert await backend.head(KEY) == len(value)
    out = memoryview(bytearray(len(value) - 3))
    await backend.get_into(KEY, 3, out)
    assert out == view[3:]


async def test_a_large_put_that_is_cancelled_stores_nothing(seaweedfs: SeaweedFS) -> None:
    backend = opened(seaweedfs.s3_url(seaweedfs.new_bucket()))
    value = bytearray(noise(4, WHOLE + 5_000_001))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(backend.put, KEY, [value])
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    value[:] = bytes(len(value))
    sizes = set((await listed(backend)).values())
    assert sizes <= {len(value)}
    if sizes:
        assert await backend.get(KEY) == noise(4, len(value))


async def test_what_was_given_up_is_not_read_any_more(
    seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put goes on in its thread after its caller has gone: with the bytes that were to be put."""
    backend = opened(seaweedfs.s3_url(seaweedfs.new_bucket()))
    await backend.put(KEY, [b"before"])
    value = bytearray(b"x" * 1_000_000)
    seaweedfs.pause()
    try:
        with trio.move_on_after(0.5):
            await backend.put(KEY, [value])
        value[:] = bytes(len(value))
    finally:
        seaweedfs.resume()
    found = b"before"
    with trio.fail_after(60):
        while found == b"before":
            # Its parts have lost sight of each other, and find themselves again.
            with contextlib.suppress(UnavailableError):
                found = await backend.get(KEY)
    assert found == b"x" * 1_000_000


async def test_a_bucket_that_is_gone(seaweedfs: SeaweedFS) -> None:
    """It is down, like a disk that is not mounted: nothing says that keys are missing."""
    failures = await every_call(opened(seaweedfs.s3_url("nowhere")))
    assert {type(failure) for failure in failures} == {UnavailableError}
    assert all("has no bucket nowhere; make it there" in str(failure) for failure in failures)


async def test_keys_that_were_revoked(
    seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = seaweedfs.s3_url(seaweedfs.new_bucket())
    monkeypatch.setenv("MODELFLOAT_D0_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("MODELFLOAT_D0_SECRET_ACCESS_KEY", "hunter2")
    failures = await every_call(opened(url))
    assert {type(failure) for failure in failures} == {DeniedError}
    assert all("refuses it: the credentials are no good" in str(each) for each in failures)
    told = caplog.text + "".join(map(repr, failures))
    assert "hunter2" not in told
    assert SECRET_KEY not in told


async def test_a_server_that_is_down(seaweedfs: SeaweedFS) -> None:
    port = free_ports(1)[0]
    nobody = opened(f"s3://b?endpoint=http://127.0.0.1:{port}")
    failures = await every_call(nobody)
    assert {type(failure) for failure in failures} == {UnavailableError}
    assert f"127.0.0.1:{port} refuses connections; check its URL" in str(failures[0])


async def test_a_server_that_is_killed_and_comes_back(seaweedfs: SeaweedFS) -> None:
    backend = opened(seaweedfs.s3_url(seaweedfs.new_bucket()))
    await backend.put(KEY, [b"value"])
    seaweedfs.kill()
    with pytest.raises(UnavailableError):
        await backend.get(KEY)
    seaweedfs.start()
    assert await backend.get(KEY) == b"value"


async def test_conditions_are_probed(seaweedfs: SeaweedFS, rclone_s3: RcloneS3) -> None:
    for server, kept in ((seaweedfs, True), (rclone_s3, False)):
        backend = opened(server.s3_url(server.new_bucket()))
        assert await keeps_conditions(backend) is kept
        assert await listed(backend, PREFIX) == {}


async def test_a_probe_of_what_cannot_be_reached(seaweedfs: SeaweedFS) -> None:
    with pytest.raises(UnavailableError, match="has no bucket"):
        await keeps_conditions(opened(seaweedfs.s3_url("nowhere")))


async def test_ranges_that_are_answered_with_200(
    rclone_s3: RcloneS3, caplog: pytest.LogCaptureFixture
) -> None:
    """Such an answer is not trusted to be the range, and the right bytes come all the same."""
    backend = opened(rclone_s3.s3_url(rclone_s3.new_bucket()), None)
    value = noise(5, 9_000_000)
    await backend.put(KEY, [value])
    assert await backend.get(KEY, 100, 50) == value[100:150]
    assert "does not answer ranges" not in caplog.text  # a marker costs nobody much
    out = memoryview(bytearray(5_000_000))
    await backend.get_into(KEY, 3_000_000, out)
    assert out == value[3_000_000:8_000_000]
    assert await backend.get(KEY, 8_999_999, 1) == value[-1:]
    assert caplog.text.count("does not answer ranges") == 1


async def test_ages_by_the_clock_of_a_server(
    seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours may be anywhere."""
    backend = opened(seaweedfs.s3_url(seaweedfs.new_bucket()))
    await backend.put(KEY, [b"x"])
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert 0 <= await backend.age(KEY) < 600
    with pytest.raises(KeyNotFoundError):
        await backend.age(check_key("none"))


async def test_the_registry_says_what_was_probed(seaweedfs: SeaweedFS) -> None:
    url = seaweedfs.s3_url("b")
    assert open_backend("d0", url, conditional_put=True).properties.conditional_put
    assert not open_backend("d0", url).properties.conditional_put
    own = open_backend("d0", url, domain="rack1").properties
    assert own.domain == "rack1"
    assert replace(own, domain="").url == url


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("obstore", "obstore.exceptions"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, ObjectBackend.__module__)
    with pytest.raises(UnsupportedError, match=r"pip install 'modelfloat\[objects\]'"):
        open_backend("d0", "s3://b")


def test_few_buffers_are_kept() -> None:
    from modelfloat.backends.upload import Approval

    for size in (3, 10, 100, 1000, 10_000, staging.LARGEST_KEPT + 1):
        with staging.staged([b"a" * size, b"b"], Approval()) as view:
            assert bytes(view) == b"a" * size + b"b"
    assert len(staging._free) <= staging.KEPT
    assert all(len(buffer) <= staging.LARGEST_KEPT for buffer in staging._free)
