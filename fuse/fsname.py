"""The name under which a store is mounted: its path, in letters that mount options can carry.

What is not printable ASCII, and the percent sign, stands as in a URL: pyfuse3 takes ASCII alone.
"""

import os
import string
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

_PLAIN: Final = "".join(sorted(set(string.printable) - set(string.whitespace) - {"%"})) + " "


def name_of(store: str) -> str:
    """What the mounts of the store in the folder `store` say they are of."""
    return quote_from_bytes(os.fsencode(os.path.realpath(store)), safe=_PLAIN)


def store_of(name: str) -> str:
    """The folder of the store that `name` is of."""
    return os.fsdecode(unquote_to_bytes(os.fsencode(name)))
