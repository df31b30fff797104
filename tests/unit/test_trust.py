"""Keys in files, what was seen of refs, and what neither of them lets through."""

import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelfloat.cas.formats.journal import RefKind
from modelfloat.cas.refnames import RepoName
from modelfloat.cas.signing.keyfiles import make_signing_key, public_key, read_signing_key
from modelfloat.cas.signing.seen import FILE, Seen, SeenRefs
from modelfloat.cas.signing.signer import require_library
from modelfloat.cas.signing.trust import Trust
from modelfloat.cas.store import Store
from modelfloat.errors import (
    ExistsError,
    FormatError,
    SignatureError,
    UnsupportedError,
    UsageError,
)
from modelfloat.ids import StoreId
from modelfloat.tests.support.signers import signer, signing, trust
from modelfloat.tests.support.stores import add, fresh_store

STORE = StoreId(bytes(16))
MAIN = (RepoName("acme", "größe"), RefKind.BRANCH, "main")
TAG = (RepoName("acme", "größe"), RefKind.TAG, "main")


def seen(time_ns: int, *, gone: bool = False) -> Seen:
    return Seen(time_ns, bytes([time_ns]) * 32, gone)


def test_a_key_is_made_for_its_owner_alone_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = make_signing_key(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_signing_key(str(path)).key == made.key
    assert public_key(made.key.hex()) == made.key
    assert public_key(made.key.hex()[:-1]) is None
    assert made.private.private_bytes_raw().hex() not in repr(made)
    with pytest.raises(ExistsError, match="no key is overwritten"):
        make_signing_key(str(path))


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_signing_key(str(path))
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(UsageError, match=f"chmod 600 {path}"):
            read_signing_key(str(path))
    path.chmod(0o400)
    read_signing_key(str(path))


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_key_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="is no signing key"):
        read_signing_key(str(path))
    with pytest.raises(UsageError, match="cannot be read"):
        read_signing_key(str(tmp_path / "none"))


def test_a_key_of_another_kind_is_told(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    path = tmp_path / "key"
    pem = (form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    path.write_bytes(X25519PrivateKey.generate().private_bytes(*pem))
    path.chmod(0o600)
    with pytest.raises(UsageError, match="is no signing key"):
        read_signing_key(str(path))


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_library.cache_clear()
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UnsupportedError, match=r"signatures need cryptography: run .*\[signing\]"):
        require_library()
    monkeypatch.undo()
    require_library()


def test_what_was_seen_is_kept_and_only_grows(tmp_path: Path) -> None:
    one, other = SeenRefs(str(tmp_path), STORE), SeenRefs(str(tmp_path), STORE)
    assert one.get(MAIN) is None
    one.note({MAIN: seen(5)})
    assert other.get(MAIN) == seen(5)
    assert other.get(TAG) is None
    other.note({MAIN: seen(4), TAG: seen(7, gone=True)})
    assert one.get(MAIN) == seen(5)
    assert one.get(TAG) == seen(7, gone=True)
    one.note({MAIN: seen(6)})
    assert SeenRefs(str(tmp_path), STORE).get(MAIN) == seen(6)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["locks", FILE]


def test_what_was_seen_is_durable_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's bytes, then its name, are forced to the disk."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted(fd: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", lambda *a: (done.append("named"), replace(*a)))
    SeenRefs(str(tmp_path), STORE).note({MAIN: seen(5)})
    assert done == ["file", "named", "folder"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "store": "' + "11" * 16 + '"}']
)
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(FormatError, match="is damaged: put it back from a backup"):
        SeenRefs(str(tmp_path), STORE).get(MAIN)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with one signed commit, whose folder trusts its signer."""
    path = tmp_path / "s"
    async with fresh_store(path, "1+0"):
        pass
    trust(path, 1)
    (tmp_path / "file").write_text("one")
    async with signing(path, 1) as opened:
        await add(opened, tmp_path / "file")
        yield opened


async def test_a_head_without_its_record_is_not_believed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {signer(1).key: "one"}
    judge = Trust(store.index, SeenRefs(str(tmp_path), store.id), keys)
    heads = store.index.refs()
    monkeypatch.setattr(store.index, "change", lambda *_: None)
    with pytest.raises(SignatureError, match="not in the index as it was signed"):
        judge.require(heads)
    monkeypatch.undo()
    judge.require(heads)


async def test_a_key_that_is_trusted_no_more_counts_at_once(store: Store, tmp_path: Path) -> None:
    judge = Trust(store.index, SeenRefs(str(tmp_path), store.id), {signer(1).key: "one"})
    heads = store.index.refs()
    judge.require(heads)
    judge.keys = {signer(2).key: "two"}
    with pytest.raises(SignatureError, match="which is not trusted here"):
        judge.require(heads)


async def test_what_cannot_be_noted_is_not_shown(store: Store, tmp_path: Path) -> None:
    """Nor what cannot be looked up."""
    folder = tmp_path / "seen"
    (folder / "locks").mkdir(parents=True)
    (folder / "locks" / "seen-refs").mkdir()
    judge = Trust(store.index, SeenRefs(str(folder), store.id), {signer(1).key: "one"})
    with pytest.raises(SignatureError, match="must be kept there, so nothing new of them is shown"):
        judge.require(store.index.refs())
    (folder / FILE).mkdir()
    with pytest.raises(SignatureError, match="nothing is shown without it"):
        judge.require(store.index.refs())
