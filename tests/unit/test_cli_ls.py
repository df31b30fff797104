"""`ls`: what repositories hold, what removing them frees, and how they are."""

import json
from pathlib import Path

import pytest
from blake3 import blake3

from modelfloat.cid import cid_of
from modelfloat.cli.main import run
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import data_shards

Capture = pytest.CaptureFixture[str]
SIZE = 2_000_000


@pytest.fixture
def store(tmp_path: Path, capsys: Capture) -> Path:
    """A store 2+1 in which acme/one and acme/two share one file of two, and a small vendor."""
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.write_bytes(noise("shared", SIZE))
    own.write_bytes(noise("own", SIZE))
    options = ["--store", str(tmp_path / "store"), "--quiet"]
    assert run([*options, "init", "--erasure", "2+1"]) == 0
    assert run([*options, "add", str(shared), str(own), "acme/one"]) == 0
    assert run([*options, "add", str(shared), "acme/two"]) == 0
    capsys.readouterr()
    return tmp_path / "store"


def listed(store: Path, capsys: Capture, *arguments: str) -> list[dict[str, object]]:
    assert run(["--store", str(store), "ls", "--json", *arguments]) == 0
    rows: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return rows


def test_what_removing_frees(store: Path, tmp_path: Path, capsys: Capture) -> None:
    # A pack of its own: of one that is half needed gc copies nothing.
    (tmp_path / "later").write_bytes(noise("later", SIZE))
    assert run(["--store", str(store), "--quiet", "add", str(tmp_path / "later"), "acme/one"]) == 0
    capsys.readouterr()
    one, two = listed(store, capsys, "-l")
    assert (one["size"], two["size"]) == (3 * SIZE, SIZE)
    assert SIZE <= int(str(one["frees"])) < 2 * SIZE, "what is shared stays, parity goes too"
    assert two["frees"] == 0
    assert [row["frees"] for row in listed(store, capsys)] == [None, None]


def test_columns(store: Path, capsys: Capture) -> None:
    assert run(["--store", str(store), "ls", "acme", "-l"]) == 0
    head, one, _ = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "size", "frees", "files", "updated", "health", "refs"]
    assert one.split()[:3] == ["acme/one", "4.00", "MB"]
    assert one.split()[-2:] == ["ok", "main"]


def test_health(store: Path, capsys: Capture) -> None:
    shards = data_shards(store)
    packs = sorted({path.parent for path in shards})
    assert packs
    shards[0].unlink()
    run(["--store", str(store), "verify"])
    capsys.readouterr()
    assert {row["health"] for row in listed(store, capsys)} == {"degraded"}
    for path in shards:
        path.unlink(missing_ok=True)
    run(["--store", str(store), "verify"])
    capsys.readouterr()
    one, two = listed(store, capsys)
    assert (one["health"], two["health"]) == ("unreadable: 2 files", "unreadable: 1 file")


def test_hashes_of_files(store: Path, capsys: Capture) -> None:
    own, shared = listed(store, capsys, "acme/one", "-l")
    assert own["blake3"] == blake3(noise("own", SIZE)).hexdigest()
    assert own["cid"] == str(cid_of(noise("own", SIZE)))
    assert shared["name"] == "shared"
    assert "blake3" not in listed(store, capsys, "acme/one")[0]


def test_cids_of_files_and_chunks(store: Path, capsys: Capture) -> None:
    (own,) = listed(store, capsys, "acme/one/own", "-l")
    content = noise("own", SIZE)
    parts = [content[each["offset"] :][: each["size"]] for each in own["chunks"]]
    assert b"".join(parts) == content
    assert [each["cid"] for each in own["chunks"]] == [str(cid_of(part)) for part in parts]
    assert "chunks" not in listed(store, capsys, "acme/one", "-l")[0]
    assert run(["--store", str(store), "ls", "acme/one", "-l"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.split()[-2:] == [own["cid"], "own"]


def test_an_encrypted_store_shows_no_cids(tmp_path: Path, capsys: Capture) -> None:
    key, source = tmp_path / "key", tmp_path / "file"
    key.write_bytes(noise("key", 32))
    key.chmod(0o600)
    source.write_bytes(noise("own", SIZE))
    words = ["--store", str(tmp_path / "new"), "--quiet", "--key-file", str(key)]
    sheet = ["--recovery-file", str(tmp_path / "sheet")]
    assert run([*words, "init", "--erasure", "2+1", "--encrypt", *sheet]) == 0
    assert run([*words, "add", str(source), "acme/one"]) == 0
    capsys.readouterr()
    assert run([*words, "ls", "-l", "--json", "acme/one/file"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["blake3"] == blake3(noise("own", SIZE)).hexdigest()
    assert {"cid", "chunks"} & set(row) == set()
    assert run([*words, "ls", "-l", "acme/one"]) == 0
    assert "bafkr4" not in capsys.readouterr().out


def test_a_repository_without_main_says_what_is_shown(store: Path, capsys: Capture) -> None:
    assert run(["--store", str(store), "--quiet", "add", __file__, "acme/zero@br"]) == 0
    assert run(["--store", str(store), "--quiet", "tag", "acme/zero", "t", "br"]) == 0
    assert run(["--store", str(store), "ls", "-l"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("acme/zero@t "), "its newest"
    assert last.endswith("br, t")
    assert listed(store, capsys)[-1]["ref"] == "t"
