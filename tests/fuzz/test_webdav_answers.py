"""What a WebDAV server says of its resources: whatever it says, an answer is read or refused."""

import pytest

from modelfloat.backends.webdav.answers import LONGEST, SILENT, MalformedError, Multistatus
from modelfloat.tests.support.fuzzing import Target, fuzz

APACHE = b"""<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:ns0="DAV:">
<D:response xmlns:lp1="DAV:"><D:href>/shelf/packs/</D:href><D:propstat><D:prop>
<lp1:resourcetype><D:collection/></lp1:resourcetype>
<lp1:getlastmodified>Sun, 01 Nov 2026 11:00:00 GMT</lp1:getlastmodified></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat><D:propstat><D:prop><D:getcontentlength/></D:prop>
<D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>
<D:response><D:href>http://host:80/shelf/a%20b?x#y</D:href><D:propstat><D:prop><lp1:resourcetype
xmlns:lp1="DAV:"/><D:getcontentlength>1048576</D:getcontentlength></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"""
GO = (
    b'<?xml version="1.0" encoding="UTF-8"?><D:multistatus xmlns:D="DAV:"><D:response><D:href>/k'
    b"</D:href><D:propstat><D:prop><D:resourcetype></D:resourcetype><D:getcontentlength>5"
    b"</D:getcontentlength><D:quota-available-bytes>-3</D:quota-available-bytes>"
    b"<D:quota-used-bytes>99999999999999999999999</D:quota-used-bytes></D:prop>"
    b"<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response><D:response><D:href>/gone"
    b"</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response></D:multistatus>"
)
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;">]>'
    b'<multistatus xmlns="DAV:"><response><href>&c;&c;&c;</href></response></multistatus>'
)
DEEP = b'<multistatus xmlns="DAV:">' + b"<response>" * 1000
LONG = b'<multistatus xmlns="DAV:"><response><href>' + b"x" * (LONGEST + 1)
WORDS = [
    b"<D:href>",
    b"</D:href>",
    b"<!DOCTYPE a>",
    b"%zz",
    b"]]>",
    b"&amp;",
    b"&#x10FFFF;",
    b"\xff",
]


def whole(data: bytes) -> None:
    """Read an answer in two pieces; all that is found is within bounds."""
    reader = Multistatus()
    reader.feed(data[: len(data) // 2])
    reader.feed(data[len(data) // 2 :])
    reader.close()
    for each in reader.found:
        assert len(each.path) <= LONGEST
        assert all(size is None or size >= 0 for size in (each.size, each.free, each.used))


def test_answers_are_read_or_refused(effort: tuple[int, float, int]) -> None:
    inputs, seconds, seed = effort
    target = Target(whole, [APACHE, GO], (MalformedError,), words=WORDS, inputs=[BOMB, DEEP, LONG])
    assert fuzz(target, inputs, seconds, seed) >= inputs


def test_the_seeds_say_what_they_say() -> None:
    reader = Multistatus()
    reader.feed(APACHE)
    reader.close()
    folder, file = reader.found
    assert (folder.path, folder.folder, folder.modified) == ("/shelf/packs", True, 1793530800.0)
    assert (file.path, file.folder, file.size) == ("/shelf/a b", False, 1 << 20)
    reader = Multistatus()
    reader.feed(GO)
    reader.close()
    file, gone = reader.found
    assert (file.size, file.free, file.used, gone.status) == (5, None, None, 404)


@pytest.mark.parametrize("begin", [b"<!--", b"<?a ", b'<a b="', b"<", b"<![CDATA[", b"\n"])
def test_what_does_not_end_is_not_kept(begin: bytes) -> None:
    """The parser holds what it cannot tell yet."""
    piece = begin[-1:] if begin == b"\n" else b"a"
    with pytest.raises(MalformedError, match="does not end"):
        whole(b"<multistatus xmlns='DAV:'>" + begin + piece * 2 * SILENT)


def test_bombs_are_refused_where_they_begin() -> None:
    for bomb in (BOMB, DEEP, LONG):
        try:
            Multistatus().feed(bomb)
        except MalformedError:
            continue
        raise AssertionError(bomb[:100])
