"""What a store survives, in words: counted in domains, never in directories. Pure.

What is stored counts as it lies now: packs without the shards that are known bad, on backends that
are up. Where nothing is stored yet, new packs do, spread evenly.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from ...erasure.scheme import Scheme
from ...ids import BackendId
from ..index.records import PackRecord, ShardState
from .placement import Candidate, losable, survivable_backends, survivable_domains


@dataclass(frozen=True, slots=True)
class Layout:
    """Where good shards of a pack of `k`+`m` lie, one place a shard; any `k` of them restore it."""

    k: int
    m: int
    places: tuple[BackendId, ...]


Layouts = Mapping[Layout, int]
"""How many packs lie so."""


@dataclass(frozen=True, slots=True)
class Survival:
    """`text` says it in a line; so many packs are `unreadable` now, with backends that are down.

    `spare` is how many shards of any pack may be lost still, whichever they are; below 0 where some
    cannot be read. Packs without parity do not count where others have some. `groups` say it for
    the packs of each parity, where there are several.
    `backends` and `domains` are how many of those may be lost, whichever.
    """

    text: str
    unreadable: int
    spare: int
    groups: tuple["Group", ...] = ()
    backends: int = 0
    domains: int = 0

    def is_less_than(self, other: "Survival") -> bool:
        """Whether less of any kind may be lost than in `other`."""
        mine = self.spare, self.backends, self.domains
        return self.unreadable > other.unreadable or any(
            here < there
            for here, there in zip(mine, (other.spare, other.backends, other.domains), strict=True)
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Packs of one parity: the schemes they were split by, as `4+2, 8+2`, how many they are, and
    what they survive."""

    schemes: str
    packs: int
    survives: str


@dataclass(frozen=True, slots=True)
class _Losable:
    spare: int
    backends: int
    domains: int


def layouts_of(packs: Iterable[PackRecord]) -> Layouts:
    """The layouts of packs as the index knows them."""
    alike = Counter((pack.k, pack.m, pack.backends, pack.states) for pack in packs)
    found = Counter[Layout]()
    for (k, m, backends, states), count in alike.items():
        shards = zip(backends, states, strict=True)
        good = sorted(backend for backend, state in shards if state is ShardState.GOOD)
        found[Layout(k, m, tuple(good))] += count
    return found


def survival(
    scheme: Scheme, members: Sequence[Candidate], up: AbstractSet[BackendId], layouts: Layouts
) -> Survival:
    """What the packs of `layouts` survive, of which only the members in `up` can be read now.

    Where repositories have schemes of their own, each parity is told for itself.
    """
    apart = _by_parity(scheme, layouts)
    whole = _survival(scheme, members, up, layouts)
    if len(apart) < 2 or whole.spare < 0:
        return whole
    groups = tuple(
        Group(_named(own, scheme), sum(own.values()), _survival(s, members, up, own).text)
        for s, own in apart.items()
    )
    text = "; ".join(f"{group.schemes}: {group.survives}" for group in groups)
    # Who stores without parity means it: that is no shard that is missing.
    protected = {layout: count for layout, count in layouts.items() if layout.m}
    left = _survival(scheme, members, up, protected)
    return Survival(text, whole.unreadable, left.spare, groups, left.backends, left.domains)


def _by_parity(scheme: Scheme, layouts: Layouts) -> dict[Scheme, dict[Layout, int]]:
    """Layouts by their m, most first, each under a scheme that has it."""
    found: dict[Scheme, dict[Layout, int]] = {}
    for layout in sorted(layouts, key=lambda each: -each.m):
        own = Scheme(scheme.k, layout.m)
        found.setdefault(own, {})[layout] = layouts[layout]
    return found


def _named(layouts: Layouts, scheme: Scheme) -> str:
    """The schemes that packs were split by; small packs and objects are copies, and say nothing."""
    split = {(each.k, each.m) for each in layouts if each.k > 1}
    m = next(iter(layouts)).m
    if not split:
        split = {(scheme.k if m == scheme.m else 1, m)}
    return ", ".join(f"{k}+{m}" for k, m in sorted(split))


def _survival(
    scheme: Scheme, members: Sequence[Candidate], up: AbstractSet[BackendId], layouts: Layouts
) -> Survival:
    there = {member.id: member for member in members if member.id in up}
    packs = sum(layouts.values())
    left = [
        (layout.k, [there[place] for place in layout.places if place in there], count)
        for layout, count in layouts.items()
    ]
    unreadable = sum(count for k, places, count in left if len(places) < k)
    down = len(members) - len(there)
    if unreadable and there:
        why = f", with {down} of {len(members)} backends down" * bool(down)
        text = f"{unreadable:,} of {packs:,} pack{'s' * (packs > 1)} cannot be read now{why}"
        return Survival(text, unreadable, -1)
    found = _least(_left(k, places) for k, places, _ in left) if left else _even(scheme, there)
    text = _describe(scheme, list(there.values()), found)
    more = f" ({down} of {len(members)} backends down)" if down and there else ""
    if not there:
        return Survival(text + more, unreadable, -1)
    return Survival(text + more, unreadable, found.spare, (), found.backends, found.domains)


def describe(scheme: Scheme, candidates: Sequence[Candidate]) -> str:
    """One line on what may be lost without losing data, for packs of `scheme` placed now."""
    return survival(scheme, candidates, {c.id for c in candidates}, {}).text


def _least(each: Iterable[_Losable]) -> _Losable:
    """The least of what several packs stand."""
    known = list(each)
    return _Losable(
        min(one.spare for one in known),
        min(one.backends for one in known),
        min(one.domains for one in known),
    )


def _left(k: int, places: Sequence[Candidate]) -> _Losable:
    spare = len(places) - k
    backends = Counter(place.id for place in places)
    domains = Counter(place.domain for place in places)
    return _Losable(spare, _worst(backends, spare), _worst(domains, spare))


def _worst(places: Mapping[BackendId, int] | Mapping[str, int], spare: int) -> int:
    return losable(sorted(places.values(), reverse=True), spare)


def _even(scheme: Scheme, there: Mapping[BackendId, Candidate]) -> _Losable:
    return _Losable(
        scheme.m,
        survivable_backends(scheme.m, scheme.n, len(there)),
        survivable_domains(scheme.m, scheme.n, list(there.values())),
    )


def _describe(scheme: Scheme, candidates: Sequence[Candidate], found: _Losable) -> str:
    if not candidates:
        return "no backend is up: nothing can be read or stored"
    if not scheme.m:
        return "no parity: any lost or damaged shard is lost data"
    if not found.spare:
        return "some packs have no shard to spare: nothing more may be lost or damaged"
    domains = {candidate.domain for candidate in candidates}
    if len(candidates) == 1:
        return "one directory: bit rot is repaired, a lost disk is not"
    if len(domains) == 1:
        return _on_one_disk(len(candidates), found.backends)
    if found.domains:
        return f"survives the loss of any {found.domains} of {len(domains)} domains"
    return f"survives damage, but NOT the loss of one of {len(domains)} domains"


def _on_one_disk(directories: int, losable_ones: int) -> str:
    if not losable_ones:
        return (
            f"protects against damage of single shards, NOT against the loss of one of "
            f"{directories} directories, nor of this disk"
        )
    return (
        f"protects against damage in any {losable_ones} of {directories} directories, "
        "NOT against the loss of this disk"
    )
