"""URLs of object stores: what they say, and what may not stand in them."""

import pytest

from modelfloat.backends.objects.place import Place, parse_place
from modelfloat.errors import UsageError

SECRET = "hunter2"


def place(url: str, **environment: str) -> Place:
    return parse_place("d0", url, environment)


def test_amazon() -> None:
    found = place("s3://models/a/b?region=eu-west-1")
    assert (found.bucket, found.prefix, found.region) == ("models", "a/b", "eu-west-1")
    assert found.endpoint == "https://s3.eu-west-1.amazonaws.com"
    assert found.domain == "s3:s3.eu-west-1.amazonaws.com"
    assert not found.plain


@pytest.mark.parametrize(
    ("url", "endpoint", "domain"),
    [
        ("s3://b?endpoint=s3.example.org", "https://s3.example.org", "s3:s3.example.org"),
        ("s3://b?endpoint=https://S3.Example.org:443/", "https://s3.example.org", None),
        ("s3://b?endpoint=http://h:8333", "http://h:8333", "s3:h"),
        ("s3://b?endpoint=http://[::1]:81", "http://[::1]:81", "s3:[::1]"),
        ("s3://b?endpoint=http://[::1]:80", "http://[::1]", "s3:[::1]"),
        ("s3://b?region=cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn", None),
        ("s3://b", "https://s3.us-east-1.amazonaws.com", None),
        ("gs://b", "https://storage.googleapis.com", "gs:storage.googleapis.com"),
        ("az://b?account=acme", "https://acme.blob.core.windows.net", None),
    ],
)
def test_endpoints(url: str, endpoint: str, domain: str | None) -> None:
    found = place(url)
    assert found.endpoint == endpoint
    assert domain is None or found.domain == domain
    assert found.plain == endpoint.startswith("http:")


def test_what_is_left_out_comes_from_the_environment() -> None:
    assert place("s3://b", AWS_DEFAULT_REGION="eu-west-3").region == "eu-west-3"
    assert place("s3://b?region=a-1", AWS_REGION="eu-west-3").region == "a-1"
    assert place("az://b", AZURE_STORAGE_ACCOUNT_NAME="acme").account == "acme"


def test_buckets_as_hosts() -> None:
    found = place("s3://b/p?endpoint=https://s3.example.org&addressing=virtual")
    assert found.address == "https://b.s3.example.org"
    assert place("s3://b/p?endpoint=https://s3.example.org").address == "https://s3.example.org/b"


@pytest.mark.parametrize(
    ("url", "near"),
    [("127.0.0.1:1", True), ("localhost", True), ("[::1]", True), ("10.0.0.1", False)],
)
def test_what_is_near(url: str, near: bool) -> None:
    assert place(f"s3://b?endpoint=http://{url}").near == near


@pytest.mark.parametrize(
    "url",
    [
        *("s3://", "s3:///prefix", "s3://b:80/x", "s3://b/a b", "s3://b/a/../c", "s3://b/a//c"),
        *("s3://b#fragment", "s3://b?colour=red", "s3://b?region=", "s3://[b", "az://b"),
        *("s3://b?region=a&region=b", "s3://b?region=a%20b", "s3://b?addressing=odd"),
        *("s3://b?endpoint=ftp://h", "s3://b?endpoint=https://h/path", "gs://b?region=x"),
        *("s3://b?endpoint=https://h:port", "s3://b?endpoint=https://"),
        *("s3://b?endpoint=https://h%3Fendpoint=https://g", "gs://b?endpoint=https://h%23x"),
    ],
)
def test_what_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"backend d0: its URL .*; docs/backends\.md shows"):
        place(url)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{SECRET}@b",
        f"s3://b?secret_access_key={SECRET}",
        f"s3://b?aws_session_token={SECRET}&region=a",
        f"az://b?account=a&sas={SECRET}",
        f"az://b?account=a&sig={SECRET}",
        f"s3://b?endpoint=https://u:{SECRET}@h",
        f"gs://b?password={SECRET}",
    ],
)
def test_secrets_are_refused_and_not_told(url: str) -> None:
    with pytest.raises(UsageError, match="credentials do not belong") as caught:
        place(url)
    assert SECRET not in str(caught.value)


def test_an_emulator_on_an_address_has_the_account_in_its_path() -> None:
    own = place("az://models?account=acme&endpoint=http://127.0.0.1:10000")
    assert own.service == "http://127.0.0.1:10000/acme"
    assert place("az://models?account=acme").service == "https://acme.blob.core.windows.net"
