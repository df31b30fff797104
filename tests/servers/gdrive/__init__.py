"""A fake Google Drive: Drive API v3 and Google's OAuth, as strict as the real ones are.

    async with serve_gdrive(folder) as drive:
        os.environ.update(drive.credentials())  # by monkeypatch, that is
        backend = open_backend("d0", drive.backend_url(), rate="none")

Written from Google's reference and guides (files, uploads, errors, OAuth for installed programs and
for devices), and held against a third party: rclone's drive backend works with it. What it injects
stands in `Faults`; what it was asked in `asked`.
"""

from .serving import CLIENT, FakeDrive, Faults, serve_gdrive

__all__ = ["CLIENT", "FakeDrive", "Faults", "serve_gdrive"]
