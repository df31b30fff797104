"""A program for a venv with hf_xet: uploads files into a folder as Hugging Face's client would.

`xetsession.py CACHE` reads questions, a JSON object a line: `{"do": "version"}` and
`{"do": "add", "store", "paths"}`. `store` is a folder, which hf_xet treats as a server. Answers
hold hf_xet's own figures: chunks and bytes it met, those that were new, bytes it sent.
"""

import json
import os
import sys
from importlib.metadata import version
from typing import Any

FIGURES = ("total_chunks", "new_chunks", "total_bytes", "new_bytes", "total_bytes_uploaded")


def add(store: str, paths: list[str]) -> dict[str, int]:
    """One commit of these files, deduplicated against what the store has."""
    import hf_xet

    commit = hf_xet.XetSession().new_upload_commit(endpoint=f"local://{store}")
    for path in paths:
        commit.start_upload_file(path, sha256=hf_xet.SKIP_SHA256)
    metrics = commit.wait_to_finish().dedup_metrics
    return {name: getattr(metrics, name) for name in FIGURES}


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """What a question asks for."""
    if question["do"] == "version":
        return {"version": f"hf_xet {version('hf_xet')}"}
    return add(question["store"], question["paths"])


def main(cache: str) -> None:
    """Answer until the input ends; nothing is kept or told outside CACHE."""
    os.environ.update(HF_HOME=cache, HF_XET_CACHE=cache, HF_XET_TELEMETRY_ENABLED="0")
    for line in sys.stdin:
        try:
            told = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001  the other side tells of it
            told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
