"""Opening a store to list what is in it: its index alone, where that does."""

import contextlib
import os
from collections.abc import Iterator

from .cas.catalog import Catalog, check_index
from .cas.index.index import Index
from .cas.journal.stamp import is_due
from .config import read_config
from .erasure.scheme import Scheme


@contextlib.contextmanager
def open_catalog(path: str, refresh: float) -> Iterator[Catalog | None]:
    """What the index of the store in the folder `path` tells, in the `with` statement.

    None where the store has to be opened: it is encrypted, or it is time to look what other sites
    have done, as every `refresh` seconds; with 0 it never is. Backends are not looked at: that one
    is down, or is configured wrongly, is said by commands that need it.
    """
    path = os.path.realpath(path)
    config = read_config(path)
    if config.encrypted or (refresh and is_due(os.path.join(path, "locks"), refresh)):
        yield None
        return
    scheme = Scheme.parse(config.scheme)
    index = Index.open(os.path.join(path, "index"))
    try:
        check_index(index, config.id, path)
        yield Catalog(path, scheme, index)
    finally:
        index.close()
