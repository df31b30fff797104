"""`config`: each setting, its value and its origin; setting one in the store's configuration."""

import json
from pathlib import Path

import pytest

from modelfloat.cli.main import run
from modelfloat.cli.settingtable import SETTINGS
from modelfloat.config import read_config, write_config
from modelfloat.ids import BackendId, StoreId
from modelfloat.storeconfig import BackendConfig, StoreConfig

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    backend = BackendConfig("d0", "backends/d0", BackendId(b"1" * 16))
    (tmp_path / "locks").mkdir()
    write_config(str(tmp_path), StoreConfig(StoreId(bytes(16)), "1+1", (backend,)))
    monkeypatch.setenv("MODELFLOAT_STORE", str(tmp_path))
    return str(tmp_path)


def shown(capsys: Capture) -> dict[str, dict[str, object]]:
    assert run(["config", "--json"]) == 0
    return {row["setting"]: row for row in json.loads(capsys.readouterr().out)}


def test_every_setting_with_its_origin(
    store: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELFLOAT_AUTHOR", "Ada")
    assert run(["config", "mount", "/mine"]) == 0
    rows = shown(capsys)
    assert set(rows) == {setting.key for setting in SETTINGS}
    assert rows["store"]["from"] == "$MODELFLOAT_STORE"
    assert (rows["author"]["value"], rows["author"]["from"]) == ("Ada", "$MODELFLOAT_AUTHOR")
    assert (rows["mount"]["value"], rows["mount"]["from"]) == ("/mine", f"{store}/config.toml")
    assert (rows["wait"]["value"], rows["wait"]["from"]) == (True, "default")
    assert run(["config", "--no-wait"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["setting", "value", "from"]
    assert next(line for line in lines if line.startswith("wait")).split()[1:3] == ["no", "--wait"]


def test_one_setting_alone(capsys: Capture) -> None:
    assert run(["config", "wait"]) == 0
    assert capsys.readouterr().out == "yes\n"


@pytest.mark.parametrize(("given", "text"), [("1073741824", "1GiB"), ("500 MB", "500MB")])
def test_memory_is_shown_as_other_sizes_are(given: str, text: str, capsys: Capture) -> None:
    assert run(["config", "memory", given]) == 0
    assert run(["config", "memory"]) == 0
    assert capsys.readouterr().out == f"{text}\n"


def test_setting_and_unsetting(store: str, capsys: Capture) -> None:
    assert run(["config", "wait", "no"]) == 0
    assert read_config(store).settings == {"wait": False}
    assert shown(capsys)["wait"]["value"] is False
    assert run(["config", "--unset", "wait"]) == 0
    assert read_config(store).settings == {}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["wiat"], 2, "there is no setting wiat; `modelfloat config` lists what there is"),
        (["wiat", "1"], 2, "there is no setting wiat; `modelfloat config` lists what there is"),
        (["wait", "maybe"], 2, "wait: 'maybe' cannot be: write yes or no"),
        (["store", "/x"], 2, "store says where the store is: use --store or $MODELFLOAT_STORE"),
        (["--unset"], 2, "write `config KEY VALUE`, or `config --unset KEY`"),
        (["--unset", "wait", "no"], 2, "write `config KEY VALUE`, or `config --unset KEY`"),
        (["--unset", "wait"], 1, "{store}/config.toml does not set wait"),
        (["wait", "no", "--store", "{store}/none"], 1, "there is no store at {store}/none;"),
    ],
)
def test_what_cannot_be_set(
    arguments: list[str], status: int, line: str, store: str, capsys: Capture
) -> None:
    assert run(["config", *(a.format(store=store) for a in arguments)]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"modelfloat: {line.format(store=store)}")
    assert captured.err.count("\n") == 1


def test_values_that_cannot_be_are_shown_and_hide_no_other(
    store: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELFLOAT_WAIT", "maybe")
    file = Path(store, "config.toml")
    file.write_text(file.read_text() + '\n[settings]\nwiat = 1\nmount = ""\n')
    assert run(["config"]) == 2
    out = capsys.readouterr().out
    assert "wait: $MODELFLOAT_WAIT: 'maybe' cannot be: write yes or no" in out
    assert f"mount: mount in {store}/config.toml: '' cannot be" in out
    assert f"wiat: {store}/config.toml sets it, but it is no setting" in out
    assert "author" in out


def test_without_a_store_the_settings_are_shown(capsys: Capture, tmp_path: Path) -> None:
    assert run(["config", "--store", str(tmp_path / "none")]) == 0
    assert str(tmp_path / "none") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "typed", "said"),
    [
        *(("grace", "14d", "14d"), ("grace", "90", "90s"), ("grace", "0", "0")),
        *(("reserve", "256MiB", "256MiB"), ("reserve", "400MB", "400MB")),
    ],
)
def test_a_value_is_shown_as_it_can_be_typed(
    key: str, typed: str, said: str, capsys: Capture
) -> None:
    assert run(["config", key, typed]) == 0
    capsys.readouterr()
    assert run(["config", key]) == 0
    assert capsys.readouterr().out == f"{said}\n"
