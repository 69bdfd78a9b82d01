"""Pictures from elsewhere: which addresses may be asked for, which octets are shown, and passes that open one thing."""

import ssl
import time

import pytest

from engine.net.dns import Answer
from engine.net.https import Https
from engine.web.mail.passes import LASTS, PartPass, Passes, RemotePass
from engine.web.mail.pictures import Fetching, NoPicture, kind, target_of


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("https://a.test/p.png", ("a.test", 443, "/p.png")),
        ("http://a.test", ("a.test", 443, "/")),
        ("https://a.test:443/p?q=%20x&y#z", ("a.test", 443, "/p?q=%20x&y")),
        ("https://bücher.test/ä b", ("xn--bcher-kva.test", 443, "/%C3%A4%20b")),
        ("https://a.test/x\r\nHost: b", ("a.test", 443, "/xHost:%20b")),
    ],
)
def test_addresses_that_are_asked_for(address, target):
    assert target_of(address) == target


@pytest.mark.parametrize(
    "address",
    [
        "ftp://a.test/", "file:///etc/passwd", "https:///x", "https://user@a.test/", "https://a.test:8080/",
        "https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "https://1.1/",
        "https://a.test:99999/", "https://" + "a" * 300 + ".test/", "gopher://a.test/", "//a.test/",
    ],
)  # fmt: skip
def test_addresses_that_are_not(address):
    with pytest.raises(NoPicture):
        target_of(address)


class Names:
    """A resolver that knows where one host is."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def addresses(self, host: str, *, ipv6: bool = True) -> Answer[str]:
        del host, ipv6
        return Answer(self._addresses, secure=False, expires=0.0)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "100.64.0.1",
        "0.0.0.0",
    ],
)
async def test_a_name_that_leads_to_no_public_address_is_not_asked(address):
    fetching = Fetching(Https(Names(address), ssl.create_default_context))  # type: ignore[arg-type]
    with pytest.raises(NoPicture, match="no public address"):
        await fetching.fetch("https://a.test/p.png")


@pytest.mark.parametrize(
    ("head", "media"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"), (b"GIF89a", "image/gif"), (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"<svg onload=x>", ""), (b"<html>", ""), (b"", ""), (b"RIFF\0\0\0\0WAVE", ""),
    ],
)  # fmt: skip
def test_what_is_a_picture(head, media):
    assert kind(head) == media


def test_a_pass_opens_one_thing_for_a_while():
    passes, others = Passes(b"k" * 32), Passes(b"o" * 32)
    one = PartPass(passes.until(), b"s", 1, 2, 3, (1, 2))
    assert passes.until() <= time.time() + LASTS
    text = passes.made(one)
    assert passes.read(text) == one
    assert others.read(text) is None
    for place in range(len(text)):
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        assert passes.read(changed) in (None, one)  # the last letter may have bits that say nothing
    assert passes.read(passes.made(RemotePass(int(time.time()) - 1, b"s", "https://a.test/"))) is None
    for nonsense in ("", "ä", "=", "A" * 10_000, text + "="):
        assert passes.read(nonsense) in (None, one)
