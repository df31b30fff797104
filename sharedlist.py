"""The list of backends that folders share: what others made of it is taken over.

Each folder has a list in its `config.toml`, and markers tell what the others made of theirs. What
more than half of one's own backends tell of counts (`backends.agreement`). A backend that is new is
used here too where its address is one that may be used without being asked for (`backends.told`)
and it shows that it is that backend; else it is a member that is down, so nobody takes the rest for
all that there is. One that is leaving gets no new shards. One that others took off the list goes
here too, once the index has no shards on it.
"""

import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from .backends.absent import AbsentBackend
from .backends.agreement import Agreement, agree, is_listed
from .backends.marker import Marker, MarkerBackend, check_encrypted, check_marker
from .backends.registry import is_local_path, is_probed
from .backends.told import base_of, server_of, told_url
from .cas.lease.others import knows_others
from .cas.locks import locked
from .cas.packs.members import Member, Members
from .config import read_config, write_config
from .configured import member_of, open_configured, tried
from .errors import BackendError, ModelFloatError, UsageError
from .ids import BackendId
from .redaction import redact
from .storeconfig import BackendConfig, StoreConfig, check_backend_name

DEADLINE: Final = 5.0
"""Seconds that a backend which others tell of has to show that it is one."""
AGAIN: Final = 300.0
"""Seconds after which what could not be taken over is tried again."""
MOST: Final = 1000
"""Backends that are taken over: a marker may tell of others without end."""
LEAVING: Final = "draining"

log = logging.getLogger(__name__)


def all_used(_backend: BackendId) -> bool:
    """For who has no index to ask: what others took off the list stays."""
    return True


@dataclass(slots=True)
class SharedList:
    """The list of the store in `path`, whose `members` are opened as `config` has them.

    `is_used` says whether the index has shards on a backend; it blocks.
    """

    path: str
    config: StoreConfig
    members: Members
    is_used: Callable[[BackendId], bool] = all_used
    _done: object = None
    _again: float = 0.0
    _shape: object = None
    _absent: dict[BackendId, Member] = field(default_factory=dict)
    _lock: trio.Lock = field(default_factory=trio.Lock)

    async def follow(self, config: StoreConfig) -> None:
        """Bring the members in line with `config`, as it is now, and with what markers tell."""
        async with self._lock:
            await self._follow(config)

    async def _follow(self, config: StoreConfig) -> None:
        looked = config.backends != self.config.backends
        if looked:
            # Another process here changed it: what markers said before that is no word on it.
            await self._adopt(config, Agreement())
            self.config = config
            await self.members.look()
        told = self._told(config)
        if (config.backends, told) == self._done and trio.current_time() < self._again:
            return
        if (told.lacking or told.unlisted) and not looked:
            # They were read one after the other, maybe while somebody wrote them.
            await self.members.look()
            told = self._told(config)
        wanted = await self._taken_over(config, told)
        await self._adopt(wanted, told)
        # What is as wanted is looked at again when anything changes.
        settled = wanted.backends == config.backends and not self._absent and not told.unlisted
        self._done, self.config = (config.backends, told), wanted
        self._again = math.inf if settled else trio.current_time() + AGAIN

    def _markers(self) -> dict[BackendId, Marker]:
        return {m.id: m.marker for m in self.members if m.marker is not None}

    def _told(self, config: StoreConfig) -> Agreement:
        return agree([each.id for each in config.backends], self._markers())

    async def _taken_over(self, config: StoreConfig, told: Agreement) -> StoreConfig:
        """The configuration with what others changed, written down where that can be done."""
        markers = self._markers()
        gone = [each for each in config.backends if await self._is_gone(each, told, markers)]
        kept = [each for each in config.backends if each not in gone]
        changed = [await self._changed(each, told) for each in kept] or list(config.backends)
        self._absent = {}
        new = await self._new(replace(config, backends=tuple(changed)), told, markers)
        by_id = {each.id: each for each in (*changed, *new)}
        backends = tuple(by_id[id_] for id_ in told.sorted(by_id)) if new else tuple(changed)
        wanted = replace(config, backends=backends)
        if backends == config.backends:
            return wanted
        # Where it cannot be written down now it counts all the same, and is written later.
        if await self._written(config, wanted):
            _tell(gone, new)
        return wanted

    async def _is_gone(
        self, own: BackendConfig, told: Agreement, markers: dict[BackendId, Marker]
    ) -> bool:
        """Whether others took a backend off the list, and nothing is to be had there."""
        if own.id not in told.unlisted:
            return False
        marker, member = markers.get(own.id), self.members.get(own.id)
        away = marker is None or member is None or member.down
        # One that lists itself came back after it was given up, or others were away when it came:
        # then it may have what is nowhere else, and be away itself now.
        if not away and marker is not None and is_listed(marker):
            return False
        return not await trio.to_thread.run_sync(self.is_used, own.id)

    async def _changed(self, own: BackendConfig, told: Agreement) -> BackendConfig:
        """A backend with what others set; alone nobody but the user here did."""
        said = next((entry for entry in told.entries if entry.id == own.id), None)
        if said is None:
            return own
        domain = said.domain if own.domain is not None else None
        changed = replace(own, domain=domain, weight=said.weight, capacity=said.capacity)
        folder = os.path.join(self.path, "locks")
        if changed == own or not await trio.to_thread.run_sync(knows_others, folder):
            return own
        return changed

    async def _new(
        self, config: StoreConfig, told: Agreement, markers: dict[BackendId, Marker]
    ) -> list[BackendConfig]:
        """Backends that others added, as far as they can be used here; the others are absent."""
        servers = {server_of(each.url) for each in config.backends}
        where = {b.id: os.path.join(self.path, b.url) for b in config.backends}
        base, taken = base_of(markers, where), Counter(each.name for each in config.backends)
        new: list[BackendConfig] = []
        for told_entry in told.lacking[:MOST]:
            entry = replace(told_entry, name=_free_name(told_entry, taken))
            taken[entry.name] += 1
            url = told_url(entry, servers, base)
            if url is None:
                why = "its address is not one to be used without your word"
            else:
                found = self._as_configured(entry, url)
                why = await self._why_not(found, config)
                if not why:
                    new.append(await _tried(self.path, found))
                    continue
            self._absent[entry.id] = _absent_member(entry, why)
        return new

    def _as_configured(self, entry: MarkerBackend, url: str) -> BackendConfig:
        if is_local_path(url):
            url = url.removeprefix(f"{self.path}/")
        return BackendConfig(entry.name, url, entry.id, entry.domain, entry.weight, entry.capacity)

    async def _why_not(self, new: BackendConfig, config: StoreConfig) -> str:
        """Why a backend that others told of cannot be used here, "" where it can."""
        try:
            backend = open_configured(self.path, new)
        except ModelFloatError as error:
            return str(error)
        try:
            with trio.move_on_after(DEADLINE):
                marker = await check_marker(backend, config.id, new.id)
                check_encrypted(marker, new.name, encrypted=config.encrypted)
                return ""
            return f"it did not answer within {DEADLINE:g} s"
        except ModelFloatError as error:
            return str(error).removeprefix(f"backend {new.name}: ")
        finally:
            with trio.CancelScope(shield=True):
                await backend.aclose()

    async def _written(self, before: StoreConfig, wanted: StoreConfig) -> bool:
        """Write the configuration, unless somebody changes it now; a folder that cannot be written
        has it in memory."""
        lock = os.path.join(self.path, "locks", "config")
        try:
            async with locked(lock, wait=False, what="taking over the list of backends"):
                now = await trio.to_thread.run_sync(read_config, self.path)
                if now.backends != before.backends:
                    return False
                changed = replace(now, backends=wanted.backends)
                await trio.to_thread.run_sync(write_config, self.path, changed)
        except (ModelFloatError, OSError) as error:
            log.info("what others made of the list of backends is not written down: %s", error)
        return True

    async def _adopt(self, config: StoreConfig, told: Agreement) -> None:
        configs = {each.id: _leaving(each, told) for each in config.backends}
        shape = (tuple(configs.values()), told.unlisted, frozenset(self._absent))
        if shape == (self._shape or (self.config.backends, frozenset(), frozenset())):
            return
        self._shape = shape
        known = {m.id for m in self.members if m.id in configs and not m.absent}
        absent = [id_ for id_ in self._absent if id_ not in configs]
        order = told.sorted([*configs, *absent]) if absent else list(configs)
        opened = await trio.to_thread.run_sync(self._opened, configs, order)
        for member in opened:
            member.unlisted = member.id in told.unlisted
        self.members.adopt(opened)
        async with trio.open_nursery() as nursery:
            for member in self.members:
                if member.id not in known:
                    nursery.start_soon(self.members.look_at, member)

    def _opened(
        self, configs: dict[BackendId, BackendConfig], order: Iterable[BackendId]
    ) -> list[Member]:
        return [
            member_of(self.path, configs[id_]) if id_ in configs else self._absent[id_]
            for id_ in order
        ]


def _tell(gone: Iterable[BackendConfig], new: Iterable[BackendConfig]) -> None:
    for each in gone:
        log.warning("backend %s was taken off the list elsewhere, and is here too", each.name)
    for each in new:
        log.warning(
            "backend %s was added to the store elsewhere: used here too, at %s",
            each.name,
            redact(each.url),
        )


def _leaving(own: BackendConfig, told: Agreement) -> BackendConfig:
    leaves = own.id in told.leaving and own.state is None
    return replace(own, state=LEAVING) if leaves else own


def _free_name(entry: MarkerBackend, taken: Counter[str]) -> str:
    """What a backend is called here: as elsewhere, unless that is another one's name, or none."""
    try:
        name = check_backend_name(entry.name)
    except UsageError:
        name = "backend"
    if name == entry.name and not taken[name]:
        return name
    return f"{name[:50]}-{entry.id.hex()[:8]}"


def _absent_member(entry: MarkerBackend, why: str) -> Member:
    url = redact(entry.url)
    return Member(
        entry.id,
        entry.name,
        AbsentBackend(entry.name, url, entry.domain, why),
        entry.domain,
        entry.weight,
        capacity=entry.capacity,
        absent=True,
        # It may be what decides between sites, for all that is known here.
        untried=is_probed(url) or is_local_path(url),
    )


async def _tried(path: str, new: BackendConfig) -> BackendConfig:
    try:
        return await tried(path, new)
    except BackendError:
        # It may be read only from here; whether it decides conditional puts is still to be tried.
        return new
