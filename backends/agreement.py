"""What the markers of a store's backends say together of the list of them. Pure.

Each folder that shares a store has a list of its own, and markers tell what the others made of
theirs. A marker may be old, as that of a backend that was away, or a lie: so only that counts which
more than half of one's own backends say. A backend whose marker does not list itself is leaving: it
holds shards still, and gets no new ones.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..ids import BackendId
from .marker import Marker, MarkerBackend


@dataclass(frozen=True, slots=True)
class Agreement:
    """What markers agree on, for who has a list of his own: of what it lacks, in `lacking`; of what
    they no longer list, in `unlisted`; of what is `leaving`, by its own word or as it is unlisted.
    `entries` are what more than half say alike of those that it has; `order` is that of the list
    that most have."""

    order: tuple[BackendId, ...] = ()
    lacking: tuple[MarkerBackend, ...] = ()
    unlisted: frozenset[BackendId] = frozenset()
    leaving: frozenset[BackendId] = frozenset()
    entries: tuple[MarkerBackend, ...] = ()

    def sorted(self, ids: Iterable[BackendId]) -> list[BackendId]:
        """These in the order of the list; those that it has not at the end, as they were."""
        place = {id_: number for number, id_ in enumerate(self.order)}
        return sorted(ids, key=lambda id_: place.get(id_, len(place)))


def agree(own: Sequence[BackendId], markers: Mapping[BackendId, Marker]) -> Agreement:
    """What the markers of the backends `own` agree on; one that cannot be read agrees to nothing.

    More than half of all of `own` must say so, those that are down included.
    """
    # Mostly all say the same: what follows is done once for each list that is told.
    told = Counter(markers[id_].backends for id_ in own if id_ in markers)
    lists = [({entry.id: entry for entry in entries}, n) for entries, n in told.items()]
    said: dict[BackendId, Counter[MarkerBackend]] = {}
    for by_id, count in lists:
        for id_, entry in by_id.items():
            # Where it is each folder may say in its own way.
            said.setdefault(id_, Counter())[replace(entry, url="")] += count
    order = tuple(entry.id for entry in _most(told))
    agreed = [id_ for id_, counted in said.items() if 2 * counted.total() > len(own)]
    without = {id_: sum(n for by_id, n in lists if id_ not in by_id) for id_ in own}
    unlisted = frozenset(id_ for id_ in own if 2 * without[id_] > len(own))
    alone = frozenset(id_ for id_ in own if id_ in markers and not is_listed(markers[id_]))
    alike = [said[id_].most_common(1)[0] for id_ in agreed if id_ in own]
    lacking = [_where(told, said[id_].most_common(1)[0][0]) for id_ in agreed if id_ not in own]
    place = {id_: number for number, id_ in enumerate(order)}
    return Agreement(
        order,
        tuple(sorted(lacking, key=lambda entry: place.get(entry.id, len(place)))),
        unlisted,
        unlisted | alone,
        tuple(entry for entry, count in alike if 2 * count > len(own)),
    )


def is_listed(marker: Marker) -> bool:
    """Whether the backend of a marker is on the list that is there."""
    return any(entry.id == marker.backend for entry in marker.backends)


def _most(told: Counter[tuple[MarkerBackend, ...]]) -> tuple[MarkerBackend, ...]:
    """The list that most have; of several the longest."""
    return max(told, key=lambda entries: (told[entries], len(entries), repr(entries)), default=())


def _where(told: Counter[tuple[MarkerBackend, ...]], entry: MarkerBackend) -> MarkerBackend:
    """An entry with the URL that most give it."""
    urls: Counter[str] = Counter()
    for entries, count in told.items():
        urls.update({each.url: count for each in entries if each.id == entry.id})
    return replace(entry, url=urls.most_common(1)[0][0])
