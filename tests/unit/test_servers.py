"""The servers that other tests talk to: they start, are killed, and come back with their data."""

import base64
from urllib.request import Request, urlopen

import obstore

from modelfloat.tests.support.servers import (
    PASSWORD,
    USER,
    RcloneS3,
    RcloneWebdav,
    SeaweedFS,
    s3_store,
)


def test_seaweedfs_keeps_its_objects_when_it_is_killed(seaweedfs: SeaweedFS) -> None:
    store = s3_store(seaweedfs.s3, seaweedfs.new_bucket())
    obstore.put(store, "a/b", b"value")
    seaweedfs.kill()
    assert not seaweedfs.up
    seaweedfs.start()
    assert bytes(obstore.get(store, "a/b").bytes()) == b"value"


def test_seaweedfs_serves_webdav(seaweedfs: SeaweedFS) -> None:
    url = f"{seaweedfs.webdav}/{seaweedfs.new_folder()}/file"
    with urlopen(Request(url, b"value", method="PUT")) as answer:
        assert answer.status == 201
    with urlopen(url) as answer:
        assert answer.read() == b"value"


def test_rclone_serves_s3(rclone_s3: RcloneS3) -> None:
    store = s3_store(rclone_s3.s3, rclone_s3.new_bucket())
    obstore.put(store, "a/b", b"first", mode="create")
    obstore.put(store, "a/b", b"second", mode="create")
    assert bytes(obstore.get(store, "a/b").bytes()) == b"second"


def test_rclone_serves_webdav(rclone_webdav: RcloneWebdav) -> None:
    url = f"{rclone_webdav.webdav}/{rclone_webdav.new_folder()}/file"
    user = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {user}"}
    with urlopen(Request(url, b"value", headers, method="PUT")) as answer:
        assert answer.status == 201
    with urlopen(Request(url, headers=headers)) as answer:
        assert answer.read() == b"value"
