"""What is pulled where signatures are required: what a key signed there that is trusted here, and
nothing older than was seen."""

import json
import shutil
from pathlib import Path

import pytest

import modelfloat
from modelfloat.cli.main import run
from modelfloat.errors import SignatureError


class Stores:
    """Three folders: `there` has what is carried on a `stick` to `here`, which trusts its key."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capfd = capfd

    def path(self, name: str) -> Path:
        return self.folder / name

    def __call__(self, where: str, *arguments: object) -> tuple[int, str, str]:
        """Run a command on a store: its status, what it printed, what it said beside that."""
        self._capfd.readouterr()
        status = run(["--store", str(self.path(where)), *map(str, arguments)])
        told = self._capfd.readouterr()
        return status, told.out, told.err

    def done(self, where: str, *arguments: object) -> str:
        status, out, err = self(where, *arguments)
        assert status == 0, (arguments, err)
        return out

    def add(self, text: str, address: str, *options: object) -> None:
        self.path("file").write_text(text)
        self.done("there", "add", self.path("file"), address, *options)

    def pull(self, *arguments: object, source: str = "there") -> tuple[int, str, str]:
        return self("here", "pull", self.path(source), *arguments, "--require-signature")


@pytest.fixture
def stores(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Stores:
    made = Stores(tmp_path, capfd)
    for name in ("there", "here"):
        made.done(name, "init", "--erasure", "1+0")
    key = made.done("there", "key", "sign", "new", tmp_path / "key").strip()
    made.done("there", "config", "sign_key", tmp_path / "key")
    made.done("here", "key", "sign", "trust", key, "ann")
    return made


def test_what_is_signed_there_comes_and_nothing_else(stores: Stores) -> None:
    stores.add("one", "acme/model", "--sign-key", "")
    status, _, said = stores.pull("acme/model")
    assert (status, "is not signed, so nothing" in said) == (1, True)
    assert f"{stores.path('there')}: acme/model@main, commit" in said
    assert stores("here", "ls", "acme/model")[0] == 1
    stores.add("two", "acme/model")
    assert stores.pull("acme/model")[0] == 0
    assert stores.done("here", "cat", "acme/model/file") == "two"
    # Nobody signs here, so what is here is not signed; that is not asked for.
    stores.add("three", "acme/model")
    assert stores.pull("acme/model")[0] == 0
    assert stores.done("here", "cat", "acme/model/file") == "three"


def test_who_trusts_nobody_pulls_nothing(stores: Stores) -> None:
    stores.add("one", "acme/model")
    stores.done("here", "key", "sign", "untrust", "ann")
    status, _, said = stores.pull("acme/model")
    assert (status, f"{stores.path('here')}/config.toml trusts no key" in said) == (2, True)
    # Whom the other store trusts is not asked.
    stores.done("there", "key", "sign", "trust", stores.path("key"), "ann")
    stores.done("here", "key", "sign", "trust", "0" * 64, "ben")
    status, _, said = stores.pull("acme/model")
    assert (status, "which is not trusted here" in said) == (1, True)


def test_what_is_not_signed_beside_what_is_stays_there(stores: Stores) -> None:
    stores.add("one", "acme/model", "--tag", "v1")
    stores.add("bad", "acme/model@next", "--sign-key", "", "--tag", "v2")
    status, told, said = stores.pull("acme/model", "--tags", "--json")
    document = json.loads(told)
    assert status == 1
    assert sorted(ref["name"] for ref in document["refs"]) == ["main", "v1"]
    assert ["@next, commit" in line or "@v2, commit" in line for line in document["refused"]] == [
        True,
        True,
    ]
    assert said.count("is not signed") == 2
    assert stores.pull("acme/model")[0] == 1
    assert stores.pull("acme/model@main")[0] == 0
    status, _, said = stores.pull("acme/model@next")
    assert (status, "@next, commit" in said, "has no branch" in said) == (1, True, False)
    with modelfloat.open(stores.path("here")) as store:
        there = stores.path("there")
        with pytest.raises(SignatureError, match=r"next, commit .* is not signed"):
            store.pull(there, "acme/model@next", require_signature=True)
        report = store.pull(there, "acme/model", require_signature=True)
        assert (len(report.refused), [ref.ref for ref in report.refs]) == (1, ["main"])


def test_what_is_not_there_is_told_beside_what_is_not_signed(stores: Stores) -> None:
    stores.add("one", "acme/model")
    stores.add("bad", "acme/model@next", "--sign-key", "")
    status, _, said = stores.pull("acme/model", "acme/modle")
    assert (status, "has no repository acme/modle" in said, "not signed" in said) == (
        1,
        True,
        False,
    )


def test_the_setting_asks_it_of_both(stores: Stores) -> None:
    stores.add("one", "acme/model")
    stores.done("here", "config", "require_signature", "yes")
    stores.done("here", "pull", stores.path("there"), "acme/model")
    stores.add("two", "acme/model")
    status, _, said = stores("here", "pull", stores.path("there"), "acme/model")
    assert (status, f"{stores.path('there')}:" in said, "is not signed" in said) == (1, False, True)
    stores.done("here", "key", "sign", "refs", "--sign-key", stores.path("key"))
    stores.done("here", "config", "sign_key", stores.path("key"))
    stores.done("here", "pull", stores.path("there"), "acme/model")
    assert stores.done("here", "cat", "acme/model/file") == "two"
    stores.add("bad", "acme/model", "--sign-key", "")
    assert stores("here", "pull", stores.path("there"), "acme/model")[0] == 1
    with (
        modelfloat.open(stores.path("here"), require_signature=True) as store,
        pytest.raises(SignatureError, match=f"^{stores.path('there')}: .*is not signed"),
    ):
        store.pull(stores.path("there"), "acme/model")
    stores.done("here", "pull", stores.path("there"), "acme/model", "--no-require-signature")


def test_what_is_sent_from_where_signatures_are_required_is_signed(stores: Stores) -> None:
    stores.add("one", "acme/model")
    stores.add("bad", "acme/model@next", "--sign-key", "")
    stores.done("there", "key", "sign", "trust", stores.path("key"), "ann")
    stores.done("there", "config", "require_signature", "yes")
    status, told, said = stores("there", "push", stores.path("stick"), "acme/model")
    assert (status, "acme/model@main: new" in told, "next" in told) == (1, True, False)
    assert "next, commit" in said
    assert stores("there", "push", stores.path("stick"), "acme/model@next")[0] == 1


def test_a_directory_that_was_put_back_is_found_out(stores: Stores) -> None:
    """Also where what lies beside the store of it, and may be deleted, was deleted."""
    stick, old = stores.path("stick"), stores.path("old")
    stores.add("one", "acme/model")
    stores.done("there", "push", stick, "acme/model")
    shutil.copytree(stick, old)
    stores.add("two", "acme/model")
    stores.done("there", "push", stick, "acme/model")
    assert stores.pull("acme/model", source="stick")[0] == 0
    shutil.rmtree(stick)
    old.rename(stick)
    shutil.rmtree(stores.path("here") / "exchange")
    status, _, said = stores.pull("acme/model", source="stick")
    assert (status, "is older than what was seen here before" in said) == (1, True)
    assert stores.done("here", "cat", "acme/model/file") == "two"


@pytest.mark.parametrize("name", ["acme/model", "acme/model@next"])
def test_what_somebody_took_away_there_is_missed(stores: Stores, name: str) -> None:
    stores.add("one", "acme/model@next")
    assert stores.pull(name)[0] == 0
    stores.done("there", "rm", "acme/model@next", "--sign-key", "")
    status, _, said = stores.pull(name)
    assert (status, "acme/model@next is gone, and no key" in said) == (1, True)
