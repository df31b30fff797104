"""`modelfloat pull`: repositories fetched from another store, or from a directory."""

from typing import TYPE_CHECKING

from .options import command
from .settings import Settings
from .transferflags import (
    DryRun,
    Force,
    Preflight,
    PulledFrom,
    Repositories,
    Tags,
    TheirKeyFile,
    TheirPassphraseFile,
)

if TYPE_CHECKING:
    from ..cas.store import Store


@command
def pull(
    settings: Settings,
    where: PulledFrom,
    repositories: Repositories,
    tags: Tags = False,
    force: Force = False,
    dry_run: DryRun = False,
    preflight: Preflight = True,
    their_key_file: TheirKeyFile = None,
    their_passphrase_file: TheirPassphraseFile = None,
) -> None:
    """Fetch repositories from another store, or from a directory that push has made.

    Their history comes too. Only what is missing here is read, and every chunk is verified; an
    interrupted pull goes on where it was. Branches move last, and forward only. With
    --require-signature only what a key signed there comes that this store trusts.
    """
    from ..exchanging import pull as fetch
    from ..exchanging import request_of
    from ..otherstore import Other
    from .transfers import carry_out, place_of, their_secret

    place = place_of(where)
    names = (place, settings.store)
    request = request_of(repositories, tags=tags, force=force, preflight=preflight, names=names)

    def other(store: "Store") -> Other:
        secret = their_secret(settings, place, their_key_file, their_passphrase_file)
        return Other(
            place,
            store.path,
            secret,
            dry_run=dry_run,
            wait=settings.wait,
            require_signature=settings.require_signature,
        )

    # Asked for one pull it is of where that comes from: what is here nobody may have signed.
    ours = settings.require_signature and settings.switch("require_signature", None)
    carry_out(settings, ("pull", "pulled", settings.store), fetch, other, request, signed=ours)
