"""The command line: which commands there are, and how the program begins and ends.

Everything that takes time to import is imported by the command that needs it, so that help and
completion answer at once.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import typer

from . import (
    add,
    backend,
    branch,
    cat,
    config,
    diff,
    doctor,
    gc,
    get,
    init,
    key,
    log,
    ls,
    mount,
    mv,
    pull,
    push,
    rebuild_index,
    restore,
    restripe,
    rm,
    show,
    site,
    stats,
    tag,
    umount,
    undo,
    verify,
    warm,
)
from .failures import BROKEN_PIPE, report, settle_stdout
from .options import PlainCommand, PlainGroup, global_options
from .output import complain, flush
from .starting import begin

WRONG_USAGE: Final = 2
_USAGE_ERROR: Final[type[Exception]] = typer.BadParameter.__bases__[0]
"""Whatever this version of typer derives all its errors of usage from."""

app: Final = typer.Typer(
    name="modelfloat",
    cls=PlainGroup,
    callback=global_options,
    help="Models, versioned, deduplicated and protected, on storage you need not trust.",
    rich_markup_mode=None,  # rich would take most of the time that --help has
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init", cls=PlainCommand)(init.init)
app.add_typer(backend.app, name="backend")
app.add_typer(key.app, name="key")
app.add_typer(site.app, name="site")
app.command("add", cls=PlainCommand)(add.add)
app.command("ls", cls=PlainCommand)(ls.ls)
app.command("cat", cls=PlainCommand)(cat.cat)
app.command("get", cls=PlainCommand)(get.get)
app.command("log", cls=PlainCommand)(log.log)
app.command("diff", cls=PlainCommand)(diff.diff)
app.command("show", cls=PlainCommand)(show.show)
app.command("tag", cls=PlainCommand)(tag.tag)
app.command("branch", cls=PlainCommand)(branch.branch)
app.command("undo", cls=PlainCommand)(undo.undo)
app.command("rm", cls=PlainCommand)(rm.rm)
app.command("mv", cls=PlainCommand)(mv.mv)
app.command("restore", cls=PlainCommand)(restore.restore)
app.command("gc", cls=PlainCommand)(gc.gc)
app.command("restripe", cls=PlainCommand)(restripe.restripe)
app.command("mount", cls=PlainCommand)(mount.mount)
app.command("umount", cls=PlainCommand)(umount.umount)
app.command("warm", cls=PlainCommand)(warm.warm)
app.command("push", cls=PlainCommand)(push.push)
app.command("pull", cls=PlainCommand)(pull.pull)
app.command("verify", cls=PlainCommand)(verify.verify)
app.command("rebuild-index", cls=PlainCommand)(rebuild_index.rebuild_index)
app.command("stats", cls=PlainCommand)(stats.stats)
app.command("config", cls=PlainCommand)(config.config)
app.command("doctor", cls=PlainCommand)(doctor.doctor)


def main() -> None:
    """The entry point `modelfloat`."""
    fill_streams()
    begin()
    status = run(sys.argv[1:])
    settle_stdout()
    sys.exit(status)


def fill_streams() -> None:
    """Put something in the place of standard streams that are closed.

    Else the next file to be opened, the index say, would get the number that prints are sent to.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest free number: this one
    # One that can only be read answers each write with an error, as a closed one would.
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit status. Nothing is raised but typer's own exits."""
    for stream in (sys.stdout, sys.stderr):
        # Names of files need not be text that the terminal's encoding knows.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    program = typer.main.get_command(app)
    try:
        status = program.main(
            list(arguments) or ["--help"], prog_name="modelfloat", standalone_mode=False
        )
        if not status:
            flush()  # a command that failed has told why
    except SystemExit as end:
        # Typer ends so when the reader of its help went away.
        return BROKEN_PIPE if isinstance(end.__context__, BrokenPipeError) else _status(end.code)
    except _USAGE_ERROR as error:
        complain(_usage(error))
        return WRONG_USAGE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  no traceback, whatever it is
        return report(error, verbose="--verbose" in arguments)
    return _status(status)


def _status(given: object) -> int:
    return given if isinstance(given, int) else 0


def _usage(error: Any) -> str:
    context = error.ctx
    path = context.command_path if context is not None else "modelfloat"
    return f"{error.format_message().rstrip('.')}; see {path} --help"


if __name__ == "__main__":
    main()
