"""Leaving a list: which way a letter offers, and what the server of the list is told, which learns nothing else."""

import ssl

import pytest
import trio
from mail_site import browser, letter, mail_of

from engine.net.dns import Resolver
from engine.net.https import Https, Unreached
from engine.net.targets import ip_network
from engine.net.zone import Zone, serve_zone
from engine.unsubscribe import Offer
from engine.web.mail import quitting
from engine.web.mail.leaving import Leaving, click, way
from tests.support.authorities import ROOT, Server
from tests.support.http_server import HttpServer

PAGE, MAIL = "https://lists.example.com/leave?u=1", "mailto:leave@lists.example.com?subject=leave%20me"
SIGNED = "DKIM-Signature: v=1; h=from:list-unsubscribe:list-unsubscribe-post; b=x\n"
FIELDS = f"List-Unsubscribe: <{MAIL}>, <{PAGE}>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n"


@pytest.mark.parametrize(
    ("uris", "post", "covered", "how", "where"),
    [
        ((MAIL, PAGE), True, True, "click", PAGE),
        ((MAIL, PAGE), True, False, "letter", "/mail/write?to=leave%40lists.example.com&subject=leave%20me"),
        ((MAIL, PAGE), False, True, "letter", "/mail/write?to=leave%40lists.example.com&subject=leave%20me"),
        (("mailto:leave@x.test",), True, True, "letter", "/mail/write?to=leave%40x.test&subject=unsubscribe"),
        ((PAGE,), False, False, "page", PAGE),
        (("https://127.0.0.1/x",), True, True, "", ""),
        (("https://x.test:8080/x",), True, True, "", ""),
        (("http://x.test/", "javascript:alert(1)", "mailto:"), True, True, "", ""),
        ((), True, True, "", ""),
    ],
)
def test_which_way_a_letter_offers(uris, post, covered, how, where):
    found = way(Offer(uris, post=post, covered=covered))
    assert found == (Leaving(how, where) if how else None)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    ROOT.configure_trust(context)
    return context


@pytest.fixture
async def https():
    """Asks a server of the test's own, whose address is public for once."""
    async with trio.open_nursery() as nursery:
        resolver = Resolver([await nursery.start(serve_zone, Zone("example.com", {"lists": {"A": "127.0.0.1"}}))])
        yield Https(resolver, trusting, allow_networks=(ip_network("127.0.0.0/8"),))
        nursery.cancel_scope.cancel()


async def test_the_server_of_the_list_is_told_and_learns_nothing_else(https):
    with HttpServer(lambda _: b"bye").serving(Server("lists.example.com").context) as server:
        assert await click(https, "lists.example.com", "/leave?u=1", server.port) == 200
        server.status = 500
        assert await click(https, "lists.example.com", "/leave?u=1", server.port) == 500
        with pytest.raises(Unreached, match="no public address"):
            await click(Https(https.resolver, trusting), "lists.example.com", "/", server.port)
    asked = server.asked[0]
    assert (asked.path, asked.body) == ("/leave?u=1", b"List-Unsubscribe=One-Click")
    assert set(asked.headers) == {"Host", "Content-Type", "User-Agent", "Content-Length", "Connection"}


async def test_one_click_in_the_webmail(tmp_path, monkeypatch):
    told = []

    async def clicked(_https, host, target, port):
        told.append((host, target, port))
        return 200 if len(told) == 1 else 404

    monkeypatch.setattr(quitting, "click", clicked)
    async with mail_of(tmp_path) as mail:
        await mail.put(letter("news", more=SIGNED + FIELDS), letter("forged", more=FIELDS), letter("none"))
        ann = await browser(mail)
        texts = [(await ann.get(f"/mail/message/{mail.box()}/{uid}")).text for uid in (1, 2, 3)]
        assert 'data-leave="Leave this list? lists.example.com is told so' in texts[0]
        assert "Unsubscribe by a letter" in texts[1]
        assert "data-leave" not in texts[1]
        assert "Unsubscribe" not in texts[2]
        assert (await ann.post(f"/mail/leave/{mail.box()}/1", {})).json() == {"left": "lists.example.com"}
        assert told == [("lists.example.com", "/leave?u=1", 443)]
        assert (await ann.post(f"/mail/leave/{mail.box()}/1", {})).status_code == 502
        for uid in (2, 3, 9):
            assert (await ann.post(f"/mail/leave/{mail.box()}/{uid}", {})).status_code == 404
        assert len(told) == 2
        bob = await browser(mail, "bob@example.org")
        assert (await bob.post(f"/mail/leave/{mail.box()}/1", {})).status_code == 404
