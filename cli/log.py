"""`modelfloat log`: the commits of a repository, newest first."""

from typing import TYPE_CHECKING, Annotated

import typer

from .completion import complete_address
from .options import command
from .output import human_size, human_time, iso_time, one_line, say, say_json
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.formats.commit import Commit
    from ..cas.refnames import RepoName
    from ..cas.store import Store
    from ..ids import ObjectId
    from .trees import Changes


@command
def log(
    settings: Settings,
    address: Annotated[
        str,
        typer.Argument(
            metavar="VENDOR/NAME[@REV]",
            help="The repository, and where to begin.",
            show_default=False,
            autocompletion=complete_address,
        ),
    ],
) -> None:
    """Show a repository's commits, newest first."""
    in_store(settings, lambda store: _log(store, settings, address), ask=False)


async def _log(store: "Store", settings: Settings, text: str) -> None:
    from ..cas.refnames import parse_address
    from ..errors import UsageError
    from .trees import changes, history, size_of

    address = parse_address(text)
    if address.path:
        raise UsageError(f"{text}: log takes VENDOR/NAME[@REV] without a path")
    refs = _refs(store, address.repo)
    documents = []
    for id_, commit in history(store.objects, store.refs.resolve(address.repo, address.rev)):
        parent = store.objects.commit(commit.parents[0]).tree if commit.parents else None
        difference = changes(store.objects, parent, commit.tree)
        size = size_of(store.objects, commit.tree)
        if settings.json:
            documents.append(_document(id_, commit, size, difference, refs.get(id_, [])))
        else:
            say(_line(id_, commit, size, difference, refs.get(id_, [])))
    if settings.json:
        say_json(documents)


def _refs(store: "Store", repo: "RepoName") -> dict["ObjectId", list[str]]:
    """The names of branches and tags, by the commit they point at."""
    found: dict[ObjectId, list[str]] = {}
    for head in store.refs.heads(repo):
        found.setdefault(head.commit, []).append(head.ref)
    return found


def _line(id_: "ObjectId", commit: "Commit", size: int, changes: "Changes", refs: list[str]) -> str:
    names = f" ({', '.join(refs)})" if refs else ""
    message = one_line(commit.message.strip().partition("\n")[0]) or "(no message)"
    when, author = human_time(commit.time_ns), one_line(commit.author) or "(no author)"
    left = f"{id_.hex()[:12]}  {when}  {human_size(size):>8}  {changes!s:<9}"
    return f"{left}  {author}{names}: {message}"


def _document(
    id_: "ObjectId", commit: "Commit", size: int, changes: "Changes", refs: list[str]
) -> dict[str, object]:
    return {
        "commit": id_.hex(),
        "parents": [parent.hex() for parent in commit.parents],
        "refs": refs,
        "time": iso_time(commit.time_ns),
        "time_ns": commit.time_ns,
        "author": commit.author,
        "message": commit.message,
        "size": size,
        "added": changes.added,
        "changed": changes.changed,
        "removed": changes.removed,
    }
