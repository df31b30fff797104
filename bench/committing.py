"""One of the machines of `shared`: `committing STORE NUMBER COUNT WORK` adds a file COUNT times and
prints how long each commit took."""

import json
import sys
import time
from pathlib import Path

import modelfloat
from modelfloat.bench.shared import BRANCHES, REPOSITORY, content_of, name_of


def main(store: str, number: int, count: int, work: str) -> None:
    """Make the commits, one after the other."""
    taken = []
    with modelfloat.open(store) as opened:
        for step in range(count):
            file = Path(work) / name_of(number, step)
            file.write_bytes(content_of(number, step))
            began = time.monotonic()
            opened.add(file, f"{REPOSITORY}@b{number % BRANCHES}", message=file.name)
            taken.append(time.monotonic() - began)
    print(json.dumps(taken))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
