"""Puts whose end is awaited: what follows them for the same key must not be overtaken.

A put that is cancelled may be carried out all the same, later. A record that says that somebody is
at work would be there again after its removal, and others would wait for nobody.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ...errors import one_failure

LANDS: Final = 2.0
"""Seconds that a put which was sent has to be answered, once nobody wants it any more."""


async def let_land(put: Callable[[], Awaitable[None]]) -> None:
    """Do `put`; where that is cancelled once it has begun, go on with it for LANDS seconds."""
    await trio.lowlevel.checkpoint_if_cancelled()
    with one_failure():
        async with trio.open_nursery() as nursery:
            with trio.CancelScope(shield=True) as scope:
                nursery.start_soon(_hurry, scope)
                await put()
            nursery.cancel_scope.cancel()


async def _hurry(scope: trio.CancelScope) -> None:
    try:
        await trio.sleep_forever()
    finally:
        scope.deadline = trio.current_time() + LANDS
