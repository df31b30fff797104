"""What may be printed and written down of URLs: never what stands before their `@`.

Keys hold any characters, `/` and `@` too, and nobody writes them as URLs want them. So all up to
the last `@` goes: what is told of a place may be too short, but holds no secret. And so does the
value of a parameter whose name sounds like a secret.
"""

import re
from typing import Final

_BEGIN: Final = r"\b([A-Za-z][A-Za-z0-9+.-]*://)(?!/|localhost/)"
"""A URL's scheme; with a slash right behind it, it is a path here, and may have an `@` itself."""
_URL: Final = re.compile(rf"{_BEGIN}.*@", re.DOTALL)
_WORD: Final = re.compile(rf"{_BEGIN}\S*@")
_PARAMETER: Final = re.compile(
    r"([?&][^=&\s]*(?:key|secret|token|pass|sig|cred|sas)[^=&\s]*=)[^&\s]+", re.IGNORECASE
)


def redact(url: str) -> str:
    """`url`, or a text that ends with one, without user information."""
    return _PARAMETER.sub(r"\1…", _URL.sub(r"\1", url))


def redact_text(text: str) -> str:
    """A text for people without the user information of the URLs in it."""
    return _PARAMETER.sub(r"\1…", _WORD.sub(r"\1", text))
