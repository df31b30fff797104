"""`modelfloat cat`: write a stored file to standard output."""

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Final

from ..errors import DamageError
from .completion import named
from .options import command
from .output import one_line, to_stdout
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.store import Store

PIECE: Final = 4 << 20
"""Bytes of a file that are written in one go: what is loaded at a time, mostly."""


@command
def cat(
    settings: Settings,
    address: Annotated[
        str,
        named("VENDOR/NAME[@REV]/PATH", "The file to write."),
    ],
) -> None:
    """Write a stored file to standard output."""
    in_store(settings, lambda store: _copy(store, address))


async def _copy(store: "Store", text: str) -> None:
    import trio

    from ..cas.get.landing import write_all
    from ..cas.refnames import parse_address

    address = parse_address(text)
    with contextlib.closing(store.open_file(address)) as reader:
        stdout = sys.stdout.fileno()
        offset = 0
        while offset < reader.size:
            spans = reader.spans(offset, PIECE)
            try:
                parts = await reader.parts(spans)
            except DamageError as error:
                raise type(error)(f"{one_line(text)}: {error}") from error
            # A reader that stopped reading would hold the thread: let Ctrl-C leave it behind.
            with to_stdout():
                await trio.to_thread.run_sync(write_all, stdout, parts, abandon_on_cancel=True)
            offset = spans[-1].offset + spans[-1].raw
