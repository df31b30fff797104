"""What the product's source may say: every place that makes one of our errors, and its texts."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from modelfloat import errors
from modelfloat.tests.support.checkout import ROOT, product_modules

HOLE = "‹›"
"""Stands where a message has a value."""

CLASSES = {
    name: found
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, errors.ModelFloatError)
}


@dataclass(frozen=True)
class Site:
    """One place in the source: `file:line`, the error's class, and one text that it may have."""

    place: str
    error: str
    text: str


def sites() -> Iterator[Site]:
    """Every text of every error that is made with a text, in all product modules."""
    for module in product_modules():
        for node in ast.walk(ast.parse((ROOT / module).read_bytes())):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.id if isinstance(node.func, ast.Name) else ""
                if name in CLASSES:
                    for text in _texts(node.args[0]):
                        yield Site(f"{module}:{node.lineno}", name, text)


def _texts(node: ast.expr) -> list[str]:
    """All texts that an expression may be; what is not known is a hole."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return _joined(parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [a + b for a in _texts(left) for b in _texts(right)]
        case ast.IfExp(body=body, orelse=other):
            return [*_texts(body), *_texts(other)]
    return [HOLE]


def _joined(parts: list[ast.expr]) -> list[str]:
    found = [""]
    for part in parts:
        found = [before + text for before in found for text in _texts(part)]
    return [re.sub(f"(?:{HOLE})+", HOLE, text) for text in found]
