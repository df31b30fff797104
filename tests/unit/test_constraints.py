"""constraints.txt pins everything that is installed for development, and names no address."""

import re
import tomllib
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from modelfloat.tests.support.checkout import ROOT

PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.+!]+)")


def _pin_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def _pins() -> dict[str, str]:
    matches = [PIN.fullmatch(line) for line in _pin_lines()]
    return {canonicalize_name(match["name"]): match["version"] for match in matches if match}


def _requirements() -> list[Requirement]:
    """What `.[dev,onnx]` asks for, and what builds it."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    extras = project["optional-dependencies"]
    texts = project["dependencies"] + extras["dev"] + extras["onnx"]
    return [Requirement(text) for text in texts + document["build-system"]["requires"]]


def test_each_line_is_one_exact_version() -> None:
    assert [line for line in _pin_lines() if not PIN.fullmatch(line)] == []
    assert len(_pins()) == len(_pin_lines())


def test_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert "--" not in text


def test_each_requirement_is_pinned_within_its_bounds() -> None:
    pins = _pins()
    wrong = [
        str(requirement)
        for requirement in _requirements()
        if pins.get(canonicalize_name(requirement.name), "") not in requirement.specifier
    ]
    assert wrong == []


def test_everything_they_bring_along_is_pinned() -> None:
    pins, seen = _pins(), set[tuple[str, str]]()
    waiting = [(requirement, "") for requirement in _requirements()]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        assert name in pins
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                brought = metadata.requires(name) or []
                waiting += [(Requirement(text), wanted) for text in brought]
