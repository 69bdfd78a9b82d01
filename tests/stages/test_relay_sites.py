"""What a stage that hands mail on tells of the sites that it has to do with."""

import ssl

import trio
import trustme
from test_relay import letter, relay

from engine import Defer, Delivered
from engine.observe.measures import measures
from engine.shaping.shaping import Shaping
from stages.relay import Relay
from tests.support.remote import Remote, serving


def counted(name: str, **labels: str) -> float:
    """What this process has counted up to now."""
    return sum(
        value for found, named, value in measures.samples() if found == name and labels.items() <= dict(named).items()
    )


async def test_sites_are_told_of_as_long_as_there_is_something_to_say() -> None:
    remote = Remote(delay=3600, extensions=())
    settings = {"connections": 2, "shaping": Shaping()}
    with trio.CancelScope() as scope:  # or the stage would wait for the server
        async with serving(remote), relay(**settings) as stage, trio.open_nursery() as nursery:
            assert (stage.ways, stage.sites(10)) == (0, [])
            for _ in range(5):
                nursery.start_soon(stage, letter(remote.port))
            while remote.commands.count("DATA") < 2 or stage.sites(10)[0].waiting != 3:
                await trio.sleep(0.01)
            [site] = stage.sites(10)
            assert stage.ways == 1
            assert (site.site, site.source) == ("remote", "")
            assert (site.connections, site.limit, site.waiting) == (2, 2, 3)
            assert site.last_reply == ""
            scope.cancel()


async def test_the_last_reply_is_told() -> None:
    remote = Remote({"RCPT": "450 4.2.1 Come again"})
    async with serving(remote), relay(shaping=Shaping()) as stage:
        assert isinstance(await stage(letter(remote.port)), Defer)
        [site] = stage.sites(10)
        assert site.last_reply.startswith("450 ")
        assert "Come again" in site.last_reply


async def test_the_busiest_come_first() -> None:
    async def busy(stage: Relay, remote: Remote, site: str) -> None:
        await stage(letter(remote.port).with_fact("resolve.site", site))

    remote = Remote(delay=3600, extensions=())
    with trio.CancelScope() as scope:
        async with serving(remote), relay(connections=1) as stage, trio.open_nursery() as nursery:
            for number in range(6):
                for _ in range(number + 1):
                    nursery.start_soon(busy, stage, remote, f"site {number}")
            while remote.commands.count("DATA") < 6 or sum(site.connections for site in stage.sites(10)) < 6:
                await trio.sleep(0.01)
            assert [site.site for site in stage.sites(3)] == ["site 5", "site 4", "site 3"]
            assert stage.ways == 6
            scope.cancel()


async def test_handshakes_are_counted_by_version_and_suite() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("mx1.example.net").configure_cert(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    remote = Remote(extensions=("STARTTLS",), tls=context)
    before = counted("postroad_tls_connections_total", side="client", version="TLSv1.2")
    suites = counted("postroad_tls_ciphers_total", side="client")
    async with serving(remote), relay() as stage:
        assert isinstance(await stage(letter(remote.port)), Delivered)
    assert remote.received[0].encrypted
    assert counted("postroad_tls_connections_total", side="client", version="TLSv1.2") == before + 1
    assert counted("postroad_tls_ciphers_total", side="client") == suites + 1
