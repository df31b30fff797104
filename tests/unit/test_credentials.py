"""Whose keys are used: the backend's own, the URL's profile, the environment's, the default's."""

from pathlib import Path

import pytest

from modelfloat.backends.credentials import S3Keys, own_value, own_variable, s3_keys
from modelfloat.backends.objects.place import Place, parse_place
from modelfloat.errors import DeniedError

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}


def elsewhere(extra: str = "") -> Place:
    return parse_place("d0", f"s3://b?endpoint=https://s3.example.org{extra}", {})


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, str]:
    """An environment that names a file with profiles."""
    path = tmp_path / "credentials"
    path.write_text(
        "[default]\naws_access_key_id = file\naws_secret_access_key = s%s\n"
        "[work]\naws_access_key_id=work\naws_secret_access_key=w\naws_session_token=token\n"
        "[sso]\nsso_session = x\n"
    )
    return {"AWS_SHARED_CREDENTIALS_FILE": str(path)}


def test_the_order(shared: dict[str, str]) -> None:
    own = {"MODELFLOAT_MY_S3_ACCESS_KEY_ID": "own", "MODELFLOAT_MY_S3_SECRET_ACCESS_KEY": "o"}
    everything = {**shared, **ENVIRONMENT, **own}
    work = elsewhere("&profile=work")
    assert s3_keys("my-s3", work, everything) == S3Keys("own", "o")
    assert s3_keys("other", work, everything) == S3Keys("work", "w", "token")
    assert s3_keys("other", elsewhere(), everything) == S3Keys("env", "s", "t")
    assert s3_keys("other", elsewhere(), shared) == S3Keys("file", "s%s")
    assert s3_keys("other", elsewhere(), {**shared, "AWS_PROFILE": "work"}).access_key_id == "work"


def test_a_role_is_found_by_the_library() -> None:
    role = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_SHARED_CREDENTIALS_FILE": "/none"}
    assert s3_keys("d0", elsewhere(), role) is None
    amazon = parse_place("d0", "s3://b", {})
    assert s3_keys("d0", amazon, {"AWS_SHARED_CREDENTIALS_FILE": "/none"}) is None


def test_none_at_all() -> None:
    """Only Amazon's own endpoints get the keys of a machine's role."""
    with pytest.raises(DeniedError, match=r"MODELFLOAT_D0_ACCESS_KEY_ID and so on"):
        s3_keys("d0", elsewhere(), {"AWS_SHARED_CREDENTIALS_FILE": "/none"})


def test_line_breaks_at_the_ends_are_no_part_of_keys() -> None:
    """As a variable has them that was read from a file."""
    own = {"AWS_ACCESS_KEY_ID": "env\n", "AWS_SECRET_ACCESS_KEY": " s\r\n"}
    assert s3_keys("d0", elsewhere(), own) == S3Keys("env", "s")
    assert own_value("d0", "SAS_TOKEN", {"MODELFLOAT_D0_SAS_TOKEN": "sig=x\n"}) == "sig=x"


@pytest.mark.parametrize("name", ENVIRONMENT)
@pytest.mark.parametrize("value", ["hunter2\nx", "hunter2 x", "hunter2\x00", "hunter2é"])
def test_keys_that_cannot_be_are_refused(name: str, value: str) -> None:
    """The library panics over them."""
    with pytest.raises(DeniedError, match="characters that no key has") as caught:
        s3_keys("d0", elsewhere(), {**ENVIRONMENT, name: value})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("profile", ["sso", "none"])
def test_a_profile_without_keys(profile: str, shared: dict[str, str]) -> None:
    with pytest.raises(DeniedError, match=f"has no keys for the profile '{profile}'"):
        s3_keys("d0", elsewhere(f"&profile={profile}"), shared)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_bytes(b"\xff\xfe no [ini\n")
    with pytest.raises(DeniedError, match="no credentials for"):
        s3_keys("d0", elsewhere(), {"AWS_SHARED_CREDENTIALS_FILE": str(path)})


def test_keys_do_not_show() -> None:
    assert "hunter2" not in repr(S3Keys("id", "hunter2", "hunter2"))
    assert own_variable("my-s3.eu", "X") == "MODELFLOAT_MY_S3_EU_X"
