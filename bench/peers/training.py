"""A program for a venv with PyTorch: fine-tunes a part of MiniLM for a few real steps.

`training.py MODEL VOCABULARY RESULT STEPS TENSOR...` reads the tensors of all-MiniLM-L6-v2 by
`torch.load`, trains the named ones and leaves all others as they are, and writes every tensor, in
the file's order, to RESULT by `torch.save`. The loss is SimCSE's (arXiv 2104.08821): the same
sentence under two dropout masks must meet itself among all others. The sentences are those of the
standard library's docstrings. Prints the loss of each step.
"""

import ast
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

HEADS = 12
LAYERS = 6
DROPOUT = 0.1
TEMPERATURE = 0.05
BATCH = 32
SHORTEST, LENGTH = 6, 48
"""Tokens of a sentence."""
RATE = 2e-5
CLS, SEP, UNKNOWN, PADDING = 101, 102, 100, 0
"""What BERT's vocabulary calls a sentence's begin and end, a word it does not know, and nothing."""

Tensors = dict[str, Any]


def sentences(vocabulary: Path) -> list[list[int]]:
    """Token ids of the first lines of the standard library's docstrings, by greedy word pieces."""
    words = vocabulary.read_text(encoding="utf-8").splitlines()
    ids = {word: number for number, word in enumerate(words)}
    return [each for text in docstrings() if len(each := tokens(text, ids)) > SHORTEST]


def docstrings() -> Iterator[str]:
    """The first line of each docstring of the standard library's modules."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield from (ast.get_docstring(node) or "").splitlines()[:1]


def tokens(text: str, ids: dict[str, int]) -> list[int]:
    """A sentence in word pieces, between its begin and its end."""
    pieces = [
        piece for word in re.findall(r"\w+|[^\w\s]", text.lower()) for piece in cut(word, ids)
    ]
    return [CLS, *pieces[: LENGTH - 2], SEP]


def cut(word: str, ids: dict[str, int]) -> list[int]:
    """The longest known piece first, then the longest that continues it, and so on."""
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in ids:
                pieces.append(ids[piece])
                start = end
                break
        else:
            return [UNKNOWN]
    return pieces


def embed(model: Tensors, batch: Any, mask: Any) -> Any:
    """Mean-pooled, normalised sentence embeddings of padded token ids (BERT, post-norm)."""

    def linear(name: str, x: Any) -> Any:
        return functional.linear(x, model[f"{name}.weight"], model[f"{name}.bias"])

    def norm(name: str, x: Any) -> Any:
        scale, shift = model[f"{name}.weight"], model[f"{name}.bias"]
        return functional.layer_norm(x, (x.shape[-1],), scale, shift, 1e-12)

    def drop(x: Any) -> Any:
        return functional.dropout(x, DROPOUT)

    x = model["embeddings.word_embeddings.weight"][batch]
    x = x + model["embeddings.position_embeddings.weight"][: batch.shape[1]]
    x = x + model["embeddings.token_type_embeddings.weight"][0]
    x = drop(norm("embeddings.LayerNorm", x))
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        parts = [linear(f"{layer}.attention.self.{p}", x) for p in ("query", "key", "value")]
        q, k, v = (p.unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in parts)
        met = functional.scaled_dot_product_attention(q, k, v, mask[:, None, None], DROPOUT)
        met = linear(f"{layer}.attention.output.dense", met.transpose(1, 2).flatten(-2))
        x = norm(f"{layer}.attention.output.LayerNorm", x + drop(met))
        inner = functional.gelu(linear(f"{layer}.intermediate.dense", x))
        inner = linear(f"{layer}.output.dense", inner)
        x = norm(f"{layer}.output.LayerNorm", x + drop(inner))
    weight = mask[..., None].to(x.dtype)
    return functional.normalize((x * weight).sum(1) / weight.sum(1), dim=-1)


def train(model: Tensors, names: list[str], texts: list[list[int]], steps: int) -> None:
    """AdamW on the named tensors alone."""
    for name in names:
        model[name].requires_grad_()
    optimizer = torch.optim.AdamW([model[name] for name in names], lr=RATE)
    for step in range(steps):
        chosen = [texts[int(i)] for i in torch.randint(len(texts), (BATCH,))]
        longest = max(map(len, chosen))
        batch = torch.tensor([each + [PADDING] * (longest - len(each)) for each in chosen])
        mask = batch != PADDING
        first, second = embed(model, batch, mask), embed(model, batch, mask)
        loss = functional.cross_entropy(first @ second.T / TEMPERATURE, torch.arange(BATCH))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)


def main(source: str, vocabulary: str, result: str, steps: str, *names: str) -> None:
    """Read, train, save."""
    torch.manual_seed(1)
    model = torch.load(source, weights_only=True)
    train(model, list(names), sentences(Path(vocabulary)), int(steps))
    torch.save({name: tensor.detach() for name, tensor in model.items()}, result)


if __name__ == "__main__":
    main(*sys.argv[1:])
