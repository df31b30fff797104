"""Reading through links: inside of the repository they lead on, out of it they do not."""

import os
from pathlib import Path

import pytest

from modelfloat.errors import NotFoundError
from modelfloat.tests.support.stores import add, fresh_store, read


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("file", b"content"),
        ("link", b"content"),
        ("deep/up", b"content"),
        ("deep/chain", b"content"),
        ("folder/inner", b"inner"),
        ("dots", b"inner"),
    ],
)
async def test_links_are_followed(name: str, wanted: bytes, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "file").write_bytes(b"content")
    (source / "deep/inner").write_bytes(b"inner")
    for link, target in {
        "link": "file",
        "deep/up": "../file",
        "deep/chain": "../deep/../link",
        "folder": "./deep/",
        "dots": "deep/../folder/./inner",
    }.items():
        os.symlink(target, source / link)
    async with fresh_store(tmp_path / "store", "1+0") as store:
        await add(store, source)
        assert await read(store, f"acme/model/{name}") == wanted


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("link", "goes round in circles"),
        ("gone", "acme/model/link is not there"),
        (".", "is a directory|is not there"),
    ],
)
async def test_links_that_lead_nowhere(target: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    os.symlink(target, tmp_path / "source" / "link")
    async with fresh_store(tmp_path / "store", "1+0") as store:
        await add(store, tmp_path / "source")
        with pytest.raises(NotFoundError, match=message):
            await read(store, "acme/model/link")
