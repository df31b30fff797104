"""A program: `modelfloat`, with a network between it and its directories.

    python -m modelfloat.bench.overnetwork NETWORK COUNTS COMMAND...

NETWORK is a JSON object of what `network.Network` holds, COUNTS the file of its `Traffic`.
"""

import json
import sys
from pathlib import Path
from typing import Final

from modelfloat.backends import registry
from modelfloat.bench import network
from modelfloat.cli import main as cli

OPENER: Final = "opener"


def main(told: str, counts: str, *command: str) -> None:
    """Run one command."""
    opener = network.Opener(network.Network(**json.loads(told)), network.Traffic(Path(counts)))
    setattr(network, OPENER, opener)
    registry.SCHEMES["file"] = f"{network.__name__}:{OPENER}"
    sys.argv[1:] = command
    cli.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
