"""`modelfloat mv`: move a file or a folder, or rename a repository, a branch or a tag."""

from typing import TYPE_CHECKING, Annotated

from .commitflags import Author, Message
from .completion import named
from .edits import edit_document, tell_edit
from .options import command
from .output import one_line, say, say_json
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.edit.renaming import RenameReport


@command
def mv(
    settings: Settings,
    source: Annotated[
        str,
        named("A", "What to move: VENDOR/NAME[@BRANCH]/PATH, or a repository, branch or tag."),
    ],
    target: Annotated[
        str,
        named("B", "Where to; into a folder that is there, or that ends in a slash."),
    ],
    message: Message = "",
    author: Author = None,
) -> None:
    """Move a file or a folder within a branch, or rename a repository, a branch or a tag.

    Nothing is read or stored again: of a path the branch gets a commit, of a name the refs move.
    """
    from ..cas.edit.edits import EditReport
    from ..cas.refnames import parse_address

    places = parse_address(source), parse_address(target)
    by = settings.text("author", author)
    report = in_store(settings, lambda store: store.move(*places, author=by, message=message))
    if isinstance(report, EditReport):
        found = {"from": str(places[0]), **edit_document(report)}
        say_json(found) if settings.json else tell_edit("moved", report, settings)
    else:
        say_json(document(report)) if settings.json else say(text(report))


def document(report: "RenameReport") -> dict[str, object]:
    """A renaming as `--json` prints it."""
    return {
        "from": str(report.source),
        "to": str(report.target),
        "renamed": [
            {"kind": head.kind.name.lower(), "name": head.ref, "commit": head.commit.hex()}
            for head in report.refs
        ],
    }


def text(report: "RenameReport") -> str:
    """What was renamed, in one line; of a repository with the names of what came along."""
    names = f"{one_line(str(report.source))} is {one_line(str(report.target))} now"
    if report.source.rev is not None:
        return names
    return f"{names} ({', '.join(one_line(head.ref) for head in report.refs)})"
