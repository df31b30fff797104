"""`modelfloat push`: repositories sent to another store, or into a directory to carry about."""

from typing import TYPE_CHECKING

from .options import command
from .settings import Settings
from .transferflags import (
    DryRun,
    Erasure,
    Force,
    OurRepositories,
    Preflight,
    PushedTo,
    Tags,
    TheirKeyFile,
    TheirPassphraseFile,
)

if TYPE_CHECKING:
    from ..cas.store import Store


@command
def push(
    settings: Settings,
    where: PushedTo,
    repositories: OurRepositories,
    tags: Tags = False,
    force: Force = False,
    dry_run: DryRun = False,
    preflight: Preflight = True,
    erasure: Erasure = None,
    their_key_file: TheirKeyFile = None,
    their_passphrase_file: TheirPassphraseFile = None,
) -> None:
    """Send repositories to another store, or into a directory that is carried to it.

    Their history comes too. Only what is missing there is sent; an interrupted push goes on where
    it was. Branches move last, and forward only.
    """
    from ..erasure.scheme import Scheme
    from ..exchanging import push as send
    from ..exchanging import request_of
    from ..otherstore import Other
    from .transfers import carry_out, place_of, their_secret

    place = place_of(where)
    names = (settings.store, place)
    request = request_of(repositories, tags=tags, force=force, preflight=preflight, names=names)
    scheme = None if erasure is None else Scheme.parse(erasure)

    def other(store: "Store") -> Other:
        return Other(
            place,
            store.path,
            their_secret(settings, place, their_key_file, their_passphrase_file),
            make=True,
            erasure=scheme,
            dry_run=dry_run,
            wait=settings.wait,
            signing=store.access.signing,
        )

    carry_out(settings, ("push", "pushed", place), send, other, request)
