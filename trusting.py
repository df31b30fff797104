"""Which keys a store trusts: its configuration is changed, and what is open hears of it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import trio

from .cas.locks import locked
from .config import read_config, write_config
from .errors import ExistsError, NotFoundError
from .ids import PublicKey
from .storeconfig import check_trusted_name

Keys = dict[PublicKey, str]


async def trusted_keys(path: str) -> Mapping[PublicKey, str]:
    """The keys that the store in the folder `path` trusts, with their names."""
    return (await trio.to_thread.run_sync(read_config, path)).trusted


async def trust_key(path: str, key: PublicKey, name: str = "", *, wait: bool = True) -> str:
    """Have the store in the folder `path` trust a key, by a name, else by its first 16 digits; the
    name. ExistsError where another key has it, or the key another name."""
    called = check_trusted_name(name or key.hex()[:16])

    def add(keys: Keys) -> None:
        if keys.get(key, called) != called:
            raise ExistsError(f"that key is trusted already, as {keys[key]}; take that away first")
        if key not in keys and called in keys.values():
            raise ExistsError(f"another key is called {called}; choose another name")
        keys[key] = called

    await _change(path, add, wait=wait)
    return called


async def distrust_key(path: str, text: str, *, wait: bool = True) -> PublicKey:
    """Have the store in the folder `path` trust a key no more, which `text` is or names; the key.
    NotFoundError where it is not trusted."""
    gone: list[PublicKey] = []

    def remove(keys: Keys) -> None:
        gone.extend(key for key, name in keys.items() if text in (name, key.hex()))
        if not gone:
            raise NotFoundError(
                f"no key {text} is trusted; `modelfloat key sign ls` shows which are"
            )
        del keys[gone[0]]

    await _change(path, remove, wait=wait)
    return gone[0]


async def _change(path: str, change: Callable[[Keys], None], *, wait: bool) -> None:
    await trio.to_thread.run_sync(read_config, path)  # where there is no store no lock is made
    await trio.Path(path, "locks").mkdir(exist_ok=True)
    async with locked(os.path.join(path, "locks", "config"), wait=wait):
        config = await trio.to_thread.run_sync(read_config, path)
        keys = dict(config.trusted)
        change(keys)
        await trio.to_thread.run_sync(write_config, path, replace(config, trusted=keys))
