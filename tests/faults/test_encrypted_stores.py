"""Encrypted stores from the command line: what opens them, what needs no key, what is lost and had
again."""

import shutil
import subprocess
from pathlib import Path

import pytest

from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.encrypted import BOB, WORDS
from modelfloat.tests.support.stores import weights


class Place:
    """A store of three directories outside its folder, encrypted, with a sheet and one model."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.sheet = root, root / "store", root / "sheet"
        self.words = root / "words"
        self.words.write_text(WORDS)
        self.file = root / "model.safetensors"
        self.content = weights(self.file, 1_500_000)
        backends = [f"--backend=d{i}={root / f'd{i}'}" for i in range(3)]
        recovery = f"--recovery-file={self.sheet}"
        self.run("init", "--encrypt", "--erasure=2+1", *backends, recovery, opened=True)
        self.run("add", self.file, "acme/secret", opened=True)

    def run(self, *arguments: object, opened: bool = False, status: int = 0) -> str:
        """Run a command, with the passphrase or without; what it printed and said."""
        given = ["--passphrase-file", self.words] if opened else []
        done = modelfloat("--store", self.store, *given, *arguments)
        assert done.returncode == status, done.stderr
        assert WORDS not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def lose_folder(self) -> None:
        """Only the configuration is left, as a backup of it or a marker tells."""
        config = (self.store / "config.toml").read_text()
        shutil.rmtree(self.store)
        self.store.mkdir()
        (self.store / "config.toml").write_text(config)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("encrypted"))


@pytest.fixture
def place(template: Place) -> Place:
    """The same place for each test, put back as it was: its paths stand in its configuration."""
    kept = template.root.with_name("kept")
    if not kept.exists():
        shutil.copytree(template.root, kept, symlinks=True)
    shutil.rmtree(template.root)
    shutil.copytree(kept, template.root, symlinks=True)
    return template


def test_backends_and_a_passphrase_are_enough(place: Place) -> None:
    place.lose_folder()
    assert "key was not given" in place.run("rebuild-index", status=1)
    place.run("rebuild-index", opened=True)
    out = place.root / "out"
    place.run("get", "acme/secret", out, opened=True)
    assert (out / place.file.name).read_bytes() == place.content


def test_so_are_backends_and_the_sheet(place: Place) -> None:
    """With every passphrase forgotten and every keyring gone."""
    place.lose_folder()
    for keys in place.root.glob("d*/keys"):
        shutil.rmtree(keys)
    assert "only its recovery sheet" in place.run("rebuild-index", opened=True, status=1)
    sheet = ["--key-file", place.sheet]
    place.run(*sheet, "rebuild-index")
    new = place.root / "new"
    new.write_bytes(BOB.data)
    place.run(*sheet, "key", "add", "--new-passphrase-file", new)
    assert len(list(place.root.glob("d*/keys/*"))) == 3
    out = place.root / "out"
    place.run("--passphrase-file", new, "get", "acme/secret", out)
    assert (out / place.file.name).read_bytes() == place.content


def test_shards_are_mended_and_moved_without_the_key(place: Place) -> None:
    shutil.rmtree(place.root / "d1" / "packs")
    shutil.rmtree(place.root / "d1" / "keys")
    assert "all repaired" in place.run("verify", "--repair", status=3)
    assert "no damage found" in place.run("verify")
    place.run("backend", "add", "d3", place.root / "d3")
    place.run("backend", "rm", "d2")
    assert "no damage found" in place.run("verify", opened=True)
    shutil.rmtree(place.root / "d2")
    out = place.root / "out"
    place.run("get", "acme/secret", out, opened=True)
    assert (out / place.file.name).read_bytes() == place.content


@pytest.mark.parametrize("command", ["cat acme/secret/model.safetensors", "add {file} a/b", "gc"])
def test_what_needs_the_key_says_so(place: Place, command: str) -> None:
    said = place.run(*command.format(file=place.file).split(), status=1)
    assert said == (
        "modelfloat: the store is encrypted and its key was not given: give its passphrase, a key "
        "file or the recovery sheet\n"
    )


def test_a_wrong_passphrase_reads_nothing(place: Place) -> None:
    place.words.write_text("not the right one")
    said = place.run("cat", "acme/secret/model.safetensors", opened=True, status=1)
    assert said == f"modelfloat: the passphrase in {place.words} does not open this store\n"


def test_no_backend_tells_names_or_secrets(place: Place) -> None:
    """Nor do the log, the lock files and the configuration tell what opens the store."""
    everything = subprocess.run(
        ["grep", "-r", "-l", "-a", "-e", "acme", "-e", "safetensors", place.root / "d0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert everything.stdout == ""
    for folder in (place.store, *place.root.glob("d?")):
        found = subprocess.run(
            ["grep", "-r", "-l", "-a", "-F", WORDS, folder],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.stdout == ""
