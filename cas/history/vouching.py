"""Refs signed as they are, and what their signatures are worth: for stores that were not signed
from their beginning, for keys that come and go, and for people who want to know."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import trio

from ...errors import NotFoundError, UsageError
from ...ids import PublicKey
from ..access import Access
from ..formats.journal import RefChanged
from ..index.index import Index
from ..refnames import Address, RefHead
from ..signing.seen import SeenRefs
from ..signing.trust import Trust
from .moving import RefMove, move_ref


@dataclass(frozen=True, slots=True)
class RefState:
    """A head, the key that signed it (None: none did), and what keeps it from being shown where
    signatures are required, "" where nothing does."""

    head: RefHead
    key: PublicKey | None
    problem: str


async def sign_refs(access: Access, address: Address | None) -> list[RefChanged]:
    """Sign the heads that `address` means, all of the store with None, but for those that this key
    has signed already; the changes that were recorded.

    UsageError without a key, NotFoundError without such a ref.
    """
    if access.signing is None:
        raise UsageError(
            "there is no key to sign by: name its file with --sign-key; `modelfloat key sign new "
            "FILE` makes one"
        )
    own = (await trio.to_thread.run_sync(access.signing)).key
    async with access.writing("modelfloat key sign refs", told=False) as journal:
        moves = await trio.to_thread.run_sync(_moves, access.index, address, own)
        return await move_ref(access, journal, moves) if moves else []


def states(
    index: Index, folder: str, keys: Mapping[PublicKey, str], address: Address | None
) -> list[RefState]:
    """What the signatures are worth of the heads that `address` means, all of the store with None,
    to who trusts `keys`; nothing is noted as seen. NotFoundError without such a ref."""
    trust = Trust(index, SeenRefs(folder, index.store), keys)
    found = []
    for _, group in groupby(_heads(index, address), key=lambda h: (h.repo, h.kind, h.ref)):
        heads = list(group)
        problem = trust.judge(heads)
        found += [RefState(h, _key(index, h), str(problem or "")) for h in heads]
    return found


def _moves(index: Index, address: Address | None, own: PublicKey) -> list[RefMove]:
    """Several heads of a ref are left as they are: which of them counts must be said first."""
    moves = []
    for _, group in groupby(_heads(index, address), key=lambda h: (h.repo, h.kind, h.ref)):
        head, *others = group
        if not others and _key(index, head) != own:
            moves.append(RefMove(head.repo, head.kind, head.ref, (head,), head.commit, again=True))
    return moves


def _heads(index: Index, address: Address | None) -> list[RefHead]:
    if address is None:
        return index.refs()
    if address.path:
        raise UsageError(f"{address} is a path: branches and tags are signed, VENDOR/NAME[@REF]")
    heads = [h for h in index.refs(address.repo) if address.rev in (None, h.ref)]
    if not heads:
        raise NotFoundError(
            f"there is no branch or tag {address}; `modelfloat key sign check` shows what is"
        )
    return heads


def _key(index: Index, head: RefHead) -> PublicKey | None:
    """Whose signature a head has, right or not."""
    change = index.change(head.time_ns, head.change)
    return None if change is None or change.signature is None else change.signature.key
