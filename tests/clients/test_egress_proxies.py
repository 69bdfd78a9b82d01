"""Mail that leaves by way of real proxies, microsocks, Dante and HAProxy, and comes in by way of HAProxy."""

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from engine import Defer, Delivered, Envelope, Message, MessageId, Recipient, Verdict
from engine.config import EgressPool, EgressSource
from engine.egress import Egress, Plan
from engine.message import Octets
from engine.net.names import Hostname
from engine.outbound.way import Proxy, Source
from engine.protocols.proxy_protocol import Version
from engine.protocols.socks5 import SocksLogin
from stages.relay import Relay
from tests.support.programs import needs, path_of
from tests.support.remote import Remote, serving
from tests.support.server import PATIENCE, Dialogue, Postroad, free_port, program

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
CONTENT = b"Subject: hello\r\n\r\nHello.\r\n"

DANTE = """
logoutput: {folder}/log
internal: 127.0.0.1 port = {port}
external: 127.0.0.5
external.rotation: none
clientmethod: none
socksmethod: none
user.privileged: {user}
user.unprivileged: {user}
client pass {{
    from: 127.0.0.0/8 to: 0.0.0.0/0
}}
socks block {{
    from: 127.0.0.0/8 to: 127.0.0.66/32
}}
socks pass {{
    from: 127.0.0.0/8 to: 0.0.0.0/0
    command: connect
}}
"""

OUT = """
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen out
    bind 127.0.0.1:{port} accept-proxy
    use-server seven if {{ src 127.0.0.7 }}
    use-server eight if {{ src 127.0.0.8 }}
    server seven 0.0.0.0 source 127.0.0.7
    server eight 0.0.0.0 source 127.0.0.8
"""

IN = """
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen in
    bind 127.0.0.1:{port}
    server us 127.0.0.1:{to} {said}
"""


@asynccontextmanager
async def relay(proxy: Proxy, **addresses: str) -> AsyncIterator[Relay]:
    egress = Egress()
    source = Source("far", hostname="far.example.org", proxy=proxy, **addresses)
    egress.plan = Plan({"far": EgressSource(**addresses)}, {"p": EgressPool(sources={"far": 1})}, {"far": source})
    async with Relay(Hostname("mx.example.org"), egress=egress, allow_networks=LOOPBACK, pool="p") as stage:
        yield stage


def letter(port: int, address: str = "127.0.0.1", content: bytes = CONTENT) -> Message:
    facts = {"resolve.site": "remote", "resolve.hosts": [[10, "mx.example.net", [address]]], "resolve.port": port}
    envelope = Envelope("a@example.org", (Recipient("b@example.net"),), facts=facts)
    return Message(MessageId.new(), envelope, Octets(content))


async def sent(proxy: Proxy, remote: Remote, address: str = "127.0.0.1", **addresses: str) -> Verdict:
    content = CONTENT + 20_000 * b"More than one buffer holds.\r\n"
    async with serving(remote, address), relay(proxy, **addresses) as stage:
        verdict = await stage(letter(remote.port, address, content))
    assert [received.content for received in remote.received] in ([], [content])
    return verdict


@contextmanager
def microsocks(*options: str) -> Iterator[int]:
    port = free_port()
    with program([path_of("microsocks"), "-i", "127.0.0.1", "-p", str(port), *options], port):
        yield port


@needs("microsocks")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_by_microsocks_with_a_login(address: str) -> None:
    remote = Remote()
    with microsocks("-u", "ann", "-P", "secret") as port:
        proxy = Proxy("socks5", "localhost", port, SocksLogin("ann", "secret"))
        assert isinstance(await sent(proxy, remote, address), Delivered)
    assert remote.commands[0] == "EHLO far.example.org"


@needs("microsocks")
async def test_the_address_is_the_proxys() -> None:
    remote = Remote()
    with microsocks("-b", "127.0.0.6") as port:
        assert isinstance(await sent(Proxy("socks5", "127.0.0.1", port), remote), Delivered)
    assert remote.peers == ["127.0.0.6"]


@needs("microsocks")
@pytest.mark.parametrize(
    ("login", "why"),
    [(SocksLogin("ann", "wrong"), "the proxy refused our login"), (None, "the proxy wants a login")],
)
async def test_a_login_that_microsocks_refuses(login: SocksLogin | None, why: str) -> None:
    with microsocks("-u", "ann", "-P", "secret") as port:
        verdict = await sent(Proxy("socks5", "127.0.0.1", port, login), Remote())
    assert isinstance(verdict, Defer)
    assert verdict.text == f"Cannot send from far: {why}"
    assert "wrong" not in verdict.text + verdict.log


@needs("microsocks")
async def test_a_server_that_does_not_listen_is_no_fault_of_the_proxy() -> None:
    with microsocks() as port:
        async with relay(Proxy("socks5", "127.0.0.1", port)) as stage:
            verdict = await stage(letter(free_port()))
            assert isinstance(verdict, Defer)
            assert verdict.text == "No connection to mx.example.net [127.0.0.1]: the proxy says: connection refused"
            remote = Remote()
            async with serving(remote, "127.0.0.2"):
                assert isinstance(await stage(letter(remote.port, "127.0.0.2")), Delivered)


@contextmanager
def dante(folder: Path) -> Iterator[int]:
    port, config = free_port(), folder / "danted.conf"
    user = "nobody" if os.geteuid() == 0 else str(os.geteuid())
    config.write_text(DANTE.format(folder=folder, port=port, user="root" if user == "nobody" else user))
    with program([path_of("danted"), "-f", str(config), "-p", str(folder / "pid")], port):
        yield port


@needs("danted")
async def test_by_dante(tmp_path: Path) -> None:
    remote = Remote()
    with dante(tmp_path) as port:
        proxy = Proxy("socks5", "127.0.0.1", port)
        assert isinstance(await sent(proxy, remote), Delivered)
        assert remote.peers == ["127.0.0.5"]
        verdict = await sent(proxy, Remote(), "127.0.0.66")
        assert isinstance(verdict, Defer)
        assert verdict.text == "Cannot send from far: the proxy says: not allowed by its rules"


@contextmanager
def haproxy(folder: Path, config: str, **parts: object) -> Iterator[int]:
    port, file = free_port(), folder / "haproxy.cfg"
    file.write_text(config.format(port=port, **parts))
    with program([path_of("haproxy"), "-db", "-f", str(file)], port):
        yield port


@needs("haproxy")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("address", ["127.0.0.7", "127.0.0.8"])
async def test_by_haproxy_from_the_address_that_it_is_told(tmp_path: Path, version: Version, address: str) -> None:
    remote = Remote()
    with haproxy(tmp_path, OUT) as port:
        proxy = Proxy("haproxy", "127.0.0.1", port, version=version)
        assert isinstance(await sent(proxy, remote, ipv4=address), Delivered)
    assert remote.peers == [address]
    assert remote.commands[0] == "EHLO far.example.org"


@needs("haproxy")
async def test_by_haproxy_to_a_server_that_does_not_listen(tmp_path: Path) -> None:
    with haproxy(tmp_path, OUT) as port:
        async with relay(Proxy("haproxy", "127.0.0.1", port), ipv4="127.0.0.7") as stage:
            assert isinstance(await stage(letter(free_port())), Defer)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    """A server that believes HAProxy."""
    listen = {"smtp": {"address": "127.0.0.1:0", "proxy_networks": ["127.0.0.1/32"]}}
    settings = {"listen": listen, "stage": {"accept": {"relay_networks": ["127.0.0.9/32"]}}}
    with Postroad(tmp_path_factory.mktemp("behind"), settings) as server:
        yield server.account("bob@example.org")


@needs("haproxy")
@pytest.mark.parametrize("said", ["send-proxy", "send-proxy-v2", "send-proxy-v2 check check-send-proxy inter 100"])
def test_the_client_behind_haproxy_counts(behind: Postroad, tmp_path: Path, said: str) -> None:
    """One client may relay, and the other may not: by their own addresses."""
    with haproxy(tmp_path, IN, to=behind.ports["smtp"], said=said) as port:
        for source, reply in (("127.0.0.9", "250"), ("127.0.0.10", "550")):
            with Dialogue(port, source) as client:
                for line, answer in (
                    (b"EHLO client.example.net", "250"),
                    (b"MAIL FROM:<a@example.net>", "250"),
                    (b"RCPT TO:<far@elsewhere.test>", reply),
                ):
                    client.send(line + b"\r\n")
                    assert client.reply().startswith(answer)
        behind.wait_for("recipient-refused", peer="127.0.0.10", to="far@elsewhere.test")
    behind.forget()


def test_a_proxy_that_says_nothing_of_its_client_is_turned_away_by_a_server(behind: Postroad) -> None:
    with socket.create_connection(("127.0.0.1", behind.ports["smtp"]), PATIENCE) as client:
        client.sendall(b"EHLO client.example.net\r\n")
        with contextlib.suppress(ConnectionResetError):  # it does not read what is no header
            assert client.recv(100) == b""
    assert behind.wait_for("proxy-refused")["peer"] == "127.0.0.1"
    Dialogue(behind.ports["smtp"], "127.0.0.11").close()  # who is no proxy is greeted as always
