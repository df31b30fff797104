"""`modelfloat key`, `init --encrypt`, and where a command finds what opens a store."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import modelfloat
from modelfloat.cli import keysource, newencryption
from modelfloat.cli.main import run
from modelfloat.cli.settings import Flags, Settings, foreign_variables, resolve
from modelfloat.config import read_config
from modelfloat.errors import UsageError, WrongKeyError
from modelfloat.tests.support.command import modelfloat as program
from modelfloat.tests.support.encrypted import MASTER, WORDS, keyrings, make_encrypted
from modelfloat.unlocking import unlock_store

Capture = pytest.CaptureFixture[str]
SECOND = "a second passphrase"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """No core dumps is for programs; this one goes on."""
    monkeypatch.setattr(keysource, "hide_memory", lambda: None)
    for name in ("MODELFLOAT_PASSPHRASE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    trio.run(make_encrypted, path)
    return path


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A file with the passphrase that opens the store."""
    path = tmp_path / "words"
    path.write_text(f"{WORDS}\r\nsecond line\n")
    return path


def type_in(monkeypatch: pytest.MonkeyPatch, *typed: str) -> list[str]:
    """Have somebody at a terminal who types that; the questions that they are asked."""
    answers, asked = iter(typed), list[str]()

    def answer(question: str) -> str:
        asked.append(question)
        return next(answers)

    for module in (keysource, newencryption):
        monkeypatch.setattr(module, "has_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", answer)
    return asked


def opened_with(store: Path, *options: object) -> int:
    return run(["--store", str(store), *map(str, options), "key", "ls"])


def test_ls_shows_what_opens_it(store: Path, words: Path, capsys: Capture) -> None:
    assert opened_with(store, "--passphrase-file", words) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["key", "kind", "made", "label"]
    assert re.fullmatch(r"[0-9a-f]{8} +passphrase +\S+ \S+ +first *", shown[1])
    assert opened_with(store, "--passphrase-file", words, "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["kind"], entry["label"], len(entry["key"])) == ("passphrase", "first", 32)


def test_a_wrong_one_is_one_line(store: Path, tmp_path: Path, capsys: Capture) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("hunter2secret\n")
    assert opened_with(store, "--passphrase-file", wrong) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"modelfloat: the passphrase in {wrong} does not open this store\n"


def test_without_any_and_without_a_terminal(store: Path, capsys: Capture) -> None:
    assert opened_with(store) == 1
    assert capsys.readouterr().err == (
        "modelfloat: the store is encrypted and its key was not given: give its passphrase, a key "
        "file or the recovery sheet\n"
    )


def test_nothing_is_mounted_without_any(
    store: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names could be shown, but every read would fail: a service is to fail when it starts."""
    served = list[str]()

    async def serve(_store: object, path: str, *_: object, **__: object) -> None:
        served.append(path)

    monkeypatch.setattr("modelfloat.fuse.mounting.serve", serve)
    command = ["--store", str(store), "mount", str(tmp_path / "m"), "--foreground"]
    assert run(command) == 1
    assert served == []
    assert "its key was not given" in capsys.readouterr().err


def test_the_terminal_is_asked_once(
    store: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = type_in(monkeypatch, WORDS)
    assert opened_with(store) == 0
    assert asked == [f"passphrase of {store}: "]
    assert WORDS not in "".join(capsys.readouterr())


def test_keys_come_change_and_go(store: Path, words: Path, tmp_path: Path, capsys: Capture) -> None:
    disk, second = tmp_path / "disk.key", tmp_path / "second"
    second.write_text(SECOND)
    base = ["--store", str(store), "--passphrase-file", str(words)]
    assert run([*base, "key", "add", "--label", "disk", "--new-key-file", str(disk)]) == 0
    assert re.fullmatch(r"key [0-9a-f]{8} \(disk\) added\n", capsys.readouterr().out)
    assert disk.stat().st_mode & 0o777 == 0o600
    assert len(disk.read_bytes()) == 32
    assert opened_with(store, "--key-file", disk) == 0
    capsys.readouterr()

    assert run([*base, "key", "change", "--new-passphrase-file", str(second)]) == 0
    said = capsys.readouterr()
    assert re.fullmatch(r"key [0-9a-f]{8} \(first\) changed\n", said.out)
    assert "move everything into a new store" in said.err
    assert opened_with(store, "--passphrase-file", words) == 1
    assert opened_with(store, "--passphrase-file", second) == 0
    capsys.readouterr()

    assert run(["--store", str(store), "--key-file", str(disk), "key", "rm", "first"]) == 0
    said = capsys.readouterr()
    assert "(first) removed" in said.out
    assert "can still open the store with the old one" in said.err
    assert opened_with(store, "--passphrase-file", second) == 1
    assert run(["--store", str(store), "--key-file", str(disk), "key", "rm", "disk"]) == 2
    assert "last one" in capsys.readouterr().err


def test_a_backend_that_is_away_is_named(
    store: Path, words: Path, tmp_path: Path, capsys: Capture
) -> None:
    (store / "backends/d1").rename(tmp_path / "away")
    base = ["--store", str(store), "--passphrase-file", str(words)]
    assert run([*base, "key", "add", "--json", "--new-key-file", str(tmp_path / "k")]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["without"] == ["d1"]
    assert "not on d1, where the keys of before still open the store" in said.err


def test_the_sheet_is_written_and_opens_it(
    store: Path, words: Path, tmp_path: Path, capsys: Capture
) -> None:
    sheet = tmp_path / "sheet"
    base = ["--store", str(store), "--passphrase-file", str(words)]
    assert run([*base, "key", "recovery", str(sheet)]) == 0
    assert "print it, keep it elsewhere" in capsys.readouterr().out
    assert opened_with(store, "--key-file", sheet) == 0
    assert run([*base, "key", "recovery", str(sheet)]) == 1


def source_of(store: Path, environment: dict[str, str], **flags: str) -> str:
    """What opens the store: where it came from."""
    found = keysource.secret_of(resolve(Flags(store=str(store), **flags), environment))
    assert found is not None
    return found.source


def test_nearer_ones_come_first(store: Path, tmp_path: Path) -> None:
    """Flags, variables, credentials of a service, the store's settings."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    files = {name: tmp_path / name for name in ("flag", "variable", "setting")}
    for path in (*files.values(), credentials / "modelfloat-passphrase"):
        path.write_text(f"{path.name} of sixteen bytes")
    assert run(["--store", str(store), "config", "key_file", str(files["setting"])]) == 0
    environment: dict[str, str] = {}
    assert source_of(store, environment).endswith("setting")
    environment["CREDENTIALS_DIRECTORY"] = str(credentials)
    assert source_of(store, environment).endswith("modelfloat-passphrase")
    (credentials / "modelfloat-key").write_bytes(bytes(32))
    assert source_of(store, environment).endswith("modelfloat-key")
    environment["MODELFLOAT_PASSPHRASE"] = "of a variable"
    assert source_of(store, environment) == "$MODELFLOAT_PASSPHRASE"
    environment["MODELFLOAT_PASSPHRASE_FILE"] = str(files["variable"])
    assert source_of(store, environment).endswith("variable")
    assert source_of(store, environment, key_file=str(files["flag"])).endswith("flag")
    assert source_of(store, environment, passphrase_file=str(files["flag"])).endswith("flag")


def test_a_service_without_credentials_of_ours(store: Path, tmp_path: Path) -> None:
    """Others may be there."""
    settings = resolve(Flags(store=str(store)), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert keysource.secret_of(settings) is None


def test_the_variable_is_not_handed_on(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFLOAT_PASSPHRASE", WORDS)
    assert opened_with(store) == 0
    assert "MODELFLOAT_PASSPHRASE" not in os.environ
    assert foreign_variables({"MODELFLOAT_PASSPHRASE": "", "MODELFLOAT_PASPHRASE": ""}) == [
        "MODELFLOAT_PASPHRASE"
    ]


def test_a_store_in_the_clear_asks_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = type_in(monkeypatch)
    assert run(["--store", str(tmp_path / "s"), "--quiet", "init"]) == 0
    assert run(["--store", str(tmp_path / "s"), "verify"]) == 0
    assert run(["--store", str(tmp_path / "none"), "ls"]) == 1
    assert run(["--store", str(tmp_path / "s"), "key", "ls"]) == 2
    assert asked == []


def test_what_needs_no_key_asks_for_none(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asked = type_in(monkeypatch)
    for command in ("ls", "stats", "verify", "verify --repair", "backend ls", "config", "doctor"):
        assert run(["--store", str(store), *command.split()]) == 0, command
    assert asked == []
    capsys.readouterr()


def test_files_that_are_no_use(store: Path, words: Path, tmp_path: Path, capsys: Capture) -> None:
    def said(status: int, *arguments: object) -> str:
        capsys.readouterr()
        assert run(["--store", str(store), *map(str, arguments)]) == status
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Traceback" not in captured.err
        return captured.err

    (tmp_path / "binary").write_bytes(b"\xff" * 32)
    (tmp_path / "short").write_bytes(b"short")
    opened = ["--passphrase-file", words]
    none = tmp_path / "none"
    assert "none cannot be read" in said(2, "--key-file", none, "key", "ls")
    assert "no text" in said(2, "--passphrase-file", tmp_path / "binary", "key", "ls")
    assert "cannot be a key file" in said(2, "--key-file", tmp_path / "short", "key", "ls")
    both = ["--key-file", none, "--passphrase-file", none]
    assert "both given" in said(2, *both, "key", "ls")
    new = ["--new-key-file", none, "--new-passphrase-file", none]
    assert "not both" in said(2, *opened, "key", "add", *new)
    assert "no terminal" in said(2, *opened, "key", "add")
    file = tmp_path / "none" / "key"
    assert "cannot be made" in said(2, *opened, "key", "add", "--new-key-file", file)
    short = ["--new-passphrase-file", tmp_path / "short"]
    assert "less than 8" in said(2, *opened, "key", "add", *short)
    run(["--store", str(store), *map(str, opened), "key", "recovery", str(tmp_path / "sheet")])
    sheet = ["--new-key-file", tmp_path / "sheet"]
    assert "cannot be a key" in said(2, *opened, "key", "add", *sheet)
    assert keyrings(store)["d0"] == ["0000000000000001"]


def test_a_passphrase_is_typed_twice(
    store: Path, words: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ["--store", str(store), "--passphrase-file", str(words), "key", "add"]
    asked = type_in(monkeypatch, SECOND, SECOND)
    assert run(base) == 0
    assert asked == ["new passphrase: ", "the same again: "]
    type_in(monkeypatch, SECOND, SECOND[:-1])
    assert run(base) == 2
    assert "not the same" in capsys.readouterr().err

    def end(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", end)
    assert run(base) == 2
    assert "no passphrase was typed" in capsys.readouterr().err


def test_init_wants_a_way_back(
    tmp_path: Path, words: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "new"
    base = ["--store", str(store), "--passphrase-file", str(words), "init"]
    assert run([*base, "--recovery-file", str(tmp_path / "sheet")]) == 2
    assert "give --encrypt too" in capsys.readouterr().err
    assert run([*base, "--encrypt"]) == 2
    assert "--encrypt needs --recovery-file" in capsys.readouterr().err
    type_in(monkeypatch)
    for typed, status in (("yes", 2), ("", 2), ("no recovery", 0)):
        monkeypatch.setattr("sys.stdin", _Typed(typed))
        assert run([*base, "--encrypt"]) == status
        captured = capsys.readouterr()
        assert "everything in the store is lost" in captured.err
        assert store.exists() == (status == 0)
    assert "WITHOUT a recovery sheet" in captured.out
    assert not (tmp_path / "sheet").exists()


class _Typed:
    """A terminal at which one line is typed."""

    def __init__(self, text: str) -> None:
        self._text = text

    def readline(self) -> str:
        return f"{self._text}\n"


def test_init_makes_a_store_that_opens(tmp_path: Path, words: Path, capsys: Capture) -> None:
    store, sheet, disk = tmp_path / "new", tmp_path / "sheet", tmp_path / "disk.key"
    new = ["--store", str(store), "--key-file", str(disk), "--json", "init", "--encrypt"]
    assert run([*new, "--recovery-file", str(sheet)]) == 0
    assert json.loads(capsys.readouterr().out)["encrypted"] is True
    assert disk.stat().st_mode & 0o777 == sheet.stat().st_mode & 0o777 == 0o600
    assert opened_with(store, "--key-file", disk) == 0
    assert opened_with(store, "--key-file", sheet) == 0
    assert opened_with(store, "--passphrase-file", words) == 1


def test_the_python_api_opens_it(store: Path, tmp_path: Path) -> None:
    (tmp_path / "disk.key").write_bytes(bytes(range(32)))
    with modelfloat.open(store, passphrase=WORDS) as opened:
        assert opened.ls() == []
    with pytest.raises(WrongKeyError, match="the passphrase does not open"):
        modelfloat.open(store, passphrase="another")
    with pytest.raises(WrongKeyError, match=r"disk\.key does not open"):
        modelfloat.open(store, key_file=tmp_path / "disk.key")
    with pytest.raises(UsageError, match="both given"):
        modelfloat.open(store, passphrase=WORDS, key_file="disk.key")


def test_a_process_that_has_a_secret_leaves_no_core(store: Path, words: Path) -> None:
    """Nobody else of this user may read its memory, either."""
    script = (
        "import resource, ctypes; from modelfloat.cli.main import run; "
        f"run(['--store', {str(store)!r}, '--passphrase-file', {str(words)!r}, 'key', 'ls']); "
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 0"


def test_at_a_terminal(tmp_path: Path) -> None:
    """As a user meets it: asked twice, nothing echoed, nothing on any command line."""
    store = tmp_path / "store"
    keyboard, screen = os.openpty()
    command = [sys.executable, "-m", "modelfloat.cli.main", "--store", str(store), "init"]
    sheet = tmp_path / "sheet"
    child = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command, "--encrypt", "--recovery-file", str(sheet)],
        stdin=screen,
        stdout=screen,
        stderr=screen,
    )
    os.close(screen)
    shown = _until(keyboard, b"new passphrase: ")
    os.write(keyboard, SECOND.encode() + b"\n")
    shown += _until(keyboard, b"the same again: ")
    os.write(keyboard, SECOND.encode() + b"\n")
    shown += _until(keyboard, b"delete the file")
    assert child.wait() == 0
    os.close(keyboard)
    assert SECOND.encode() not in shown
    words = tmp_path / "words"
    words.write_text(SECOND)
    assert program("--store", store, "--passphrase-file", words, "key", "ls").returncode == 0


def _until(terminal: int, text: bytes) -> bytes:
    shown = b""
    while text not in shown:
        part = os.read(terminal, 4096)
        assert part, shown
        shown += part
    return shown


def test_what_opens_a_mount_is_handed_over_in_memory(store: Path) -> None:
    from modelfloat.cli.background import hand_over, take_secret

    settings = Settings(str(store), environment={"MODELFLOAT_PASSPHRASE": WORDS})
    secret = keysource.secret_of(settings)
    assert secret is not None
    taken = take_secret(hand_over(secret))
    assert taken == secret
    config = read_config(str(store))
    assert trio.run(unlock_store, str(store), config, taken) == MASTER
