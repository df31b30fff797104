"""Where settings come from: the flag, then the environment, then the default."""

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from modelfloat.cas.codecs.effort import Effort
from modelfloat.cas.read.memorylimit import default_limit
from modelfloat.cli.settings import DEFAULT, Flags, Found, Settings, resolve
from modelfloat.cli.settingtable import BY_KEY, SETTINGS
from modelfloat.cli.settingvalues import EFFORTS, duration, size
from modelfloat.config import read_config, write_config
from modelfloat.errors import FormatError, UsageError
from modelfloat.ids import BackendId, StoreId
from modelfloat.storeconfig import BackendConfig, StoreConfig

ROOT, USER = 0, 1000


@pytest.fixture
def uid(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    monkeypatch.setattr(os, "geteuid", lambda: request.param)
    monkeypatch.setenv("HOME", "/users/ada")
    return request.param


BOTH = pytest.mark.parametrize("uid", [ROOT, USER], indirect=True)


@BOTH
@pytest.mark.usefixtures("uid")
def test_flag_before_environment() -> None:
    environment = {"MODELFLOAT_STORE": "/from/environment"}
    assert resolve(Flags(store="/from/flag"), environment).store == "/from/flag"
    assert resolve(Flags(), environment).store == "/from/environment"
    assert resolve(Flags(store=""), environment).store == "/from/environment"


@pytest.mark.parametrize(
    ("uid", "environment", "store"),
    [
        (ROOT, {"XDG_DATA_HOME": "/data"}, "/var/lib/modelfloat"),
        (USER, {"XDG_DATA_HOME": "/data"}, "/data/modelfloat"),
        (USER, {"XDG_DATA_HOME": "relative"}, "/users/ada/.local/share/modelfloat"),
        (USER, {"MODELFLOAT_STORE": ""}, "/users/ada/.local/share/modelfloat"),
    ],
    indirect=["uid"],
)
@pytest.mark.usefixtures("uid")
def test_default_store(environment: dict[str, str], store: str) -> None:
    assert resolve(Flags(), environment).store == store


@pytest.mark.parametrize(
    ("uid", "directory"), [(ROOT, "/models"), (USER, "/users/ada/modelfloat")], indirect=["uid"]
)
@pytest.mark.usefixtures("uid")
def test_default_mount_point(directory: str) -> None:
    assert Settings("/s").text("mount") == directory
    settings = Settings("/s", environment={"MODELFLOAT_MOUNT": "/m"})
    assert settings.text("mount") == "/m"
    assert settings.text("mount", "/flag") == "/flag"


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve(Flags(store="here/../store"), {}).store == str(tmp_path / "store")
    assert Settings("/s").text("mount", "m") == str(tmp_path / "m")


def test_inner_options_win_and_switches_add_up() -> None:
    outer = Flags(store="/outer", json=True)
    assert outer.merged(Flags(store="/inner", quiet=True)) == Flags("/inner", True, True, False)
    assert outer.merged(Flags(verbose=True)) == Flags("/outer", True, False, True)


@pytest.fixture
def git_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty git configuration of our own; the machine's is not looked at."""
    config = tmp_path / "gitconfig"
    config.write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return config


def author(environment: dict[str, str]) -> str:
    return Settings("/s", environment=environment).text("author")


def _login() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def test_author_from_the_environment(git_config: Path) -> None:
    git_config.write_text("[user]\nname = Git\n")
    assert author({"MODELFLOAT_AUTHOR": "Ada <ada@example.org>"}) == "Ada <ada@example.org>"


def test_author_from_git(git_config: Path) -> None:
    if subprocess.run(["git", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("git is not installed")
    git_config.write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    assert author({}) == "Ada <ada@example.org>"
    git_config.write_text("[user]\nname = Ada\n")
    assert author({}) == "Ada"
    git_config.write_text("[user]\nname = Ada\nname = Eva\nemail = e@x.org\n[author]\nname = Ida\n")
    assert author({}) == "Ida <e@x.org>"
    assert author({"GIT_AUTHOR_NAME": "Ute", "GIT_AUTHOR_EMAIL": "u@x.org"}) == "Ute <u@x.org>"
    git_config.write_text("[user]\nname = Ada\nname = Eva\n")
    assert author({}) == "Eva"


@pytest.mark.usefixtures("git_config")
def test_author_as_typed_comes_first() -> None:
    settings = Settings("/s", environment={"MODELFLOAT_AUTHOR": "Eva"}, stored={"author": "Ida"})
    assert settings.text("author", "Ada") == "Ada"
    assert settings.text("author") == "Eva"
    assert Settings("/s", stored={"author": "Ida"}).text("author") == "Ida"


def test_author_without_git_is_the_login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert author({}) == _login()


@pytest.mark.usefixtures("git_config")
def test_author_that_git_does_not_know_is_the_login_name() -> None:
    assert author({}) == _login()


STORE = StoreConfig(
    StoreId(bytes(16)),
    "1+1",
    (BackendConfig("d0", "d0", BackendId(b"1" * 16)),),
    {"wait": False, "mount": "/from/store", "author": 'Größe "x"'},
)


@pytest.fixture
def store(tmp_path: Path) -> str:
    write_config(str(tmp_path), STORE)
    return str(tmp_path)


def test_the_stores_configuration_comes_after_the_environment(store: str) -> None:
    settings = resolve(Flags(store=store), {"MODELFLOAT_MOUNT": "/from/environment"})
    assert settings.find("mount", "/flag") == Found("/flag", "DIR")
    assert settings.find("mount") == Found("/from/environment", "$MODELFLOAT_MOUNT")
    assert settings.find("author") == Found('Größe "x"', f"{store}/config.toml")
    assert settings.wait is False
    assert resolve(Flags(store=store, wait=True), {}).wait is True
    assert resolve(Flags(store=store), {"MODELFLOAT_WAIT": "yes"}).wait is True
    assert resolve(Flags(store=store + "/none"), {}).find("wait") == Found(True, DEFAULT)


def test_settings_survive_a_rewriting_of_the_configuration(store: str) -> None:
    config = read_config(store)
    assert config == STORE
    write_config(store, config)
    assert read_config(store).settings == STORE.settings


@pytest.mark.parametrize("line", ["wait = []", "Wait = true", '"a b" = 1', "t = 2026-01-01"])
def test_settings_that_are_no_values_are_refused(store: str, line: str) -> None:
    file = Path(store, "config.toml")
    file.write_text(file.read_text() + f"\n[x]\n{line}\n")
    with pytest.raises(FormatError, match="does not know"):
        read_config(store)
    file.write_text(f'[store]\nid = "{"0" * 32}"\nerasure = "1+1"\n[settings]\n{line}\n')
    with pytest.raises(FormatError, match="settings"):
        read_config(store)


def test_a_value_that_cannot_be_is_told_with_its_place(store: str) -> None:
    with pytest.raises(UsageError, match=r"\$MODELFLOAT_WAIT: 'maybe' cannot be: write yes or no"):
        _ = resolve(Flags(store=store), {"MODELFLOAT_WAIT": "maybe"}).wait
    settings = Settings("/s", stored={"wait": 7})
    with pytest.raises(FormatError, match=r"wait in /s/config.toml: '7'"):
        _ = settings.wait


def test_unknown_settings_are_named() -> None:
    settings = Settings("/s", stored={"wiat": True, "store": "/x", "wait": True})
    assert settings.unknown() == ["store", "wiat"]
    with pytest.raises(FormatError, match="sets store, wiat, which is no setting"):
        settings.refuse_unknown()


def test_no_home_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: USER)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(UsageError, match=r"no home folder .* --store"):
        resolve(Flags(), {})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1000", 1000),
        ("4GB", 4 * 10**9),
        ("256 MiB", 256 << 20),
        ("1.5k", 1500),
        ("2T", 2 * 10**12),
    ],
)
def test_sizes(text: str, wanted: int) -> None:
    assert size(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("30", 30), ("14d", 14 * 86400), ("2 h", 7200), ("0", 0), ("1.5min", 90), ("500ms", 0.5)],
)
def test_durations(text: str, wanted: float) -> None:
    assert duration(text) == wanted


@pytest.mark.parametrize("text", ["", "-1", "4 bytes", "GB", "1e9", "∞"])
def test_what_is_no_size_and_no_duration(text: str) -> None:
    for read in (size, duration):
        with pytest.raises(ValueError, match="write a"):
            read(text)


@pytest.mark.parametrize("digits", ["999999999999999", "9" * 400])
def test_what_is_beyond_any_disk_and_any_date(digits: str) -> None:
    for read, unit in ((size, "TB"), (duration, "d")):
        with pytest.raises(ValueError, match="at most"):
            read(f"{digits}{unit}")


def test_the_table_is_of_one_form() -> None:
    assert len(BY_KEY) == len(SETTINGS)
    for setting in SETTINGS:
        assert setting.key == setting.key.lower().replace("-", "_")
        assert setting.doc
        assert not setting.doc.endswith(".")


def test_the_efforts_are_those_of_the_engine() -> None:
    assert tuple(each.value for each in Effort) == EFFORTS


def test_memory_is_a_size_that_reading_can_do_with() -> None:
    assert Settings("/s").number("memory", "512MB") == 512_000_000
    assert Settings("/s").number("memory") == default_limit()
    with pytest.raises(UsageError, match=r"--memory.*at least 64MiB"):
        Settings("/s").number("memory", "10MB")


def test_a_minute_is_not_taken_for_a_month() -> None:
    with pytest.raises(ValueError, match="5min, 30s or 500ms"):
        duration("1m")


def test_how_nothing_is_told_to_prometheus() -> None:
    read = BY_KEY["metrics"].read
    assert read("off") == "off"
    with pytest.raises(ValueError, match=r"as 127\.0\.0\.1:9100; off tells nothing$"):
        read("70000")
