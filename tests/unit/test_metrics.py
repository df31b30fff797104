"""What Prometheus reads: the text format, held against its specification by a parser of our own."""

import math
import re
from dataclasses import fields

import pytest

from modelfloat.cas.histogram import Histogram
from modelfloat.cas.packs.health import State
from modelfloat.cas.read.counters import ReadCounts
from modelfloat.cas.read.figures import BackendReads, ReadFigures
from modelfloat.fuse.endpoint import Endpoint, parse_endpoint
from modelfloat.fuse.metrics import COUNTERS, metrics_text
from modelfloat.fuse.mountstate import MountState
from modelfloat.fuse.readstate import ReadState

_HELP = re.compile(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) [^\\]+")
_TYPE = re.compile(r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)")
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(
    rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? ([0-9.e+-]+|\+Inf|NaN)"
)
_SUFFIX = re.compile("_(bucket|sum|count)$")


def parse(data: bytes) -> tuple[dict[str, str], dict[tuple[str, str], float]]:
    """The type of each family, and each sample by name and labels: of a document that is right.

    Families come one after the other, each with its HELP and TYPE first, no sample twice.
    """
    assert data.endswith(b"\n")
    types: dict[str, str] = {}
    samples: dict[tuple[str, str], float] = {}
    lines = data.decode().split("\n")[:-1]
    family = ""
    for number, line in enumerate(lines):
        if match := _HELP.fullmatch(line):
            family = match[1]
            typed = _TYPE.fullmatch(lines[number + 1])
            assert typed is not None, line
            assert typed[1] == family
            assert family not in types, "a family's lines stand together"
            types[family] = typed[2]
        elif not _TYPE.fullmatch(line):
            match = _SAMPLE.fullmatch(line)
            assert match is not None, line
            plain = _SUFFIX.sub("", match[1]) if types[family] == "histogram" else match[1]
            assert plain == family, line
            key = match[1], match[2] or ""
            assert key not in samples, line
            samples[key] = float(match[3])
    return types, samples


def latency() -> Histogram:
    found = Histogram()
    for ns in [1, 900, 5_000, 5_000_000, 3_000_000_000, 1 << 50]:
        found.note(ns)
    return found


COUNTS = ReadCounts(**{each.name: n for n, each in enumerate(fields(ReadCounts), start=100)})
BACKENDS = (
    BackendReads("d0", "up", 1 << 60, 2, 3, 1e9, latency()),
    BackendReads('odd "name"\\\n', "slow"),
    BackendReads("gone", "down", errors=4, why="gone", since=1.5e9),
)
READS = ReadState(ReadFigures(COUNTS, latency(), 5, 1 << 40, BACKENDS), 2, 1_500_000_000)
STATE = MountState(7, "1.2", "/mnt/mod\udcffels", 17 * 10**9, binding="kernel", reads=READS)


def test_the_format_and_the_names() -> None:
    types, samples = parse(metrics_text(STATE, 3))
    for name, kind in types.items():
        assert name.startswith("modelfloat_")
        assert name.endswith("_total") == (kind == "counter"), name
    assert {name for name, _ in samples} >= {
        name for name, kind in types.items() if kind != "histogram"
    }


def test_every_counter_has_a_metric() -> None:
    _, samples = parse(metrics_text(STATE, 3))
    assert COUNTERS.keys() == {each.name for each in fields(ReadCounts)}
    for each in fields(ReadCounts):
        name, _ = COUNTERS[each.name]
        assert samples[f"modelfloat_{name}_total", ""] == getattr(COUNTS, each.name)


def test_the_latency_is_a_histogram() -> None:
    types, samples = parse(metrics_text(STATE, 3))
    assert types["modelfloat_read_seconds"] == "histogram"
    buckets = [
        (float(labels.removeprefix('le="').removesuffix('"')), value)
        for (name, labels), value in samples.items()
        if name == "modelfloat_read_seconds_bucket"
    ]
    bounds, counts = [bound for bound, _ in buckets], [count for _, count in buckets]
    assert bounds == sorted(set(bounds))
    assert counts == sorted(counts)
    assert (bounds[0], bounds[-1]) == (1.024e-06, math.inf)
    assert (counts[0], counts[-2], counts[-1]) == (2, 5, 6)
    assert samples["modelfloat_read_seconds_count", ""] == 6
    assert samples["modelfloat_read_seconds_sum", ""] == latency().total_ns / 1e9


def test_backends_and_what_waits() -> None:
    _, samples = parse(metrics_text(STATE, 3))
    odd = 'backend="odd \\"name\\"\\\\\\n"'
    up, slow = "modelfloat_backend_up", "modelfloat_backend_slow"
    names = ['backend="d0"', odd, 'backend="gone"']
    assert [samples[up, name] for name in names] == [1, 1, 0]
    assert [samples[slow, name] for name in names] == [0, 1, 0]
    assert [samples["modelfloat_backend_errors_total", name] for name in names] == [0, 0, 4]
    assert samples["modelfloat_backend_state_start_time_seconds", names[2]] == 1.5e9
    states = {key: value for key, value in samples.items() if key[0] == "modelfloat_backend_state"}
    assert len(states) == len(names) * (len(State) + 1)
    assert {labels for (_, labels), value in states.items() if value} == {
        f'{names[0]},state="up"',
        f'{odd},state="slow"',
        f'{names[2]},state="down"',
    }
    assert samples["modelfloat_backend_fetched_bytes_total", names[0]] == 1 << 60
    assert samples["modelfloat_backend_fetch_seconds_count", names[0]] == 6
    assert samples["modelfloat_backend_fetch_seconds_bucket", f'{names[2]},le="+Inf"'] == 0
    assert samples["modelfloat_backend_bytes_per_second", names[0]] == 1e9
    assert samples["modelfloat_reads_waiting_seconds", ""] == 1.5
    assert samples["modelfloat_memory_limit_bytes", ""] == 1 << 40
    info = 'version="1.2",mountpoint="/mnt/mod?els",binding="kernel"'
    assert samples["modelfloat_mount_info", info] == 1
    assert samples["modelfloat_open_files", ""] == 3


def test_a_mount_that_counts_nothing() -> None:
    _, samples = parse(metrics_text(MountState(7, "1", "/m", 0), 3))
    assert {name for name, _ in samples} == {
        "modelfloat_mount_info",
        "modelfloat_mount_start_time_seconds",
        "modelfloat_open_files",
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("9100", Endpoint("127.0.0.1", 9100)),
        (" 0 ", Endpoint("127.0.0.1", 0)),
        ("127.0.0.1:9100", Endpoint("127.0.0.1", 9100)),
        ("127.8.9.1:65535", Endpoint("127.8.9.1", 65535)),
        ("localhost:80", Endpoint("127.0.0.1", 80)),
        ("[::1]:9100", Endpoint("::1", 9100)),
    ],
)
def test_endpoints(text: str, found: Endpoint) -> None:
    assert parse_endpoint(text) == found
    assert parse_endpoint(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "x",
            "65536",
            "-1",
            "127.0.0.1",
            "127.0.0.1:",
            ":9100",
            "::1:9100",
            "9100x",
            "\u0663",
        ),
        *("0.0.0.0:9100", "[::]:9100", "10.0.0.1:9100", "example.org:9100", "[::1:9100"),
        *("localhost.example.org:1", "127.0.0.1.example.org:1", "[fe80::1]:9100", "http://x:1"),
    ],
)
def test_what_is_no_endpoint_of_the_loopback(text: str) -> None:
    with pytest.raises(ValueError, match=r"as 127\.0\.0\.1:9100"):
        parse_endpoint(text)
