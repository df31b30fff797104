"""The options of `modelfloat verify`, and shares and rates as one types them."""

import re
from typing import Annotated, Final

import typer

from ..errors import UsageError
from .completion import named
from .settingvalues import size

Part = Annotated[
    str | None,
    named("VENDOR/NAME[@REV][/PATH]", "Check only what this needs."),
]
Repair = Annotated[bool, typer.Option("--repair", help="Write damaged and lost shards anew.")]
Sample = Annotated[
    str | None,
    typer.Option(metavar="SHARE", help="Check a share, as 5%: what was not checked longest."),
]
Limit = Annotated[
    str | None,
    typer.Option(
        "--limit", "--budget", metavar="RATE", help="Read and write no faster, as 50MB/s."
    ),
]
Scrub = Annotated[
    bool, typer.Option("--scrub", help="Check what is due by scrub_period, at scrub_limit.")
]
Period = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Check what is due for all to be checked once so often, as 30d."
    ),
]
ReportFile = Annotated[
    str | None,
    typer.Option("--report", metavar="FILE", help="Write what is found into a JSON file."),
]
Metrics = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write figures for Prometheus's node exporter."),
]

_SHARE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")


def parse_share(text: str) -> float:
    """`5%` as 0.05; UsageError for what is no share of a whole."""
    match = _SHARE.fullmatch(text)
    if match is None or not 0 < float(match[1]) <= 100:
        raise UsageError(f"--sample {text!r} is no share: give a percentage, as 5%")
    return float(match[1]) / 100


def parse_rate(text: str) -> float:
    """`50MB/s` as bytes a second, decimal units or KiB, MiB, GiB; UsageError for what is none."""
    try:
        rate = size(text.removesuffix("/s"))
    except ValueError:
        rate = 0
    if not rate:
        raise UsageError(f"--limit {text!r} is no rate: give bytes a second, as 50MB/s")
    return float(rate)
