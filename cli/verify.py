"""`modelfloat verify`: read every shard, tell what is damaged, repair it if asked."""

from typing import TYPE_CHECKING

from .failures import leave_out_backends
from .options import command
from .output import say, say_json
from .progress import progress_of
from .session import in_store
from .settings import Settings
from .verifyflags import (
    Limit,
    Metrics,
    Part,
    Period,
    Repair,
    ReportFile,
    Sample,
    Scrub,
    parse_rate,
    parse_share,
)

if TYPE_CHECKING:
    from ..cas.store import Store
    from ..cas.verify.checkorder import VerifyRequest
    from ..cas.verify.report import VerifyReport
    from ..cas.verify.scrubstatus import ScrubStatus


@command
def verify(
    settings: Settings,
    address: Part = None,
    repair: Repair = False,
    sample: Sample = None,
    limit: Limit = None,
    scrub: Scrub = False,
    period: Period = None,
    report_file: ReportFile = None,
    metrics: Metrics = None,
) -> int:
    """Check every shard against its hashes.

    Exit status: 0 all is well, 1 a backend refuses us, 3 damage was found (and repaired, if asked)
    or a backend is down, 4 data is lost.
    """
    from . import scrub as scrubbing
    from .verifyreport import document, lines

    part = address is not None or sample is not None
    due = scrubbing.period_of(settings, scrub=scrub, period=period, part=part)
    slow = scrubbing.rate_of(settings) if scrub else None
    rate = slow if limit is None else parse_rate(limit)
    request = _request(address, sample, repair=repair, rate=rate, period=due)
    figures = settings.text("scrub_metrics", metrics) if scrub or metrics else ""
    scrubbing.refuse_lost(report_file, figures)

    async def work(store: "Store") -> "tuple[VerifyReport, str, ScrubStatus]":
        with progress_of(settings, "verify") as progress:
            found = await store.verify(request, progress=progress)
        return found, store.id.hex(), await store.scrubbed()

    leave_out_backends()
    report, store, status = in_store(settings, work, ask=False)
    if settings.json:
        say_json(document(report))
    else:
        say("\n".join(lines(report, repair=repair, all_files=settings.verbose)))
    if report_file is not None:
        scrubbing.write_report(report_file, document(report))
    if figures:
        scrubbing.write_metrics(figures, store, status)
    return report.exit_status


def _request(
    address: str | None,
    sample: str | None,
    *,
    repair: bool,
    rate: float | None,
    period: float | None,
) -> "VerifyRequest":
    from ..cas.refnames import parse_address
    from ..cas.verify.checkorder import VerifyRequest

    part = None if address is None else parse_address(address)
    share = None if sample is None else parse_share(sample)
    return VerifyRequest(repair, part, share, rate, period)
