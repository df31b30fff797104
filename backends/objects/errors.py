"""Answers of object stores, translated into the error tree.

The library tells a failure as a text: the request, the HTTP status, the body of the answer. Of that
we take the status, the code in the body and the reason of a broken connection, and nothing else: a
signed URL would be a secret. Sources: "Error responses" in the API references of Amazon S3, Google
Cloud Storage (XML) and Azure Blob Storage.
"""

import re
from typing import Final

from ...errors import (
    BackendError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    UnavailableError,
)
from .place import Place

NO_BUCKET: Final = frozenset({"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"})
NO_KEY: Final = frozenset({"NoSuchKey", "NoSuchVersion", "BlobNotFound"})
FULL: Final = frozenset(
    {
        "AccountQuotaExceeded",
        "InsufficientStorage",
        "QuotaExceeded",
        "StorageFull",
        "XMinioAdminBucketQuotaExceeded",
        "XMinioStorageFull",
    }
)
SKEWED: Final = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
REFUSED: Final = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
"""Codes of credentials that are no longer good, which come with status 400."""

_STATUS: Final = re.compile(r"status code: ([1-5][0-9]{2})")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_DEBUG: Final = "\n\nDebug source:"
_REASONS: Final = (
    ("Connection refused", "refuses connections"),
    ("dns error", "has no address: its name cannot be looked up"),
    ("InvalidCertificate", "shows a certificate that is not trusted"),
    ("TimedOut", "does not answer in time"),
    ("ConnectionReset", "breaks connections off"),
    ("IncompleteMessage", "breaks connections off"),
    ("IncompleteBody", "breaks answers off"),
    ("error decoding response body", "breaks answers off"),
    ("ALLOW_HTTP", "is asked for without TLS"),
    ("URL scheme is not allowed", "sends us to a place without TLS"),
    ("xml", "answers with what no object store says"),
    ("non-partial", "answers with more than was asked for"),
    ("unwrap()", "cannot be asked: the library obstore failed"),
)


def status_of(error: BaseException) -> int:
    """The HTTP status that `error` tells of; 0 where it tells of none."""
    found = _STATUS.search(str(error).partition(_DEBUG)[0])
    return int(found[1]) if found else 0


def code_of(error: BaseException) -> str:
    """The code in the answer's body, "" where there is none: answers to HEAD have no body."""
    found = _CODE.search(str(error).partition(_DEBUG)[0])
    return found[1] if found else ""


def is_missing(error: BaseException) -> bool:
    """Whether the answer is 404, of a key or of a bucket."""
    return isinstance(error, FileNotFoundError) or status_of(error) == 404


def is_behind_the_end(error: BaseException) -> bool:
    """Whether the answer is that the object has no byte where the range begins; the library sees
    that for itself where a server has no status for it."""
    return status_of(error) == 416 or "StartTooLarge" in str(error)


def translate(error: BaseException, backend: str, key: str, place: Place) -> BackendError:
    """`error` of the library, met with `key`, as one of ours; UnavailableError what may pass.

    A 404 is KeyNotFoundError only where the answer says that it means the key.
    """
    about = f": {key}" if key else ""
    status, code = status_of(error), code_of(error)
    if code in NO_BUCKET:
        return UnavailableError(
            f"backend {backend}: {place.host} has no bucket {place.bucket}; make it there, or "
            "correct the URL",
            backend=backend,
            key=key,
        )
    if is_missing(error) and code in NO_KEY:
        return KeyNotFoundError(f"backend {backend}{about} is not there", backend=backend, key=key)
    if status == 507 or code in FULL:
        return QuotaError(
            f"backend {backend}{about}: {place.host} has no room left ({code or status}); free "
            "some there or add a backend",
            backend=backend,
            key=key,
        )
    if refused := _refused(error, status, code):
        return DeniedError(
            f"backend {backend}{about}: {place.host} refuses it: {refused}",
            backend=backend,
            key=key,
        )
    return UnavailableError(
        f"backend {backend}{about}: {place.host} {_reason(error, status, code)}; check its URL, "
        "the network and the server",
        backend=backend,
        key=key,
    )


def _refused(error: BaseException, status: int, code: str) -> str:
    """What is refused and what to do; "" where nothing is."""
    if code in SKEWED:
        return f"the clock of this machine is wrong ({code}); set it"
    if status in (401, 403) or code in REFUSED:
        return (
            f"the credentials are no good for it ({code or status}); check the keys in the "
            "environment, and what they allow"
        )
    if 300 <= status < 400 or "LOCATION" in str(error):
        return "the bucket is elsewhere; check region= and endpoint= in the URL"
    if (400 <= status < 500 and status not in (404, 408, 409, 412, 429)) or status == 501:
        return f"{code or status}; check the URL"
    return ""


def _reason(error: BaseException, status: int, code: str) -> str:
    """Why nothing came, in a few words."""
    if status:
        return f"answers {status}" + (f" ({code})" if code else "")
    text = str(error)
    return next((told for said, told in _REASONS if said in text), "cannot be reached")
