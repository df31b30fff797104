"""What servers and the library say, as one of our errors; each text was met with obstore 0.12."""

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from modelfloat.backends.objects.errors import translate
from modelfloat.backends.objects.place import parse_place
from modelfloat.errors import (
    BackendError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    UnavailableError,
)

PLACE = parse_place("d0", "s3://models?endpoint=https://s3.example.org", {})
SIGNED = "https://acme.example.org/c/a?sig=hunter2"


def answered(status: str, code: str = "") -> str:
    body = f'<?xml version="1.0"?>\n<Error><Code>{code}</Code></Error>' if code else ""
    return (
        f"Error performing GET {SIGNED} in 1.1ms - Server returned non-2xx status code: {status}: "
        f"{body}\n\nDebug source:\nGeneric"
    )


@pytest.mark.parametrize(
    ("error", "text", "expected", "said"),
    [
        (FileNotFoundError, answered("404 Not Found", "NoSuchKey"), KeyNotFoundError, "not there"),
        (FileNotFoundError, answered("404 x", "NoSuchBucket"), UnavailableError, "bucket models;"),
        (GenericError, answered("404 x", "NoSuchBucket"), UnavailableError, "bucket models;"),
        (FileNotFoundError, answered("404 Not Found"), UnavailableError, "answers 404;"),
        (FileNotFoundError, "404: <html>wrong place", UnavailableError, "cannot be reached"),
        (PermissionDeniedError, answered("403 Forbidden"), DeniedError, "no good for it (403)"),
        (GenericError, answered("400 x", "ExpiredToken"), DeniedError, "(ExpiredToken); check"),
        (GenericError, answered("403 x", "RequestTimeTooSkewed"), DeniedError, "clock of this"),
        (GenericError, "Received redirect without LOCATION", DeniedError, "check region="),
        (GenericError, answered("301 x", "PermanentRedirect"), DeniedError, "check region="),
        (GenericError, answered("501 x", "NotImplemented"), DeniedError, "NotImplemented; check"),
        (GenericError, answered("503 x", "SlowDown"), UnavailableError, "answers 503 (SlowDown)"),
        (GenericError, answered("429 x"), UnavailableError, "answers 429;"),
        (GenericError, answered("409 x", "OperationAborted"), UnavailableError, "answers 409"),
        (GenericError, answered("507 Insufficient Storage"), QuotaError, "no room left (507)"),
        (GenericError, answered("500 x", "XMinioStorageFull"), QuotaError, "(XMinioStorageFull)"),
        (GenericError, 'source: "Connection refused"', UnavailableError, "refuses connections"),
        (GenericError, "dns error", UnavailableError, "has no address"),
        (GenericError, "something new", UnavailableError, "cannot be reached;"),
    ],
)
def test_texts_become_errors(
    error: type[Exception], text: str, expected: type[BackendError], said: str
) -> None:
    found = translate(error(text), "d0", "packs/ab", PLACE)
    assert type(found) is expected
    assert said in str(found)
    assert (found.backend, found.key) == ("d0", "packs/ab")
    assert str(found).startswith("backend d0: ")
    assert "\n" not in str(found)
    assert "hunter2" not in str(found)
