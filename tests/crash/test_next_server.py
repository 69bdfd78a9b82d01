"""The next server breaks at each step of the dialogue, in every way: each message arrives once it is well, and once.

All cases share one server, and go through it side by side.
"""

import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.net.zone import Zone
from tests.crash.system import tokens
from tests.support.background import dns, in_thread
from tests.support.programs import Certificates
from tests.support.remote import DROP, FLOOD, GARBLE, LINE, NONSENSE, TRICKLE, USUAL, Answer, Remote, serving
from tests.support.server import Postroad, letter, until

MESSAGES = 3
BUSY = "421 4.3.2 Come later"
MEMORY = 64 * 2**20
"""Octets that relay may need for whatever a server says; a gigabyte is far more."""

SCRIPTS: Mapping[str, Mapping[str, Answer]] = {
    **{f"drops the connection at {step}": {step: DROP} for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".")},
    "drops the connection in the content": {"CONTENT": DROP},
    **{f"answers nonsense to {step}": {step: NONSENSE} for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".")},
    **{f"is busy at {step}": {step: BUSY} for step in ("CONNECT", "MAIL", "DATA", ".")},
    **{f"trickles at {step}": {step: TRICKLE} for step in ("CONNECT", "MAIL")},
    **{f"never ends its reply to {step}": {step: FLOOD} for step in ("CONNECT", "MAIL", ".")},
    **{f"never ends its line at {step}": {step: LINE} for step in ("CONNECT", "MAIL", ".")},
    "breaks TLS at MAIL": {"MAIL": GARBLE},
    "breaks TLS in the content": {"CONTENT": GARBLE},
    "drops TLS in the content": {"CONTENT": DROP},
    "drops the connection at QUIT": {"QUIT": DROP},
}


@dataclass
class Case:
    """A domain with a server of its own."""

    number: int
    remote: Remote
    sent: list[str] = field(default_factory=list)

    @property
    def recipient(self) -> str:
        return f"bob@d{self.number}.cases.test"

    @property
    def arrived(self) -> dict[str, int]:
        return tokens([received.content for received in self.remote.received])


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Case]]:
    """All cases after their faults are over and all mail has come through; what relay needed for it is bounded."""
    folder = tmp_path_factory.mktemp("next-server")
    certificates = Certificates(folder / "certificates")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates.certificate, certificates.key)
    made = {}
    for number, (name, script) in enumerate(SCRIPTS.items(), 1):
        offers = [*USUAL]
        if "TLS" in name:
            offers.append("STARTTLS")
        if number % 2 and "DATA" not in script:
            offers.append("CHUNKING")
        made[name] = Case(number, Remote(script, extensions=tuple(offers), tls=tls))
    # Relay leaves a server alone for a minute that it could not use. So each has another address, for when it is well.
    zone = Zone("cases.test", ttl=1)
    for case in made.values():
        zone.set(f"d{case.number}", "MX", f"10 m{case.number}")
        zone.set(f"m{case.number}", "A", f"127.0.1.{case.number}")
    with in_thread(lambda: _serving([case.remote for case in made.values()])) as port, dns(zone) as address:
        settings = {
            "server": {"workers": 1},
            "dns": {"servers": [address]},
            "queue": {"retry": ["1s"]},
            "stage": {
                "relay": {"workers": 1, "retry": ["1s"], "greeting_timeout": "3s", "command_timeout": "3s"},
                "resolve": {"port": port},
            },
        }
        with Postroad(folder, settings) as server:
            before = _most_memory(server)
            _send(server, made)
            for name, case in made.items():
                if name != "drops the connection at QUIT":
                    server.wait_for("deferred", to=case.recipient)
            assert _most_memory(server) - before < MEMORY
            for case in made.values():
                case.remote.script = {}
                zone.set(f"m{case.number}", "A", f"127.0.2.{case.number}")
            for name, case in made.items():
                until(lambda case=case: {*case.sent} <= {*case.arrived}, f"the mail of {name}")  # type: ignore[misc]
            until(lambda: server.queued() == 0, "an empty queue")
            assert server.all("worker-died") == server.all("bug") == server.all("failed") == []
        yield made


@asynccontextmanager
async def _serving(remotes: list[Remote]) -> AsyncIterator[int]:
    async with AsyncExitStack() as stack:
        for number, remote in enumerate(remotes, 1):
            remote.port = remotes[0].port
            for network in (1, 2):
                await stack.enter_async_context(serving(remote, f"127.0.{network}.{number}"))
        yield remotes[0].port


def _send(server: Postroad, cases: Mapping[str, Case]) -> None:
    with server.smtp() as client:
        for number in range(MESSAGES):
            for case in cases.values():
                token = f"token-{case.number}{number}-"
                case.sent.append(token)
                client.sendmail("ann@example.net", [case.recipient], letter(token, "line\r\n" * 20_000 * number))


def _most_memory(server: Postroad) -> int:
    """Octets that relay had at most."""
    status = Path(f"/proc/{server.worker('relay-0')}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_server_that(cases: Mapping[str, Case], name: str) -> None:
    case = cases[name]
    assert case.arrived == dict.fromkeys(case.sent, 1)
    assert ("TLS" in name) == all(received.encrypted for received in case.remote.received)
