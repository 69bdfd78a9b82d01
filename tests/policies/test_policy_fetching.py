"""Fetching a policy from a real web server, under TLS, from one that is all right and from others that are not."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine.net.dns import Resolver
from engine.net.zone import Zone, serve_zone
from engine.policies.fetching import Fetcher, NoPolicy
from engine.protocols.mta_sts import StsPolicy
from tests.support.authorities import OTHER, PAST, ROOT, Server
from tests.support.http_server import HttpServer

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmax_age: 86400\r\n"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
NAME = "mta-sts.example.com"


@pytest.fixture
def server() -> HttpServer:
    made = HttpServer(lambda _: POLICY)
    made.fields["Content-Type"] = "text/plain; charset=utf-8"
    return made


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ROOT.cert_pem.write_to_path(path)
    return path


@pytest.fixture
async def resolver(nursery: trio.Nursery) -> Resolver:
    zone = Zone("example.com", {"mta-sts": {"A": "127.0.0.1"}, "mta-sts.alias": {"CNAME": "mta-sts"}})
    return Resolver([await nursery.start(serve_zone, zone)])


async def fetched(
    resolver: Resolver, trust: Path, port: int, domain: str = "example.com", **options: float
) -> StsPolicy:
    fetcher = Fetcher(resolver, trust=trust, port=port, allow_networks=LOOPBACK, **options)
    return await fetcher(domain)


async def test_a_policy(server: HttpServer, trust: Path, resolver: Resolver) -> None:
    with server.serving(Server(NAME).context):
        assert await fetched(resolver, trust, server.port) == StsPolicy("enforce", 86400, ("mx.example.com",))
    (asked,) = server.asked
    assert asked.path == "/.well-known/mta-sts.txt"
    assert asked.headers["Host"] == f"{NAME}:{server.port}"
    assert "Content-Length" not in asked.headers


async def test_an_alias_leads_to_who_has_a_certificate_for_the_name_that_was_asked_for(
    server: HttpServer, trust: Path, resolver: Resolver
) -> None:
    with server.serving(Server("mta-sts.alias.example.com").context):
        assert (await fetched(resolver, trust, server.port, "alias.example.com")).mode == "enforce"


async def refused(resolver: Resolver, trust: Path, port: int, **options: float) -> NoPolicy:
    with pytest.raises(NoPolicy) as error:
        await fetched(resolver, trust, port, **options)
    return error.value


@pytest.mark.parametrize(
    "certificate",
    [Server("example.com"), Server("*.com"), Server(NAME, by=OTHER), Server(NAME, **PAST)],
    ids=["another name", "too wide", "another authority", "expired"],
)
async def test_a_certificate_that_is_not_trusted(
    certificate: Server, server: HttpServer, trust: Path, resolver: Resolver
) -> None:
    with server.serving(certificate.context):
        assert (await refused(resolver, trust, server.port)).result == "sts-webpki-invalid"
    assert not server.asked


async def test_a_server_without_tls(server: HttpServer, trust: Path, resolver: Resolver) -> None:
    with server.serving():
        assert (await refused(resolver, trust, server.port)).result == "sts-webpki-invalid"


@pytest.mark.parametrize("status", [204, 301, 302, 304, 307, 404, 500])
async def test_no_redirect_is_followed_and_nothing_but_200_is_a_policy(
    status: int, server: HttpServer, trust: Path, resolver: Resolver
) -> None:
    server.status = status
    with server.serving(Server(NAME).context):
        server.fields["Location"] = f"https://{NAME}:{server.port}/elsewhere"
        error = await refused(resolver, trust, server.port)
    assert error.result == "sts-policy-fetch-error"
    assert str(status) in str(error)
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", ["text/html", "", "application/octet-stream", "text/plainer"])
async def test_another_type_of_media_is_no_policy(
    kind: str, server: HttpServer, trust: Path, resolver: Resolver
) -> None:
    server.fields["Content-Type"] = kind
    with server.serving(Server(NAME).context):
        assert (await refused(resolver, trust, server.port)).result == "sts-policy-invalid"


async def test_nonsense_is_no_policy(server: HttpServer, trust: Path, resolver: Resolver) -> None:
    server.answer = lambda _: b"<html>"
    with server.serving(Server(NAME).context):
        assert (await refused(resolver, trust, server.port)).result == "sts-policy-invalid"


async def test_a_policy_that_is_too_long(server: HttpServer, trust: Path, resolver: Resolver) -> None:
    server.answer = lambda _: POLICY + b"x: y\r\n" * 20_000
    with server.serving(Server(NAME).context):
        assert "more than 65536 octets" in str(await refused(resolver, trust, server.port))


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that is connected to, and never answered on."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_server_that_says_nothing(silent: int, trust: Path, resolver: Resolver) -> None:
    error = await refused(resolver, trust, silent, timeout=0.2)
    assert error.result == "sts-policy-fetch-error"
    assert "longer than 0.2 s" in str(error)


async def test_addresses_inside_are_not_connected_to(server: HttpServer, trust: Path, resolver: Resolver) -> None:
    with server.serving(Server(NAME).context), pytest.raises(NoPolicy, match="no public address"):
        await Fetcher(resolver, trust=trust, port=server.port)("example.com")
    assert not server.connections


async def test_a_name_without_an_address(server: HttpServer, trust: Path, resolver: Resolver) -> None:
    with pytest.raises(NoPolicy, match="no address"):
        await fetched(resolver, trust, 1, "nowhere.example.com")
