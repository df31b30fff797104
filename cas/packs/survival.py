"""What a store survives, in words: counted in domains, never in directories."""

from collections.abc import Sequence

from ...erasure.scheme import Scheme
from .placement import Candidate, survivable_backends, survivable_domains


def describe(scheme: Scheme, candidates: Sequence[Candidate]) -> str:
    """One line on what may be lost without losing data, for packs of `scheme` placed now."""
    if not candidates:
        return "no backend is up: nothing can be read or stored"
    if not scheme.m:
        return "no parity: any lost or damaged shard is lost data"
    domains = {candidate.domain for candidate in candidates}
    lost_domains = survivable_domains(scheme.m, scheme.n, candidates)
    lost_backends = survivable_backends(scheme.m, scheme.n, len(candidates))
    if len(candidates) == 1:
        return "one directory: bit rot is repaired, a lost disk is not"
    if len(domains) == 1:
        if not lost_backends:
            return (
                f"protects against damage of single shards, NOT against the loss of one of "
                f"{len(candidates)} directories, nor of this disk"
            )
        return (
            f"protects against damage in any {lost_backends} of {len(candidates)} directories, "
            "NOT against the loss of this disk"
        )
    if lost_domains:
        return f"survives the loss of any {lost_domains} of {len(domains)} domains"
    return f"survives damage, but NOT the loss of one of {len(domains)} domains"
