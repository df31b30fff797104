"""`modelfloat add` as it is typed: what it prints where, and what it refuses."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from modelfloat.cas.add import unchanged
from modelfloat.cli.main import run
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.shell import Shell, shell_on_copy

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store."""
    path = tmp_path_factory.mktemp("template") / "store"
    assert run(["--store", str(path), "--quiet", "init", "--erasure=2+1"]) == 0
    return path


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two files; files count as old enough at once."""
    monkeypatch.setattr(unchanged, "RACY", 0)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a").write_bytes(noise("a", 2_000_000))
    (tmp_path / "src" / "b").write_bytes(b"b")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "src"


@pytest.fixture
def shell(template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs a command on a store of its own: its output and its errors."""
    return shell_on_copy(template, tmp_path, capsys)


def document(text: str) -> Any:
    return json.loads(text)


def test_repeated_adds_say_what_was_stored(shell: Shell, source: Path) -> None:
    out, err = shell("add", source, "acme/m")
    assert "2 files, 2.00 MB" in out
    assert err == ""
    (source / "c").write_bytes(noise("c", 1_000_000))
    out, _ = shell("add", source, "acme/m")
    assert "2.00 MB of 3.00 MB were already stored" in out
    out, _ = shell("add", source, "acme/m", "--json")
    made = document(out)
    assert (made["unchanged"], made["unchanged_files"]) == (3_000_001, 3)
    assert made["already"] == made["logical"] == 3_000_001
    out, _ = shell("add", source, "acme/m", "--json", "--reread")
    assert document(out)["unchanged_files"] == 0


def test_who_a_commit_is_by(shell: Shell, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFLOAT_AUTHOR", "Eva")
    shell("add", source, "acme/model", "--author", "Ada <ada@example.org>", "-m", "first")
    (source / "b").write_bytes(b"other")
    shell("add", source, "acme/model")
    commits = document(shell("log", "--json", "acme/model")[0])
    assert [c["author"] for c in commits] == ["Eva", "Ada <ada@example.org>"]
    _, said = shell("add", source, "acme/model", "--author", " ", status=2)
    assert said == "modelfloat: --author: ' ' cannot be: it must not be empty\n"


def test_sync_lists_what_it_removes(shell: Shell, source: Path) -> None:
    shell("add", source, "acme/m")
    (source / "b").unlink()
    out, _ = shell("add", "--sync", "--dry-run", source, "acme/m")
    assert out.splitlines()[:2] == [
        "would remove b",
        "would add 1 file, 2.00 MB, to acme/m@main",
    ]
    out, _ = shell("add", "--sync", "--dry-run", source, "acme/m", "--json")
    plan = document(out)
    assert (plan["removed"], plan["unchanged_files"], plan["fits"]) == (["b"], 1, True)
    out, _ = shell("ls", "acme/m")
    assert "b" in out.split()
    out, _ = shell("add", "--sync", source, "acme/m")
    assert out.splitlines()[0] == "removed b"
    out, _ = shell("ls", "acme/m")
    assert out.split() == ["a"]


def test_move_says_what_went_and_names_what_stays(shell: Shell, source: Path) -> None:
    os.makedirs("elsewhere/deep")
    Path("elsewhere/deep/x").write_bytes(b"x")
    (source / "far").symlink_to("../elsewhere/deep")
    out, err = shell("add", "--move", source, "acme/m", status=1)
    assert "moved 2 files, 2.00 MB" in out
    assert err == (
        f"modelfloat: not moved: {source}/far/x: it lies in a folder elsewhere, which a link leads "
        "to\n"
    )
    assert sorted(os.listdir(source)) == ["far"]
    out, _ = shell("add", "--move", source, "acme/m", "--json", status=1)
    assert (document(out)["moved"], len(document(out)["kept"])) == (0, 1)


def test_quiet_prints_results_only(shell: Shell, source: Path) -> None:
    os.mkfifo(source / "pipe")
    (source / "pointer").write_bytes(POINTER)
    out, err = shell("add", source, "acme/m", "--quiet")
    assert err == ""
    assert len(bytes.fromhex(out.strip())) == 32


def test_pointers_are_warned_about_each_time(shell: Shell, source: Path) -> None:
    (source / "model.bin").write_bytes(POINTER)
    (source / "no.bin").write_bytes(POINTER + bytes(2000))
    for _ in range(2):
        out, err = shell("add", source, "acme/m", "--json")
        [warning] = document(out)["warnings"]
        assert "model.bin is a Git LFS pointer" in warning
        assert err == f"modelfloat: warning: {warning}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "acme/m"], "standard input cannot be added"),
        (["", "acme/m"], "a source is empty"),
        (["src", "src", "acme/m"], "is added twice"),
        (["store", "acme/m"], "is the store itself"),
        (["store/backends/d0", "acme/m"], "is the store itself"),
        (["--sync", "src/a", "acme/m"], "leave --sync out"),
        (["--sync", "--move", "src", "acme/m"], "do not go together"),
        (["acme/m"], "add needs SRC"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    shell: Shell, source: Path, arguments: list[str], message: str
) -> None:
    out, err = shell("add", *arguments, status=2)
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_missing_source_is_told(shell: Shell, source: Path) -> None:
    _, err = shell("add", "src/never", "acme/m", status=1)
    assert err == "modelfloat: src/never: No such file or directory\n"
    _, err = shell("add", "/dev/null", "acme/m", status=1)
    assert err == "modelfloat: /dev/null is neither a file nor a folder and cannot be added\n"


def test_a_slash_behind_a_folder_changes_nothing(shell: Shell, source: Path) -> None:
    shell("add", "src", "acme/m")
    out, _ = shell("add", "src/", "acme/m")
    assert "nothing changed" in out
    shell("add", "src/a", "acme/m/folder/")
    assert shell("ls", "acme/m/folder")[0].split() == ["a"]


def test_nothing_to_add_makes_an_empty_tree(shell: Shell, source: Path) -> None:
    os.mkdir("empty")
    out, _ = shell("add", "empty", "acme/none")
    assert "0 files, 0 B, commit" in out
    assert shell("ls", "acme/none")[0] == ""


def test_what_does_not_fit_is_told_before(
    shell: Shell, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelfloat.backends.base import Usage
    from modelfloat.backends.local import LocalBackend

    async def usage(_: LocalBackend) -> Usage:
        return Usage(100_000, 10**12, "disk")

    monkeypatch.setattr(LocalBackend, "usage", usage)
    out, err = shell("add", source, "acme/m", status=1)
    assert out == ""
    assert err.startswith("modelfloat: this needs about 3.0 MB with parity on d0, d1, d2, 100 kB")
    out, err = shell("add", "--dry-run", source, "acme/m", status=1)
    assert "needs at most about 3.0" in out
    assert "add a backend" in err
    shell("add", "--no-preflight", source, "acme/m")


def test_sha256_is_kept_if_asked_for(shell: Shell, source: Path) -> None:
    import hashlib

    from modelfloat import open as open_store
    from modelfloat.cas.refnames import parse_address

    shell("add", "--sha256", source, "acme/m")
    shell("add", "--no-sha256", source, "acme/m")
    with open_store(source.parent / "store") as store:

        async def digest(engine: Any) -> bytes:
            entry = engine.find(parse_address("acme/m/a"))
            return bytes(engine.objects.manifest(entry.object).sha256)

        found = store._call(digest)
    assert found == hashlib.sha256((source / "a").read_bytes()).digest()


def liars() -> dict[str, bytes]:
    """Files that begin as safetensors do and are none."""
    body = noise("liar", 300_000)

    def lie(header: bytes, length: int | None = None) -> bytes:
        return struct.pack("<Q", len(header) if length is None else length) + header + body

    def tensors(*offsets: tuple[int, int]) -> bytes:
        made = {
            f"t{i}": {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
            for i, (begin, end) in enumerate(offsets)
        }
        return json.dumps(made).encode()

    return {
        "beyond the file": lie(tensors((0, 300_000)), 2**40),
        "2^63 long": lie(tensors((0, 300_000)), 2**63),
        "overlapping": lie(tensors((0, 200_000), (100_000, 300_000))),
        "offsets of 2^63": lie(tensors((0, 100_000), (2**63 - 1, 2**63 + 5))),
        "negative": lie(tensors((-5, 300_000))),
        "deep": lie(b'{"t":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "no object": lie(b"[1, 2, 3]"),
        "not text": lie(b"\xff" * 64),
        "cut short": struct.pack("<Q", 1000) + b"{",
        "empty header": lie(b""),
    }


@pytest.mark.parametrize("name", liars())
async def test_a_header_that_lies_is_stored_as_it_is(tmp_path: Path, name: str) -> None:
    from modelfloat.tests.support.stores import add, fresh_store, read

    data = liars()[name]
    (tmp_path / "m.safetensors").write_bytes(data)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "m.safetensors")
        assert await read(store, "acme/model/m.safetensors") == data


async def test_a_header_of_a_hundred_megabytes_is_stored_as_it_is(tmp_path: Path) -> None:
    from modelfloat.tests.support.stores import add, fresh_store, read

    with (tmp_path / "m.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", 101 << 20) + b"{" + b" " * (101 << 20))
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "m.safetensors")
        data = await read(store, "acme/model/m.safetensors")
        assert data == (tmp_path / "m.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("flag", "variable", "stored", "shrinks"),
    [
        ([], None, None, True),
        (["--effort", "fast"], None, None, False),
        ([], "fast", None, False),
        ([], None, "fast", False),
        (["--effort=balanced"], "fast", "fast", True),
        ([], "Small", "fast", True),
    ],
)
def test_effort_comes_from_the_flag_the_environment_or_the_store(
    shell: Shell,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    flag: list[str],
    variable: str | None,
    stored: str | None,
    shrinks: bool,
) -> None:
    (source / "a").write_bytes(b"".join(b"%d\n" % number for number in range(200_000)))
    if stored:
        shell("config", "effort", stored)
    if variable:
        monkeypatch.setenv("MODELFLOAT_EFFORT", variable)
    made = document(shell("add", source, "acme/m", "--json", *flag)[0])
    assert (made["encoded"] < made["new"]) is shrinks


def test_another_effort_is_refused(shell: Shell, source: Path) -> None:
    _, err = shell("add", source, "acme/m", "--effort", "most", status=2)
    assert err == ("modelfloat: --effort: 'most' cannot be: write fast, balanced or small\n")


def test_a_scheme_of_its_own_is_told(shell: Shell, source: Path) -> None:
    (source / "a").write_bytes(noise("scheme", 2_000_000))
    made = shell("add", source, "acme/own", "--erasure", "3+0")[0]
    assert "3+0: no parity: any lost or damaged shard is lost data" in made
    assert "2+1: protects against damage" in made
    assert document(shell("add", source, "acme/other", "--json")[0])["survives"] is None
    listed = shell("ls", "-l")[0].splitlines()
    assert "erasure" in listed[0]
    assert [("3+0" in line, "2+1" in line) for line in listed[1:]] == [(False, True), (True, False)]
    schemes = {each["name"]: each["erasure"] for each in json.loads(shell("ls", "--json")[0])}
    assert schemes == {"acme/own": "3+0", "acme/other": "2+1"}
    assert [each["scheme"] for each in document(shell("stats", "--json")[0])["schemes"]] == [
        "2+1",
        "3+0",
    ]
    assert "3+0 (1 pack): no parity" in shell("stats")[0]


def test_how_many_shards_are_enough_is_a_setting(shell: Shell, source: Path) -> None:
    shell("config", "min_shards", "3")
    shell("add", source, "acme/m")
    _, err = shell("add", source, "acme/m", "--min-shards", "many", status=2)
    assert err == "modelfloat: --min-shards: 'many' cannot be: write a whole number\n"
