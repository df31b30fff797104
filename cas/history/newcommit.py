"""Commits as they are made now: with the clock and the zone of this machine."""

import time
from collections.abc import Sequence

from ...erasure.scheme import Scheme
from ...ids import ObjectId
from ..formats.commit import Commit, encode_commit


def new_commit(
    tree: ObjectId,
    parents: Sequence[ObjectId],
    author: str,
    message: str,
    erasure: Scheme | None,
    now_ns: int | None = None,
) -> bytes:
    """The object of a commit made at `now_ns` (ns since the epoch), None: now.

    `erasure` is the repository's own scheme: a commit takes it over from the one before.
    """
    now = time.time_ns() if now_ns is None else now_ns
    zone = time.localtime(now // 1_000_000_000).tm_gmtoff // 60
    return encode_commit(Commit(tree, tuple(parents), now, zone, author, message, erasure))
