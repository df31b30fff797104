"""`modelfloat key sign`, `--sign-key` and `--require-signature`, and the same in Python."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import modelfloat
from modelfloat.cli.main import run
from modelfloat.cli.mountrequest import MountRequest
from modelfloat.cli.settings import Flags, resolve
from modelfloat.errors import NotFoundError, SignatureError, UsageError
from modelfloat.fuse.mountoptions import MountOptions

Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def cli(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command on a store of one directory; its status, and what it printed or said."""

    def call(*arguments: object) -> tuple[int, str]:
        status = run(["--store", str(tmp_path / "s"), *map(str, arguments)])
        said = capfd.readouterr()
        return status, said.out if status == 0 or said.out else said.err

    assert call("init", "--erasure", "1+0")[0] == 0
    return call


@pytest.fixture
def key(cli: Cli, tmp_path: Path) -> tuple[str, str]:
    """A key's file, and its public key."""
    status, told = cli("key", "sign", "new", tmp_path / "key")
    assert status == 0
    return str(tmp_path / "key"), told.strip()


def document(told: tuple[int, str]) -> Any:
    return json.loads(told[1])


def test_from_an_unsigned_store_to_one_that_is_required(
    cli: Cli, key: tuple[str, str], tmp_path: Path
) -> None:
    file, public = key
    (tmp_path / "file").write_text("one")
    assert cli("add", tmp_path / "file", "acme/model", "--tag", "v1")[0] == 0
    assert cli("key", "sign", "trust", public, "release") == (
        0,
        f"{public} is trusted as release\n",
    )
    status, said = cli("--require-signature", "cat", "acme/model/file")
    assert (status, "is not signed, so nothing of it is shown" in said) == (1, True)
    status, told = cli("--json", "key", "sign", "check")
    assert status == 1
    assert [(r["ref"], r["key"]) for r in json.loads(told)] == [("main", None), ("v1", None)]
    lines = cli("key", "sign", "check")[1].splitlines()[1:]
    assert [line.count("acme/model@") for line in lines] == [1, 1]
    assert all("  is not signed, so nothing" in line for line in lines)
    signed = document(cli("--json", "--sign-key", file, "key", "sign", "refs"))
    assert [(r["vendor"], r["name"], r["ref"]) for r in signed] == [
        ("acme", "model", "main"),
        ("acme", "model", "v1"),
    ]
    assert cli("--sign-key", file, "key", "sign", "refs") == (0, "0 refs signed\n")
    assert cli("--require-signature", "cat", "acme/model@v1/file") == (0, "one")
    (tmp_path / "file").write_text("two")
    assert cli("add", "--sign-key", file, tmp_path / "file", "acme/model")[0] == 0
    assert cli("cat", "--require-signature", "acme/model/file") == (0, "two")
    status, told = cli("key", "sign", "check", "acme/model@main")
    assert (status, public[:16] in told, told.split()[-1]) == (0, True, "yes")


def test_settings_say_it_for_every_command(cli: Cli, key: tuple[str, str], tmp_path: Path) -> None:
    file, _ = key
    (tmp_path / "file").write_text("one")
    assert cli("config", "sign_key", file)[0] == 0
    assert cli("config", "require_signature", "yes")[0] == 0
    assert cli("key", "sign", "trust", file)[0] == 0
    assert cli("add", tmp_path / "file", "acme/model")[0] == 0
    assert cli("cat", "acme/model/file") == (0, "one")
    assert cli("get", "acme/model", tmp_path / "out")[0] == 0
    # An empty one stands for none, for once.
    status, told = cli("--sign-key", "", "key", "sign", "refs")
    assert (status, "there is no key to sign by" in told) == (2, True)
    # One who has no key adds nothing to what is signed unnoticed.
    assert cli("config", "--unset", "sign_key")[0] == 0
    (tmp_path / "file").write_text("two")
    assert cli("add", tmp_path / "file", "acme/model")[0] == 0
    for command in (("cat", "acme/model/file"), ("ls", "acme/model"), ("log", "acme/model")):
        status, said = cli(*command)
        assert (status, said.count("is not signed")) == (1, 1), command
    status, said = cli("get", "acme/model", tmp_path / "again")
    assert status == 1
    assert not (tmp_path / "again").exists()
    assert cli("ls", "--no-require-signature", "acme/model")[0] == 0
    # Nor does somebody with the setting who builds on it.
    status, said = cli("add", tmp_path / "key", "acme/model")
    assert (status, "is not signed" in said) == (1, True)


def test_what_is_not_signed_is_not_listed_beside_what_is(
    cli: Cli, key: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("one")
    cli("key", "sign", "trust", key[0])
    for name, options in (("mine", ("--sign-key", key[0])), ("theirs", ())):
        assert cli("add", *options, tmp_path / "file", f"acme/{name}")[0] == 0
    listed = document(cli("--json", "ls", "--require-signature"))
    assert [each["name"] for each in listed] == ["acme/mine"]
    status, told = cli("--json", "get", "--require-signature", "--all", tmp_path / "all")
    refused = json.loads(told)["refused"]
    assert (status, len(refused)) == (1, 1)
    assert "acme/theirs@main" in refused[0]
    assert [path.name for path in (tmp_path / "all" / "acme").iterdir()] == ["mine"]


def test_what_get_leaves_out_for_want_of_a_signature_is_said_once(
    cli: Cli, key: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("one")
    cli("key", "sign", "trust", key[0])
    assert cli("add", tmp_path / "file", "acme/theirs")[0] == 0
    store, out = str(tmp_path / "s"), str(tmp_path / "all")
    assert run(["--store", store, "--quiet", "get", "--require-signature", "--all", out]) == 1
    said = capfd.readouterr().err
    assert said.count("acme/theirs@main") == 1


def test_a_key_that_cannot_be_had_fails_before_anything_is_stored(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    status, said = cli("add", "--sign-key", tmp_path / "none", tmp_path / "file", "acme/model")
    assert (status, "cannot be read" in said) == (2, True)
    assert not list((tmp_path / "s/backends").glob("*/packs/*/*/*"))


def test_keys_are_listed_and_go(cli: Cli, key: tuple[str, str]) -> None:
    _, public = key
    assert document(cli("--json", "key", "sign", "trust", public)) == {
        "key": public,
        "name": public[:16],
    }
    assert cli("key", "sign", "trust", "1" * 64, "ann")[0] == 0
    assert document(cli("--json", "key", "sign", "ls")) == [
        {"key": public, "name": public[:16]},
        {"key": "1" * 64, "name": "ann"},
    ]
    assert cli("key", "sign", "untrust", "ann") == (0, f"{'1' * 64} is not trusted any more\n")
    assert cli("key", "sign", "untrust", public)[0] == 0
    assert document(cli("--json", "key", "sign", "ls")) == []
    assert cli("key", "sign", "show", key[0]) == (0, f"{public}\n")


def test_a_mount_in_the_background_requires_them_too() -> None:
    request = MountRequest("/m", MountOptions(False), "auto", 2.0, "off")
    for required in (True, False):
        asked = request.arguments(resolve(Flags(require_signature=required), {"HOME": "/root"}))
        assert ("--require-signature" in asked) == required
        assert ("--no-require-signature" in asked) == (not required)


def test_the_same_in_python(cli: Cli, key: tuple[str, str], tmp_path: Path) -> None:
    file, public = key
    (tmp_path / "file").write_text("one")
    with modelfloat.open(tmp_path / "s") as store:
        store.add(tmp_path / "file", "acme/model")
        store.trust(public, "release")
        assert "is not signed" in store.signatures()[0].problem
        with pytest.raises(UsageError, match="there is no key to sign by"):
            store.sign()
    with (
        modelfloat.open(tmp_path / "s", require_signature=True) as store,
        pytest.raises(SignatureError, match="is not signed"),
    ):
        store.open("acme/model/file")
    with modelfloat.open(tmp_path / "s", sign_key=file) as store:
        assert [change.ref for change in store.sign("acme/model@main")] == ["main"]
        assert [state.problem for state in store.signatures("acme/model")] == [""]
    with modelfloat.open(tmp_path / "s", require_signature=True) as store:
        assert store.open("acme/model/file").read() == b"one"
        store.distrust("release")
        with pytest.raises(NotFoundError):
            store.distrust("release")


def test_what_is_pushed_is_signed_there(cli: Cli, key: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    other = tmp_path / "other"
    assert run(["--store", str(other), "init", "--erasure", "1+0"]) == 0
    assert run(["--store", str(other), "key", "sign", "trust", key[0]]) == 0
    assert cli("add", tmp_path / "file", "acme/model")[0] == 0
    assert cli("push", "--sign-key", key[0], other, "acme/model")[0] == 0
    assert run(["--store", str(other), "key", "sign", "check"]) == 0


def test_whatever_moves_a_ref_signs_it(cli: Cli, key: tuple[str, str], tmp_path: Path) -> None:
    """And what was undone is there again, also where signatures are required."""
    file, _ = key
    cli("key", "sign", "trust", file)
    cli("config", "sign_key", file)
    for text in ("one", "two"):
        (tmp_path / "file").write_text(text)
        assert cli("add", tmp_path / "file", "acme/model")[0] == 0
    for command in (
        ("tag", "acme/model", "v1"),
        ("branch", "acme/model", "next", "main~1"),
        ("mv", "acme/model/file", "acme/model/other"),
        ("restore", "acme/model@main~1/file"),
        ("rm", "acme/model/other"),
        ("undo", "acme/model"),
        ("rm", "acme/model@next"),
        ("undo", "acme/model@next"),
        ("branch", "acme/model", "main", "v1", "--force"),
        ("mv", "acme/model", "acme/renamed"),
    ):
        status, said = cli(*command)
        assert status == 0, (command, said)
        status, told = cli("--json", "key", "sign", "check")
        assert {state["problem"] for state in json.loads(told)} == {None}, (command, told)
    assert cli("cat", "--require-signature", "acme/renamed@next/file") == (0, "one")
    assert cli("cat", "--require-signature", "acme/renamed/file") == (0, "two")
    status, said = cli("cat", "--require-signature", "acme/model/file")
    assert (status, "there is no repository" in said) == (1, True)
