"""Where settings come from: the flag, then the environment, then the default."""

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from modelfloat.cli.settings import Flags, author, mount_point, resolve

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
    assert mount_point(None, {}) == directory
    assert mount_point(None, {"MODELFLOAT_MOUNT": "/m"}) == "/m"
    assert mount_point("/flag", {"MODELFLOAT_MOUNT": "/m"}) == "/flag"


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve(Flags(store="here/../store"), {}).store == str(tmp_path / "store")
    assert mount_point("m", {}) == str(tmp_path / "m")


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


def test_author_without_git_is_the_login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert author({}) == _login()


@pytest.mark.usefixtures("git_config")
def test_author_that_git_does_not_know_is_the_login_name() -> None:
    assert author({}) == _login()
