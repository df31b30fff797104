"""Shells in mount namespaces of their own, where tests may mount over anything."""

import os
import subprocess

import pytest

from modelfloat.tests.support.mounted import PATIENCE


def _may_unshare() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        done = subprocess.run(
            ["unshare", "--mount", "true"], capture_output=True, check=False, timeout=PATIENCE
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


as_root = pytest.mark.skipif(not _may_unshare(), reason="needs root and unshare(1)")
"""The mark of tests that make namespaces."""


def in_namespace(script: str, propagation: str = "private") -> "subprocess.CompletedProcess[str]":
    """Run a shell script in a mount namespace; what it mounts there goes with it."""
    return subprocess.run(
        ["unshare", "--mount", f"--propagation={propagation}", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE * 2,
    )
