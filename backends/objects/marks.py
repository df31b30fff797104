"""Whether an answer is an object store's own: a login page, or a proxy's, has status 200 too.

The library takes any such answer for an object, for a deletion that was done, and any XML for a
listing, of nothing. So we look for what every store sends with an object and a page does not: a
strong entity tag (frameworks for web pages make weak ones, RFC 9110, 8.8.1), the time of the last
change, and a type that is not HTML. Sources: GetObject and PutObject in the Amazon S3 API
Reference, "Get Blob" of Azure, "GET object" in Google's XML API.
"""

from typing import Any

from ...errors import UnavailableError
from .place import Place


def is_genuine(answer: Any) -> bool:
    """Whether a result of the library's `get`, of a body or a head, is of an object.

    A time that the server does not tell is 1970 in the library: ages by that would be decades.
    """
    meta = answer.meta
    said = str(answer.attributes.get("Content-Type", "")).lower()
    dated = meta["last_modified"].timestamp() > 0
    return is_strong(meta["e_tag"]) and dated and "html" not in said


def is_strong(tag: str | None) -> bool:
    """Whether an entity tag is one of an object."""
    return bool(tag) and not str(tag).startswith("W/")


def stranger(backend: str, key: str, place: Place) -> UnavailableError:
    """The error for an answer that no object store gives."""
    about = f": {key}" if key else ""
    return UnavailableError(
        f"backend {backend}{about}: {place.host} answers as no object store does; check its URL, "
        "and whether a proxy or a login page answers in its place",
        backend=backend,
        key=key,
    )
