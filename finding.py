"""A store found on its backends, where nothing else is known of it: who it is, where they are.

Any backend that answers suffices: its marker names the store, its scheme and every backend. All of
these are asked for theirs, for one that was away when the list changed has an old one. The list
that most markers have counts, of several the longest; the others only say where more may be found.
Where several places were given, a backend counts of which most of their markers tell: one of them
alone could name any number that speak for it.

What a marker tells of a place is taken where it means something here: never a path that begins in
another folder, nor a URL that held a secret. Nor one on a server that nobody has named: whoever has
one backend could write a marker that has our credentials sent to him. Where such a place is must be
told.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from .backends.marker import ENCRYPTED, Marker, MarkerBackend, read_marker
from .backends.registry import is_local_path
from .backends.told import base_of, server_of, told_url
from .configured import open_configured
from .errors import BackendError, ModelFloatError, UnavailableError, UsageError, one_failure
from .ids import BackendId, random_backend_id
from .redaction import redact
from .storeconfig import BackendConfig, StoreConfig

DEADLINE: Final = 10.0
"""Seconds that a backend has to show its marker."""
MOST: Final = 1000
"""Backends that are asked for their markers: each may tell of others without end,"""
AT_ONCE: Final = 32
"""so many at once."""
UNNAMED: Final = "NAME"
"""What a place is called that was given without a name, in the names of variables for it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backend is; `name` is what its store calls it, "" where only the marker tells. `rate`
    is how much may be asked of it, None where that is for its provider to say."""

    url: str
    name: str = ""
    rate: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Where a backend is that nobody gave: its URL, and the backends whose markers say so."""

    url: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundStore:
    """What the markers tell. Backends that are `down` cannot be asked now, by name with the reason;
    of those in `unknown` nobody said where they are: by name what the marker tells of it. Where
    those in `told` are only markers say."""

    config: StoreConfig
    down: dict[str, str]
    unknown: dict[str, str]
    told: dict[str, Told] = field(default_factory=dict)


async def find_store(path: str, places: Sequence[Place]) -> FoundStore:
    """The store that has backends at `places`, for a site of it in the folder `path`.

    UnavailableError where none of them shows a marker, UsageError where they are of several stores,
    or are one backend twice. Relative paths in markers begin where those do that were given.
    """
    if not places:
        raise UsageError("there is nowhere to look for a store: name one of its backends")
    search = _Search(str(await trio.Path(path).absolute()), tuple(places))
    with one_failure():
        await search.ask_given()
        while missing := search.missing():
            await search.ask(missing)
    return search.result()


@dataclass(slots=True)
class _Search:
    path: str
    places: tuple[Place, ...]
    markers: dict[BackendId, Marker] = field(default_factory=dict)
    where: dict[BackendId, Place] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Names of given places that do not answer, with the reason."""
    asked: set[BackendId] = field(default_factory=set)
    down: dict[BackendId, str] = field(default_factory=dict)
    given: set[BackendId] = field(default_factory=set)

    async def ask_given(self) -> None:
        """Ask every place that was given."""
        found = await self._markers(self.places)
        for place, answer in zip(self.places, found, strict=True):
            if isinstance(answer, Marker):
                self._take(place, answer)
        if not self.markers:
            first = next(answer for answer in found if not isinstance(answer, Marker))
            raise UnavailableError(f"no backend shows which store it is of: {first}")
        for place, answer in zip(self.places, found, strict=True):
            if isinstance(answer, Marker):
                continue
            if place.name not in {entry.name for entry in self._listed()}:
                raise answer
            self.failed[place.name] = str(answer)

    def _take(self, place: Place, marker: Marker) -> None:
        other = next(iter(self.markers.values()), marker)
        if marker.store != other.store:
            raise UsageError(
                f"{other.name} is a backend of the store {other.store.hex()}, and {marker.name} of "
                f"{marker.store.hex()}: name those of one store"
            )
        if marker.backend in self.markers:
            raise UsageError(f"two places show the same backend, {marker.name}; name it once")
        if place.name not in ("", marker.name):
            raise UsageError(
                f"what was given as {place.name} is the backend {marker.name} of its store; write "
                "that name, or none"
            )
        self.markers[marker.backend], self.where[marker.backend] = marker, place
        self.asked.add(marker.backend)
        self.given.add(marker.backend)

    def missing(self) -> list[MarkerBackend]:
        """Listed backends that were not asked yet, of which it is known where they are."""
        listed = {entry.id: entry for marker in self.markers.values() for entry in marker.backends}
        missing = [entry for id_, entry in listed.items() if id_ not in self.asked]
        placed = [entry for entry in missing if self._place(entry) is not None]
        return placed[: max(0, MOST - len(self.asked))]

    async def ask(self, entries: Sequence[MarkerBackend]) -> None:
        """Ask backends that markers tell of for theirs."""
        places = [place for entry in entries if (place := self._place(entry)) is not None]
        for entry, place, answer in zip(entries, places, await self._markers(places), strict=True):
            self.asked.add(entry.id)
            self.where[entry.id] = place
            store = next(iter(self.markers.values())).store
            if not isinstance(answer, Marker):
                self.down[entry.id] = str(answer)
            elif (answer.store, answer.backend) == (store, entry.id):
                self.markers[entry.id] = answer
            else:
                self.down[entry.id] = f"backend {entry.name}: another backend is in its place"

    def _place(self, entry: MarkerBackend) -> Place | None:
        """Where a backend is that a marker tells of; None where that is not known."""
        given = next((p for p in self.places if p.name == entry.name), None)
        if given is not None:
            return given
        url = told_url(entry, self._servers(), self._base())
        return None if url is None else Place(self._shown(url))

    def _servers(self) -> set[str]:
        return {server_of(place.url) for place in self.places}

    def _base(self) -> str | None:
        """The folder that relative paths in the markers begin in, as far as one was given."""
        where = {id_: os.path.join(self.path, place.url) for id_, place in self.where.items()}
        return base_of(self.markers, where)

    def _shown(self, url: str) -> str:
        """A path as it stands in a configuration: relative where it lies in the store's folder."""
        return url.removeprefix(f"{self.path}/") if is_local_path(url) else url

    async def _markers(self, places: Sequence[Place]) -> list[Marker | BackendError]:
        """What each shows, all asked at once. Other errors than a backend's are raised."""
        found: dict[int, Marker | BackendError] = {}

        at_once = trio.CapacityLimiter(AT_ONCE)

        async def ask(number: int, place: Place) -> None:
            async with at_once:
                found[number] = await _marker(self.path, place)

        async with trio.open_nursery() as nursery:
            for number, place in enumerate(places):
                nursery.start_soon(ask, number, place)
        return [found[number] for number in range(len(places))]

    def _listed(self) -> tuple[MarkerBackend, ...]:
        """The list that counts, in its order: who decides between sites goes by that."""
        counting = self._counting()
        votes = Counter(tuple(e.id for e in m.backends) for m in counting)
        best = max(votes, key=lambda ids: (votes[ids], len(ids), ids))
        holder = next(m for m in counting if tuple(e.id for e in m.backends) == best)
        return holder.backends

    def _counting(self) -> list[Marker]:
        """The markers that have a say: those that were asked for, and those that most of them tell
        of."""
        given = [self.markers[id_] for id_ in self.given]
        tellers = Counter(entry.id for marker in given for entry in set(marker.backends))
        return [
            marker
            for id_, marker in self.markers.items()
            if id_ in self.given or 2 * tellers[id_] > len(given)
        ]

    def _told(self, entry: MarkerBackend) -> Told | None:
        """Who told where a backend is; None where that was given, or is not known."""
        place = self.where.get(entry.id)
        if place is None or place in self.places:
            return None
        tellers = [
            (id_ not in self.given, marker.name)
            for id_, marker in self.markers.items()
            if id_ != entry.id and any(e.id == entry.id for e in marker.backends)
        ]
        # Those that were given answer for it; another's word counts where none of them knows it.
        nearest = min(tellers, default=(False, ""))[0]
        return Told(place.url, tuple(name for far, name in tellers if far == nearest))

    def result(self) -> FoundStore:
        """What was found."""
        listed, marker = self._listed(), next(iter(self.markers.values()))
        unknown = {e.name: e.url for e in listed if e.id not in self.where}
        down = {
            e.name: self.failed.get(e.name) or self.down[e.id]
            for e in listed
            if e.id in self.where and e.id not in self.markers
        }
        configs = tuple(self._configured(entry) for entry in listed)
        told = {e.name: told for e in listed if (told := self._told(e)) is not None}
        schemes = Counter(m.erasure for m in self._counting())
        encrypted = any(m.incompat & ENCRYPTED for m in self.markers.values())
        (scheme, _), *_ = schemes.most_common()
        return FoundStore(
            StoreConfig(marker.store, scheme, configs, encrypted=encrypted), down, unknown, told
        )

    def _configured(self, entry: MarkerBackend) -> BackendConfig:
        place = self.where.get(entry.id, Place(entry.url))
        return BackendConfig(
            entry.name,
            self._shown(place.url),
            entry.id,
            entry.domain,
            entry.weight,
            entry.capacity,
            rate=place.rate,
        )


async def _marker(path: str, place: Place) -> Marker | BackendError:
    config = BackendConfig(place.name or UNNAMED, place.url, random_backend_id(), rate=place.rate)
    backend = open_configured(path, config)
    try:
        with trio.move_on_after(DEADLINE):
            return await read_marker(backend)
        name = place.name or redact(place.url)
        return UnavailableError(f"backend {name} did not answer within {DEADLINE:g} s")
    except BackendError as error:
        if not place.name:
            error.args = (str(error).removeprefix(f"backend {UNNAMED}: "),)
        return error
    finally:
        with trio.CancelScope(shield=True), contextlib.suppress(ModelFloatError):
            await backend.aclose()
