"""Figures as Prometheus reads them: the text exposition format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/. Every name gets `modelfloat_` before
it. Counters end in `_total`, units are seconds and bytes, as
https://prometheus.io/docs/practices/naming/ wants it.
"""

from collections.abc import Iterable, Iterator

Labels = dict[str, str]


def single(name: str, kind: str, what: str, value: float) -> Iterator[str]:
    """The lines of a metric that has one value and no labels."""
    return family(name, kind, what, [({}, value)])


def family(
    name: str, kind: str, what: str, samples: Iterable[tuple[Labels, float]]
) -> Iterator[str]:
    """The lines of a metric of that kind (`counter`, `gauge`), with what it means."""
    yield from head(name, kind, what)
    for labels, value in samples:
        yield sample(name, labels, value)


def head(name: str, kind: str, what: str) -> Iterator[str]:
    """What stands before a metric's values."""
    yield f"# HELP modelfloat_{name} {what}"
    yield f"# TYPE modelfloat_{name} {kind}"


def sample(name: str, labels: Labels, value: float) -> str:
    """One value."""
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"modelfloat_{name}{{{inner}}} {value!r}" if inner else f"modelfloat_{name} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
