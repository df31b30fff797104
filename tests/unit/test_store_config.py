"""A store's configuration: what is written is read back, and nothing unknown is lost in silence."""

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.config import config_path, read_config, write_config
from modelfloat.configtoml import encode_config
from modelfloat.errors import FormatError, ModelFloatError, NotFoundError, UsageError
from modelfloat.ids import BackendId, StoreId
from modelfloat.storeconfig import BackendConfig, StoreConfig, check_backend_name, check_weight

STORE = StoreId(bytes(range(16)))
FIRST = BackendConfig("d0", "backends/d0", BackendId(b"\x01" * 16))
SECOND = BackendConfig(
    "big-disk", "/disk 1/café", BackendId(b"\x02" * 16), "disk1", 2.5, 10**13, rate="9/s"
)
CONFIG = StoreConfig(STORE, "4+2", (FIRST, SECOND))

HEAD = f'[store]\nid = "{STORE.hex()}"\nerasure = "4+2"\n'
BACKEND = f'[[backend]]\nname = "d0"\nurl = "x"\nuuid = "{"0" * 32}"\n'


def test_round_trip(tmp_path: Path) -> None:
    write_config(str(tmp_path), CONFIG)
    assert read_config(str(tmp_path)) == CONFIG


def test_rewriting_replaces_the_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_config(str(tmp_path), CONFIG)
    write_config(str(tmp_path), StoreConfig(STORE, "1+1", (SECOND,)))
    assert read_config(str(tmp_path)).backends == (SECOND,)
    assert os.listdir(tmp_path) == ["config.toml"]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    write_config(str(tmp_path), CONFIG)
    assert stat.S_IMODE(os.stat(config_path(str(tmp_path))).st_mode) == 0o600


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(url=texts, domain=st.none() | texts, weight=st.floats(1e-9, 1e9))
def test_any_text_survives(url: str, domain: str | None, weight: float) -> None:
    backend = BackendConfig("d0", url, BackendId(bytes(16)), domain, weight)
    table = tomllib.loads(encode_config(StoreConfig(STORE, "4+2", (backend,))).decode())
    (read,) = table["backend"]
    assert (read["url"], read.get("domain"), read["weight"]) == (url, domain, weight)


def test_text_that_is_not_unicode_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    write_config(str(tmp_path), CONFIG)
    backend = BackendConfig("d0", "/disk/\udcff", BackendId(bytes(16)))
    with pytest.raises(UsageError, match="UTF-8"):
        write_config(str(tmp_path), StoreConfig(STORE, "4+2", (backend,)))
    assert read_config(str(tmp_path)) == CONFIG


def test_no_store_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="modelfloat init"):
        read_config(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[store]\nid = x", FormatError, "line 2"),
        ("\xff", FormatError, "TOML"),
        ("", FormatError, r"\[store\]"),
        ("store = 1\n", FormatError, r"\[store\]"),
        (f'[store]\nid = "{STORE.hex()}"\n', FormatError, "erasure"),
        ('[store]\nid = "xyz"\nerasure = "4+2"\n', FormatError, "hex"),
        (f'[store]\nid = "{STORE.hex().upper()}"\nerasure = "4+2"\n', FormatError, "hex"),
        (HEAD + "erasure2 = 1\n", FormatError, r"store\.erasure2"),
        (HEAD + "[cache]\nsize = 1\n", FormatError, "cache"),
        (HEAD + "[backend]\nname = 'a'\n", FormatError, "double brackets"),
        (HEAD + "backend = 3\n" + "", FormatError, r"store\.backend"),
        (HEAD + BACKEND + "token = 'x'\n", FormatError, r"backend\.token"),
        (HEAD + BACKEND + "weight = 'x'\n", FormatError, "weight"),
        (HEAD + BACKEND + "weight = true\n", FormatError, "weight"),
        (HEAD + BACKEND + "weight = 0\n", FormatError, "weight"),
        (HEAD + BACKEND + "weight = inf\n", FormatError, "weight"),
        (HEAD + BACKEND + "capacity = 1.5\n", FormatError, "whole number of bytes"),
        (HEAD + BACKEND + "capacity = true\n", FormatError, "whole number of bytes"),
        (HEAD + BACKEND + "capacity = 0\n", FormatError, "at least one byte"),
        (HEAD + BACKEND + 'rate = "fast"\n', FormatError, "rate cannot be 'fast'"),
        (HEAD + BACKEND + "rate = 5\n", FormatError, "must be there and be text"),
        (HEAD + BACKEND + "domain = 7\n", FormatError, "domain"),
        (HEAD + BACKEND.replace('url = "x"', ""), FormatError, "url"),
        (HEAD + BACKEND.replace("d0", "a/b"), FormatError, "cannot name a backend"),
        (HEAD + BACKEND + BACKEND.replace("0" * 32, "1" * 32), FormatError, "two backends"),
        (HEAD + BACKEND + BACKEND.replace("d0", "d1"), FormatError, "one backend"),
    ],
)
def test_malformed_files(
    tmp_path: Path, text: str, error: type[ModelFloatError], message: str
) -> None:
    (tmp_path / "config.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(error, match=message) as raised:
        read_config(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_weight_defaults_to_one_and_may_be_whole(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(HEAD + BACKEND)
    assert read_config(str(tmp_path)).backends[0].weight == 1.0
    (tmp_path / "config.toml").write_text(HEAD + BACKEND + "weight = 3\n")
    assert read_config(str(tmp_path)).backends[0].weight == 3.0


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "a=b", "a,b", "ä", "a" * 65])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UsageError):
        check_backend_name(name)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_cannot_be(weight: float) -> None:
    with pytest.raises(UsageError):
        check_weight(weight)
