"""A program: runs command lines, each in a fork of its own that counts its steps and may be struck.

It reads one JSON object a line from stdin, and answers with one a line on stdout. A fork costs
milliseconds where a process of its own costs a second: everything is imported by then. It opens
no store itself and has one thread, so its forks are whole.
"""

import json
import os
import sys
from typing import Any

from modelfloat.cli import (  # noqa: F401 - imported before the forks
    add,
    backend,
    backendmoves,
    branch,
    gc,
    get,
    key,
    ls,
    mv,
    pull,
    push,
    rebuild_index,
    restore,
    restripe,
    rm,
    stats,
    tag,
    undo,
    verify,
)
from modelfloat.cli.main import run
from modelfloat.tests.support.steps import Steps, install


def main() -> None:
    """Serve until stdin ends."""
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


def _run(job: dict[str, Any]) -> dict[str, int]:
    child = os.fork()
    if child == 0:
        os._exit(_work(job))
    _, status = os.waitpid(child, 0)
    return {"status": os.waitstatus_to_exitcode(status)}


def _work(job: dict[str, Any]) -> int:
    for number, name in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    install(Steps(job["at"], job["fault"], lasting=job["lasting"], log=log))
    try:
        return run(job["arguments"])
    except BaseException:  # noqa: BLE001 - a traceback where there may be none is what tests look for
        import traceback

        traceback.print_exc()
        return 99
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main()
