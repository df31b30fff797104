"""A program for a venv with PyTorch: loads a model as its users do, and says how long that took.

    loading.py HOW FILE [prefetched]

HOW is `safetensors` (`load_file`), `torch` (`torch.load(mmap=True)`) or `onnx` (an ONNX Runtime
session). The first two map the file and read nothing of most tensors, so each is then copied, as a
device gets it. With `prefetched` eight threads read the file meanwhile, 16 MiB each at a time. In
the end a line of JSON: seconds, and the BLAKE3 of all tensors' bytes by name, hashed off the clock
where there are any.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from blake3 import blake3

THREADS = 8
BLOCK = 16 << 20

Tensors = dict[str, Any]


def load_safetensors(path: str) -> Tensors:
    """Every tensor of a safetensors file, in memory of its own."""
    from safetensors.torch import load_file

    return {name: tensor.clone() for name, tensor in load_file(path).items()}


def load_torch(path: str) -> Tensors:
    """Likewise of what `torch.save` wrote."""
    import torch

    loaded = torch.load(path, mmap=True, weights_only=True)
    return {name: tensor.clone() for name, tensor in loaded.items()}


def load_onnx(path: str) -> Tensors:
    """A session that could answer; it lets nobody look at its weights."""
    import onnxruntime

    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return {}


WAYS: dict[str, Callable[[str], Tensors]] = {
    "safetensors": load_safetensors,
    "torch": load_torch,
    "onnx": load_onnx,
}
MODULES = {"safetensors": "safetensors.torch", "torch": "torch", "onnx": "onnxruntime"}


@contextmanager
def reading_ahead(path: str) -> Iterator[None]:
    """Eight threads read a file from its start to its end, a block each at a time."""
    lock, size = threading.Lock(), os.stat(path).st_size
    offsets = iter(range(0, size, BLOCK))

    def read() -> None:
        descriptor, buffer = os.open(path, os.O_RDONLY), bytearray(BLOCK)
        while True:
            with lock:
                offset = next(offsets, None)
            if offset is None:
                break
            os.preadv(descriptor, [buffer], offset)
        os.close(descriptor)

    threads = [threading.Thread(target=read) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


@contextmanager
def left_alone(_path: str) -> Iterator[None]:
    """Nobody reads ahead."""
    yield


def digest(tensors: Tensors) -> str:
    """All bytes, tensor by tensor, in the order of their names."""
    import torch

    hasher = blake3()
    for name in sorted(tensors):
        flat = tensors[name].contiguous().flatten().view(torch.uint8)
        hasher.update(memoryview(flat.numpy()))
    return hasher.hexdigest()


def main(how: str, path: str, ahead: str = "") -> None:
    """Load, then tell."""
    __import__(MODULES[how])
    beside = reading_ahead if ahead else left_alone
    start = time.perf_counter()
    with beside(path):
        tensors = WAYS[how](path)
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "digest": digest(tensors) if tensors else ""}))


if __name__ == "__main__":
    main(*sys.argv[1:])
