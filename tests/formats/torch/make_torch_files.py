"""Makes the PyTorch files beside it, and `expected.json`: what PyTorch itself says they hold.

Run with PyTorch 2.x, which ModelFloat does not need: `python make_torch_files.py`. For each file:
each tensor's name, dtype, shape, and its elements in hex in the order of the shape.
"""

import json
import os
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

EXPECTED: dict[str, dict[str, Any]] = {}


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Different elements, where the type has so many."""
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float32) - 3).reshape(shape).to(dtype)


def told(tensor: torch.Tensor) -> dict[str, Any]:
    """What is expected of one tensor."""
    flat = tensor.detach().contiguous().reshape(-1)
    raw = bytes(flat.view(torch.uint8).tolist())
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"dtype": dtype, "shape": list(tensor.shape), "bytes": raw.hex()}


def save(name: str, value: object, tensors: dict[str, torch.Tensor], **how: Any) -> None:
    """Save a value, and what is expected to be found of it."""
    torch.save(value, name, **how)
    EXPECTED[name] = {key: told(tensor) for key, tensor in tensors.items()}


class Net(torch.nn.Module):
    """A convolution that is normalised, and a tensor that is no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 2)
        self.norm = torch.nn.BatchNorm2d(3)
        self.register_buffer("scale", numbers(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Something that TorchScript can compile, with a constant in it."""
        return self.norm(self.conv(x)) * self.scale[:, None, None]


def state_dicts() -> None:
    """What most files are: a dict of tensors, and dicts of dicts."""
    state = Net().state_dict()
    save("state_dict.pt", state, dict(state))
    nested = {"epoch": 7, "model": {"layer": {"weight": numbers(2, 3)}}, "list": [numbers(2), 5]}
    names = {"model.layer.weight": nested["model"]["layer"]["weight"], "list.0": nested["list"][0]}
    save("nested.pt", nested, names)
    for protocol in (3, 4, 5):
        save(f"protocol{protocol}.pt", nested, names, pickle_protocol=protocol)
    save("tensor.pt", numbers(4), {"tensor": numbers(4)})
    save("legacy.pt", state, {}, _use_new_zipfile_serialization=False)


def dtypes() -> None:
    """Every element type that PyTorch saves."""
    kinds = "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32"
    kinds += " float64 complex64 complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz"
    kinds += " float8_e5m2fnuz"
    tensors = {kind: numbers(2, 3, dtype=getattr(torch, kind)) for kind in kinds.split()}
    save("dtypes.pt", tensors, tensors)


def views() -> None:
    """Tensors that share a storage, in all ways."""
    base, strips, tied = numbers(4, 6), numbers(10), numbers(5)
    apart = {"head": strips[:3], "tail": strips[5:9]}
    save("apart.pt", apart, apart)
    save("overlap.pt", {"base": base, "part": base[1:3]}, {"base": base})
    save("crossing.pt", {"a": strips[:6], "b": strips[4:]}, {})
    save("tied.pt", {"embed": tied, "head": tied}, {"embed": tied})
    save("strided.pt", {"columns": base[:, :2], "spread": numbers(1).expand(4)}, {})
    turned = {"turned": numbers(2, 3).t(), "empty": numbers(0, 4)}
    save("turned.pt", turned, {"turned": turned["turned"]})


def modules() -> None:
    """Parameters, whole modules, optimizers, and what is none of these."""
    torch.manual_seed(1)
    net = Net()
    state = net.state_dict()
    save("module.pt", net, dict(state))
    parameters = {"w": torch.nn.Parameter(numbers(3))}
    save("parameter.pt", parameters, parameters)
    optimizer = torch.optim.Adam(net.parameters())
    net(numbers(1, 2, 4, 4)).sum().backward()
    optimizer.step()
    adam = optimizer.state_dict()
    moments = {f"state.{i}.{k}": t for i, part in adam["state"].items() for k, t in part.items()}
    save("adam.pt", adam, moments)
    sparse = numbers(2, 2).to_sparse()
    parts = {"m.1.0": sparse.indices(), "m.1.1": sparse.values()}
    save("others.pt", OrderedDict(m=sparse, storage=numbers(3).untyped_storage()), parts)


def save_script(name: str, script: torch.jit.ScriptModule) -> None:
    """Save an archive without what it says of the files that its source lay in."""
    script.save("whole.pt")
    reader = torch._C.PyTorchFileReader("whole.pt")
    writer = torch._C.PyTorchFileWriter(name)
    own = (".debug_pkl", "version", "byteorder", ".data/serialization_id")
    for record in reader.get_all_records():
        if not record.endswith(own):
            data = reader.get_record(record)
            writer.write_record(record, data, len(data))
    writer.write_end_of_file()
    Path("whole.pt").unlink()


def scripts() -> None:
    """TorchScript archives, one with a constant."""
    net = Net()
    save_script("script.pt", torch.jit.script(net))
    EXPECTED["script.pt"] = {name: told(tensor) for name, tensor in net.state_dict().items()}
    constant = numbers(3)
    traced = torch.jit.trace(lambda x: x + constant, numbers(3))
    save_script("constant.pt", traced)
    EXPECTED["constant.pt"] = {"constants.0": told(constant)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.chdir(Path(__file__).parent)
    for make in (state_dicts, dtypes, views, modules, scripts):
        make()
    Path("expected.json").write_text(json.dumps(EXPECTED, indent=1) + "\n")
