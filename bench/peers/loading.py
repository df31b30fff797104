"""A program for a venv with PyTorch and ONNX Runtime: loads models as their users do, timed.

`loading.py` reads questions, a JSON object a line: `{"how", "path", "ahead"}`. HOW is `safetensors`
(`load_file`), `torch` (`torch.load(mmap=True)`) or `onnx` (an ONNX Runtime session on the CPU). The
first two map the file and read next to nothing, so each tensor is then copied, as a device gets it.
With `ahead` eight threads read the file meanwhile, 16 MiB each at a time. Answers hold `seconds`,
and `digest`, computed off the clock: of all tensors' bytes by name, or of what the session answers.

`{"make": how, "path", "of"}` writes the tensors of the safetensors file `of` for another library.
"""

import gc
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

Hash = Callable[[Any], str]


def load_safetensors(path: str) -> Any:
    """Every tensor of a safetensors file, in memory of its own."""
    from safetensors.torch import load_file

    return {name: tensor.clone() for name, tensor in load_file(path).items()}


def load_torch(path: str) -> Any:
    """Likewise of what `torch.save` wrote."""
    import torch

    loaded = torch.load(path, mmap=True, weights_only=True)
    return {name: tensor.clone() for name, tensor in loaded.items()}


def load_onnx(path: str) -> Any:
    """A session that is ready to answer."""
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def hash_tensors(tensors: Any) -> str:
    """All bytes, tensor by tensor, in the order of their names."""
    import torch

    hasher = blake3()
    for name in sorted(tensors):
        flat = tensors[name].contiguous().flatten().view(torch.uint8)
        hasher.update(memoryview(flat.numpy()))
    return hasher.hexdigest()


def hash_answer(session: Any) -> str:
    """What the session makes of ones; every weight has a part in it."""
    import numpy as np

    (asked,) = session.get_inputs()
    (answer,) = session.run(None, {asked.name: np.ones(asked.shape, np.float32)})
    return blake3(np.ascontiguousarray(answer).tobytes()).hexdigest()


WAYS: dict[str, tuple[Callable[[str], Any], Hash]] = {
    "safetensors": (load_safetensors, hash_tensors),
    "torch": (load_torch, hash_tensors),
    "onnx": (load_onnx, hash_answer),
}


def make_torch(path: str, of: str) -> None:
    """A state dict, by `torch.save`."""
    import torch

    torch.save(load_safetensors(of), path)


def make_onnx(path: str, of: str) -> None:
    """A chain of products with the file's matrices as FP32, their bytes in a file beside it."""
    import onnx
    import torch
    from onnx import TensorProto, helper, numpy_helper

    matrices = [t.to(torch.float32) for t in load_safetensors(of).values() if t.dim() == 2]
    weights, nodes, width = [], [], matrices[0].shape[0]
    for number, matrix in enumerate(matrices):
        # What is random bits in BF16 has infinities; an answer must not.
        finite = torch.nan_to_num(matrix, 0.0, 0.0, 0.0).clamp(-1, 1) / width
        weights.append(numpy_helper.from_array(finite.numpy(), f"w{number}"))
        nodes.append(helper.make_node("MatMul", [f"x{number}", f"w{number}"], [f"x{number + 1}"]))
    first = helper.make_tensor_value_info("x0", TensorProto.FLOAT, [1, width])
    last = helper.make_tensor_value_info(f"x{len(nodes)}", TensorProto.FLOAT, [1, width])
    graph = helper.make_graph(nodes, "chain", [first], [last], weights)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    beside = f"{os.path.basename(path)}.data"
    onnx.save(model, path, save_as_external_data=True, location=beside, size_threshold=1024)


MAKERS = {"torch": make_torch, "onnx": make_onnx}


@contextmanager
def reading_ahead(path: str) -> Iterator[None]:
    """Eight threads read a file from its start to its end, a block each at a time."""
    lock, offsets = threading.Lock(), iter(range(0, os.stat(path).st_size, BLOCK))

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


def timed(how: str, path: str, ahead: bool) -> dict[str, object]:
    """One load; nothing of it stays."""
    load, digest = WAYS[how]
    start = time.perf_counter()
    with (reading_ahead if ahead else left_alone)(path):
        loaded = load(path)
        seconds = time.perf_counter() - start
    found = digest(loaded)
    del loaded
    gc.collect()
    return {"seconds": seconds, "digest": found}


def answer(question: dict[str, Any]) -> dict[str, object]:
    """What a question asks for."""
    if "make" in question:
        MAKERS[question["make"]](question["path"], question["of"])
        return {}
    return timed(question["how"], question["path"], question["ahead"])


def main() -> None:
    """Answer until the input ends. What is imported is imported before anything is timed."""
    for name in ("torch", "safetensors.torch", "onnxruntime"):
        __import__(name)
    for line in sys.stdin:
        try:
            told = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001  the other side tells of it
            told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
