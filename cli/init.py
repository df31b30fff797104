"""`modelfloat init`: make a store; with `--join`, see `join`."""

from typing import TYPE_CHECKING

from ..errors import UsageError
from .backendspec import parse_backend
from .initflags import Backends, Encrypt, Erasure, Join, RecoveryFile
from .options import command
from .output import human_size, plural, say, say_json
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.encryption.founding import Encryption
    from ..creating import InitReport


@command
def init(
    settings: Settings,
    erasure: Erasure = None,
    backend: Backends = None,
    join: Join = False,
    encrypt: Encrypt = False,
    recovery_file: RecoveryFile = None,
) -> int | None:
    """Make a store in the folder that --store names."""
    if join:
        from .join import joined

        _refuse_new(erasure, recovery_file, encrypt=encrypt)
        return joined(settings, backend or ())
    import functools

    import trio

    from ..creating import create_store
    from ..erasure.scheme import Scheme
    from .newencryption import encryption_of

    scheme = None if erasure is None else Scheme.parse(erasure)
    specs = [parse_backend(text) for text in backend or ()]
    reserve = int(settings.number("reserve"))
    encryption = encryption_of(settings, recovery_file, encrypt=encrypt)
    make = functools.partial(
        create_store, settings.store, scheme, specs, reserve=reserve, encryption=encryption
    )
    report = trio.run(make)
    if settings.json:
        say_json(document(report))
    elif not settings.quiet:
        say(summary(report))
        if encryption is not None:
            say(_encrypted(encryption))
        if report.reserve < reserve:
            say(_smaller(report.reserve, reserve))
    return None


def _refuse_new(erasure: str | None, recovery_file: str | None, *, encrypt: bool) -> None:
    if erasure is not None or recovery_file is not None or encrypt:
        raise UsageError(
            "--join takes a store as it is: leave --erasure, --encrypt and --recovery-file out"
        )


def document(report: "InitReport") -> dict[str, object]:
    """The report as `--json` prints it; `overhead` is parity bytes for each data byte."""
    return {
        "store": report.path,
        "id": report.id.hex(),
        "erasure": str(report.scheme),
        "overhead": report.overhead,
        "backends": list(report.backends),
        "survives": report.survives,
        "reserve": report.reserve,
        "encrypted": report.encrypted,
    }


def _encrypted(encryption: "Encryption") -> str:
    if encryption.sheet is None:
        return "encrypted, WITHOUT a recovery sheet: `modelfloat key recovery FILE` writes one"
    return (
        f"encrypted; recovery sheet: {encryption.sheet}: print it, keep it elsewhere, delete the "
        "file"
    )


def _smaller(kept: int, wanted: int) -> str:
    if not kept:
        return "no reserve: the disk is too small or too full to keep any for rm and gc"
    return (
        f"the reserve for rm and gc is {human_size(kept)} instead of {human_size(wanted)}: at most "
        "1 % of what was free"
    )


def summary(report: "InitReport") -> str:
    """The store, what it costs and what it survives."""
    cost = f"parity +{100 * report.overhead:.3g} %" if report.overhead else "no parity"
    places = f"{plural(len(report.backends), 'backend')} ({', '.join(report.backends)})"
    return f"store {report.path}: {report.scheme} over {places}, {cost}\n{report.survives}"
