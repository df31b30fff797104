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
    voting = [markers[id_] for id_ in own if id_ in markers]
    said = {id_: Counter[MarkerBackend]() for m in voting for id_ in _ids(m)}
    for marker in voting:
        for entry in {entry.id: entry for entry in marker.backends}.values():
            # Where it is each folder may say in its own way.
            said[entry.id][replace(entry, url="")] += 1
    order = _order(voting)
    agreed = [id_ for id_, counted in said.items() if 2 * counted.total() > len(own)]
    unlisted = frozenset(id_ for id_ in own if 2 * _without(voting, id_) > len(own))
    alone = frozenset(id_ for id_ in own if id_ in markers and not lists(markers[id_], id_))
    alike = [said[id_].most_common(1)[0] for id_ in agreed if id_ in own]
    lacking = [_where(voting, said[id_].most_common(1)[0][0]) for id_ in agreed if id_ not in own]
    place = {id_: number for number, id_ in enumerate(order)}
    return Agreement(
        order,
        tuple(sorted(lacking, key=lambda entry: place.get(entry.id, len(place)))),
        unlisted,
        unlisted | alone,
        tuple(entry for entry, count in alike if 2 * count > len(own)),
    )


def _ids(marker: Marker) -> set[BackendId]:
    return {entry.id for entry in marker.backends}


def _without(voting: Sequence[Marker], id_: BackendId) -> int:
    return sum(not lists(marker, id_) for marker in voting)


def _where(voting: Sequence[Marker], entry: MarkerBackend) -> MarkerBackend:
    """An entry with the URL that most give it."""
    urls = Counter(each.url for m in voting for each in m.backends if each.id == entry.id)
    return replace(entry, url=urls.most_common(1)[0][0])


def lists(marker: Marker, id_: BackendId) -> bool:
    """Whether a marker's list has that backend."""
    return any(entry.id == id_ for entry in marker.backends)


def _order(voting: Sequence[Marker]) -> tuple[BackendId, ...]:
    votes = Counter(tuple(entry.id for entry in marker.backends) for marker in voting)
    return max(votes, key=lambda ids: (votes[ids], len(ids), ids), default=())
