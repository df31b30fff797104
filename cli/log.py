"""`modelfloat log`: the commits of a repository, newest first, or the moves of its refs."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from .completion import named
from .options import command
from .output import human_size, human_time, iso_time, one_line, say, say_json_list, tell
from .session import in_catalog
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.catalog import Catalog
    from ..cas.formats.commit import Commit
    from ..cas.formats.journal import RefChanged
    from ..cas.history.commits import Told
    from ..cas.refnames import Address, RefHead
    from ..ids import ObjectId

SHOWN = 12


@command
def log(
    settings: Settings,
    address: Annotated[
        str,
        named("VENDOR/NAME[@REV]", "The repository, and where to begin."),
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="Begin at every branch and tag, and at REV.")
    ] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw which commit comes after which.")
    ] = False,
    count: Annotated[
        int | None,
        typer.Option("-n", metavar="N", min=1, help="Show N at most.", show_default=False),
    ] = None,
    reflog: Annotated[
        bool,
        typer.Option("--reflog", help="Show how branches and tags moved; with @REV that one."),
    ] = False,
) -> None:
    """Show a repository's commits, newest first.

    A branch that was moved by two at once, where no backend decides between them, has several
    heads: all of them are shown.
    """
    if reflog:
        in_catalog(settings, lambda store: _reflog(store, settings, address, count))
    else:
        options = everything, graph, count
        in_catalog(settings, lambda store: _log(store, settings, address, *options))


def _log(
    store: "Catalog",
    settings: Settings,
    text: str,
    everything: bool,
    graph: bool,
    count: int | None,
) -> None:
    from ..cas.history.commits import told
    from ..cas.missing import no_repository
    from ..cas.refnames import parse_ref

    address = parse_ref(text, "log")
    # Before the heads: what is wrong with where it begins is an error, and told once.
    begin = _starts(store, address) if address.rev or not everything else []
    heads = store.refs.heads(address.repo)
    if not heads:
        raise no_repository(address.repo)
    names = _names(heads)
    starts = begin + [head.commit for head in heads if everything]
    commits = islice(told(store.objects, starts), count)
    if settings.json:
        say_json_list(_document(each, names.get(each.id, [])) for each in commits)
        return
    drawing = _drawn(commits, names) if graph else (_line(each, names) for each in commits)
    for line in drawing:
        say(line)


def _starts(store: "Catalog", address: "Address") -> "list[ObjectId]":
    """Where the log begins: all heads of a branch that has several, which is told."""
    from ..cas.refnames import DEFAULT_BRANCH

    starts = store.refs.starts(address.repo, address.rev)
    if len(starts) > 1:
        ref = one_line(address.rev or DEFAULT_BRANCH)
        commits = ", ".join(id_.hex()[:SHOWN] for id_ in starts)
        tell(
            f"{address.repo}@{ref} has {len(starts)} heads ({commits}): "
            f"`modelfloat branch {address.repo} {ref} COMMIT` makes it one"
        )
    return starts


def _names(heads: "list[RefHead]") -> "dict[ObjectId, list[str]]":
    """The names of branches and tags, by the commit they point at."""
    found: dict[ObjectId, list[str]] = {}
    for head in heads:
        found.setdefault(head.commit, []).append(head.ref)
    return found


def _drawn(commits: "Iterator[Told]", names: "dict[ObjectId, list[str]]") -> Iterator[str]:
    from ..cas.history.graph import Graph

    graph = Graph()
    for each in commits:
        above, left, below = graph.row(each.id, each.commit.parents)
        yield from above
        yield f"{left}  {_line(each, names)}"
        yield from below


def _line(each: "Told", names_of: "dict[ObjectId, list[str]]") -> str:
    commit, refs = each.commit, names_of.get(each.id)
    names = f" ({one_line(', '.join(refs))})" if refs else ""
    when = human_time(commit.time_ns)
    left = f"{each.id.hex()[:SHOWN]}  {when}  {human_size(each.size):>8}  {each.changes!s:<9}"
    return f"{left}  {author_of(commit)}{names}: {subject_of(commit)}"


def subject_of(commit: "Commit") -> str:
    """What a commit is for, in a line."""
    return one_line(commit.message.strip().partition("\n")[0]) or "(no message)"


def author_of(commit: "Commit") -> str:
    """Who a commit is by, in a line."""
    return one_line(commit.author) or "(no author)"


def _document(each: "Told", refs: list[str]) -> dict[str, object]:
    commit, changes = each.commit, each.changes
    return {
        "commit": each.id.hex(),
        "parents": [parent.hex() for parent in commit.parents],
        "refs": refs,
        "time": iso_time(commit.time_ns),
        "time_ns": commit.time_ns,
        "author": commit.author,
        "message": commit.message,
        "size": each.size,
        "grown": changes.grown,
        "added": changes.added,
        "changed": changes.changed,
        "removed": changes.removed,
    }


# How refs moved


def _reflog(store: "Catalog", settings: Settings, text: str, count: int | None) -> None:
    from ..cas.refnames import parse_ref
    from ..errors import NotFoundError

    address = parse_ref(text, "log")
    changes = islice(store.refs.changes(address.repo, address.rev), count)
    first = next(changes, None)
    if first is None:
        raise NotFoundError(f"no change of {address} is known; `modelfloat ls` shows what is there")
    found = (each for part in ([first], changes) for each in part)
    if settings.json:
        say_json_list(map(move_document, found))
        return
    for each in found:
        say(f"{human_time(each.time_ns)}  {move_line(each)}")


def move_line(change: "RefChanged") -> str:
    """One change of a ref: what it was, and what became of it."""
    what, old, new = _what(change), change.old.hex()[:SHOWN], change.new.hex()[:SHOWN]
    commits = {"made": new, "removed": old}.get(what, f"{old} → {new}")
    return f"{change.kind.name.lower()} {one_line(change.ref)} {what}: {commits}"


def move_document(change: "RefChanged") -> dict[str, object]:
    """A change of a ref as `--json` prints it; a commit is null where there was or is none."""
    return {
        "repository": f"{change.vendor}/{change.name}",
        "kind": change.kind.name.lower(),
        "name": change.ref,
        "change": _what(change),
        "old": change.old.hex() if any(change.old) else None,
        "new": change.new.hex() if any(change.new) else None,
        "time": iso_time(change.time_ns),
        "time_ns": change.time_ns,
    }


def _what(change: "RefChanged") -> str:
    if not any(change.old):
        return "made"
    return "moved" if any(change.new) else "removed"
