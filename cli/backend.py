"""`modelfloat backend`: the places that hold a store's shards."""

from typing import TYPE_CHECKING, Annotated

import typer

from .backendlogin import backend_login
from .backendmoves import backend_drain, backend_rebalance, backend_rm
from .backendspec import make_backend
from .failures import leave_out_backends
from .options import PlainCommand, PlainGroup, command, global_options
from .output import say, say_json
from .session import in_store
from .settings import Settings
from .stats import backend_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..cas.storestats import BackendStatus

app = typer.Typer(
    cls=PlainGroup, callback=global_options, help="The places that hold a store's shards."
)


@command
def backend_add(
    settings: Settings,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What to call it.", show_default=False)
    ],
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="Where it is; a plain path is a URL.", show_default=False
        ),
    ],
    domain: Annotated[
        str | None,
        typer.Option(
            help="What fails together with it; by default its disk, or the host of its URL.",
            show_default=False,
        ),
    ] = None,
    weight: Annotated[
        str | None, typer.Option(help="Its share of new shards; 1 by default.", show_default=False)
    ] = None,
    capacity: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="How many bytes of shards it may hold, for example 500GB; by default what fits.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="How much may be asked of it, for example 10/s or 10/s:40+750GB/day, or `none`; "
            "by default what its provider allows.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Add a place for shards to the store."""
    import trio

    from ..backendchanges import add_backend

    spec = make_backend(name, url, domain, weight, capacity, rate)
    arguments = (spec.name, spec.url, spec.domain, spec.weight, spec.capacity, spec.rate)
    survives = trio.run(add_backend, settings.store, *arguments)
    if settings.json:
        say_json({"backend": spec.name, "survives": survives})
    elif not settings.quiet:
        say(f"backend {spec.name} added; new packs may use it\n{survives}")


@command
def backend_set(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which one.", show_default=False)],
    domain: Annotated[
        str | None, typer.Option(help="What fails together with it.", show_default=False)
    ] = None,
    weight: Annotated[
        str | None, typer.Option(help="Its share of new shards.", show_default=False)
    ] = None,
    capacity: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="How many bytes of shards it may hold; `none`: what fits.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="How much may be asked of it; `default`: what its provider allows.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Change what is known of a backend; what is stored stays where it lies."""
    import trio

    from ..backendchanges import change_backend
    from .backendspec import parse_changes

    changes = parse_changes(name, domain, weight, capacity, rate)
    survives = trio.run(change_backend, settings.store, name, changes)
    if settings.json:
        say_json({"backend": name, "survives": survives})
    elif not settings.quiet:
        say(f"backend {name} changed; what is stored stays where it is\n{survives}")


@command
def backend_ls(settings: Settings) -> None:
    """List the places that hold shards, and their state."""
    import dataclasses

    leave_out_backends()
    backends = in_store(settings, lambda store: store.backends(), ask=False)
    if settings.json:
        say_json([dataclasses.asdict(backend) for backend in backends])
    else:
        say(f"{backend_table(backends)}\n{home_line(backends)}")


def home_line(backends: "Sequence[BackendStatus]") -> str:
    """Who decides where several machines share the store."""
    home = next((backend.name for backend in backends if backend.ref_home), None)
    if home is not None:
        return f"ref home: {home}, which decides who goes first where machines share the store"
    return (
        "no ref home: none of them decides conditional puts, or one was not tried; a ref that two "
        "machines move at once gets two heads, which `log` shows and `branch` resolves"
    )


app.command("add", cls=PlainCommand)(backend_add)
app.command("drain", cls=PlainCommand)(backend_drain)
app.command("set", cls=PlainCommand)(backend_set)
app.command("rm", cls=PlainCommand)(backend_rm)
app.command("rebalance", cls=PlainCommand)(backend_rebalance)
app.command("login", cls=PlainCommand)(backend_login)
app.command("ls", cls=PlainCommand)(backend_ls)
