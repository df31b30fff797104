"""Sources of files: what may be one, how manifests keep them, and which files get which."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.add import unchanged
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.formats.manifest import ENTRY, decode_manifest, encode_manifest, with_sources
from modelfloat.cas.formats.sourceurls import (
    LONGEST,
    check_source,
    decode_sources,
    encode_sources,
)
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import UsageError
from modelfloat.hub.importing import Adding, import_cache
from modelfloat.tests.formats.test_golden_formats import GOLDEN, SOURCES
from modelfloat.tests.support.hfcaches import HfRepository, commit_of
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import fresh_store, read

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_golden_manifest_has_its_sources() -> None:
    found = decode_manifest((GOLDEN / "manifest-v1-sources.bin").read_bytes())
    assert found.sources == SOURCES
    assert found.sha256 is not None
    without = decode_manifest((GOLDEN / "manifest-v1-inline.bin").read_bytes())
    assert without.sources == ()
    assert (without.inline, without.size) == (found.inline, found.size)


def test_pages_stay_where_they_are_when_sources_change() -> None:
    entries = ENTRY.pack(bytes(32), 7) * 20_000
    *_, manifest = encode_manifest(140_000, bytes(32), entries)
    found = decode_manifest(with_sources(manifest, ["https://a/b"]))
    assert found.sources == ("https://a/b",)
    assert found.pages == decode_manifest(manifest).pages
    assert decode_manifest(with_sources(manifest, [])).sources == ()


@given(st.lists(st.text(max_size=40), max_size=8))
def test_sources_come_back(urls: list[str]) -> None:
    try:
        data = encode_sources(urls)
    except UnicodeEncodeError:
        return
    assert decode_sources(data) == tuple(urls)


@given(st.binary(max_size=200))
def test_what_is_none_is_none(data: bytes) -> None:
    assert all(len(url.encode()) <= LONGEST for url in decode_sources(data))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a/b.bin",
        "https://example.org/a?download=true",
        "http://127.0.0.1:8000/x",
        "http://localhost/x",
        f"hf://models/acme/llama@{COMMIT}/a/b.safetensors",
        f"hf://models/gpt2@{COMMIT}",
    ],
)
def test_what_may_be_a_source(url: str) -> None:
    assert check_source(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "example.org/a",
        "ftp://example.org/a",
        "http://example.org/a",
        "https://",
        "https://[::1/a",
        "https://user:word@example.org/a",
        "https://example.org/a?X-Amz-Signature=s3kr1t",
        "https://example.org/a?access_token=s3kr1t",
        "https://acme.blob.core.windows.net/c/a?sig=s3kr1t&sv=2024-11-04",
        "https://acme.blob.core.windows.net/c/a?sv=2024-11-04&sig=s3kr1t",
        "https://example.org/a b",
        "https://example.org/" + "a" * 5000,
        "hf://models/acme/llama@main/a",
        "hf://datasets/acme/llama@main/a",
        f"hf://models/acme/llama@{COMMIT}/a?token=s3kr1t",
    ],
)
def test_what_may_not(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_source(url)
    assert "word@" not in str(caught.value)
    assert "s3kr1t" not in str(caught.value)


def sources(store: Store, address: str) -> tuple[str, ...]:
    entry = store.find(parse_address(address))
    return store.objects.manifest(entry.object).sources


async def put(store: Store, source: Path, address: str, url: str = "") -> None:
    await store.carry_out(AddRequest([str(source)], parse_address(address), source_url=url))


async def test_files_get_the_source_of_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    os.makedirs(folder / "sub dir")
    (folder / "a").write_bytes(noise("a", 9_000_000))
    (folder / "sub dir" / "ö").write_bytes(noise("b", 5_000))
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await put(store, folder, "acme/one/below", "https://example.org/x/")
        assert sources(store, "acme/one/below/a") == ("https://example.org/x/a",)
        assert sources(store, "acme/one/below/sub dir/ö") == (
            "https://example.org/x/sub%20dir/%C3%B6",
        )
        assert await read(store, "acme/one/below/a") == noise("a", 9_000_000)
        await put(store, folder / "a", "acme/two", "https://example.org/a.bin")
        assert sources(store, "acme/two/a") == ("https://example.org/a.bin",)
        assert (await store.verify()).exit_status == 0


async def test_a_file_that_is_not_read_again_gets_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "RACY", 0)
    file = tmp_path / "file"
    file.write_bytes(noise("file", 3_000_000))
    address = parse_address("acme/one")
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await put(store, file, "acme/one")
        assert sources(store, "acme/one/file") == ()
        for number in "12":
            url = f"https://example.org/{number}"
            report = await store.carry_out(AddRequest([str(file)], address, source_url=url))
            assert report.unchanged_files == 1
        assert sources(store, "acme/one/file") == ("https://example.org/2", "https://example.org/1")
        assert await read(store, "acme/one/file") == noise("file", 3_000_000)
        hub = [f"hf://models/acme/llama@{digit * 40}" for digit in "ab"]
        for url in hub:
            await store.carry_out(AddRequest([str(file)], address, source_url=url))
        # Of a file that is the same in several commits one will do.
        assert sources(store, "acme/one/file")[0] == hub[0]
        assert hub[1] not in sources(store, "acme/one/file")
        # Without one a file keeps what it has.
        await put(store, file, "acme/two")
        assert len(sources(store, "acme/two/file")) == 3
        assert (await store.verify()).exit_status == 0


async def test_a_folder_s_source_is_of_one_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    async with fresh_store(tmp_path / "store", "2+1") as store:
        two = [str(tmp_path / "a"), str(tmp_path / "a")]
        request = AddRequest(two, parse_address("acme/two"), source_url="https://example.org/x")
        with pytest.raises(UsageError, match="one file or folder"):
            await store.carry_out(request)


async def test_an_import_knows_where_its_files_are_on_the_hub(tmp_path: Path) -> None:
    model = HfRepository(tmp_path / "hub", "models--acme--llama")
    blob = model.blob(noise("b", 400_000), large=True)
    model.snapshot(commit_of("one"), {"config.json": model.blob(b"{}"), "a/b.bin": blob}, "main")
    async with fresh_store(tmp_path / "store", "2+1") as store:
        report = await import_cache(store, str(tmp_path / "hub"), Adding())
        assert report.exit_status == 0
        (found,) = sources(store, "acme/llama/a/b.bin")
        assert found == f"hf://models/acme/llama@{commit_of('one')}/a/b.bin"
