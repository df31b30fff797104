"""The contract over a fake Google Drive: as one wishes it, and with listings that are late."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelfloat.backends.base import Backend
from modelfloat.backends.registry import open_backend
from modelfloat.tests.contract.suite import BackendContract
from modelfloat.tests.servers.gdrive import serve_gdrive


class TestGoogleDrive(BackendContract):
    @pytest.fixture(params=[pytest.param(0, marks=pytest.mark.slow), 6], ids=["prompt", "late"])
    async def backend(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Backend]:
        async with serve_gdrive(tmp_path / "drive") as drive:
            drive.state.lag = request.param
            for name, value in drive.credentials().items():
                monkeypatch.setenv(name, value)
            state = str(tmp_path / "state")
            backend = open_backend("d0", drive.backend_url(), state=state, rate="none")
            yield backend
            await backend.aclose()
