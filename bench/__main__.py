"""`python -m modelfloat.bench [SUBJECT]...` measures the named subjects, or all of them."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from modelfloat.bench import (
    add,
    codecs,
    collect,
    crowd,
    dedup,
    effort,
    encryption,
    entries,
    erasure,
    files,
    history,
    huge,
    index,
    loaders,
    manypacks,
    memory,
    pool,
    providers,
    push,
    randomreads,
    read,
    realfiles,
    rebuild,
    remote,
    sets,
    shared,
    slow,
    storms,
    verify,
)
from modelfloat.bench.harness import BenchError, say
from modelfloat.bench.report import Report, write
from modelfloat.bench.session import Session
from modelfloat.bench.workspace import workspace
from modelfloat.errors import ModelFloatError

SPACE: Final = 8.5
"""Times the file's size: two files, stores of 4+2 of both, two copies of peers, and some room."""


def _erasure(session: Session) -> Report:
    return Report("erasure", [[erasure.HEADER, *map(str, erasure.rows())]])


SUBJECTS: Final[dict[str, Callable[[Session], Report]]] = {
    "erasure": _erasure,
    "codecs": codecs.measure,
    "realfiles": realfiles.measure,
    "dedup": dedup.measure,
    "entries": entries.measure,
    "add": add.measure,
    "effort": effort.measure,
    "encryption": encryption.measure,
    "read": read.measure,
    "remote": remote.measure,
    "providers": providers.measure,
    "slow": slow.measure,
    "random": randomreads.measure,
    "sets": sets.measure,
    "crowd": crowd.measure,
    "storm": storms.measure,
    "loaders": loaders.measure,
    "huge": huge.measure,
    "index": index.measure,
    "packs": manypacks.measure,
    "rebuild": rebuild.measure,
    "collect": collect.measure,
    "files": files.measure,
    "history": history.measure,
    "push": push.measure,
    "memory": memory.measure,
    "shared": shared.measure,
    "verify": verify.measure,
    "pool": pool.measure,
}


def main() -> int:
    """Print each subject's table; write it under `results/` too. 1 when a bench cannot go on."""
    arguments = _parse()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        with workspace(int(SPACE * arguments.size)) as work:
            session = Session(
                work,
                arguments.rounds,
                arguments.size,
                arguments.peers_only,
                arguments.chunks,
                arguments.folder,
                arguments.files,
                tuple(arguments.also),
                arguments.storm,
                arguments.commits,
            )
            for subject in arguments.subjects or SUBJECTS:
                report = SUBJECTS[subject](session)
                print(report, flush=True)
                if not (arguments.peers_only or arguments.no_write):
                    say(f"written: results/{write(report).name}")
    except (BenchError, ModelFloatError) as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        say("bench: interrupted; everything it made is removed")
        return 130
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m modelfloat.bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--rounds", type=int, default=5, help="rounds a median is taken of (5)")
    parser.add_argument("--size", type=float, default=1.4e9, help="bytes of the file (1.4e9)")
    parser.add_argument("--chunks", type=float, default=5e6, help="chunks of an index (5e6)")
    parser.add_argument("--files", type=int, default=200_000, help="files of a folder (200000)")
    parser.add_argument("--storm", type=float, default=60, help="seconds of a storm (60)")
    parser.add_argument("--commits", type=int, default=10, help="commits of `shared`, each (10)")
    parser.add_argument("--folder", type=Path, help="a disk for what is large (/var/tmp)")
    parser.add_argument(
        "--also", type=Path, action="append", default=[], help="a model for realfiles, too"
    )
    parser.add_argument("--peers-only", action="store_true", help="leave ModelFloat out")
    parser.add_argument("--no-write", action="store_true", help="print the tables only")
    arguments = parser.parse_args()
    arguments.size, arguments.chunks = int(arguments.size), int(arguments.chunks)
    if unknown := set(arguments.subjects) - set(SUBJECTS):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    if arguments.rounds < 1 or arguments.size < 1:
        parser.error("--rounds and --size must be at least 1")
    return arguments


def _leave(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that everything is cleaned up."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
