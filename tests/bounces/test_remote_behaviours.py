"""Each way in which the next server breaks the dialogue, as the crash campaign has them: class, and what is done then.

The relay's own verdict is what is given a class, so that its words and the patterns stay together.
"""

import ssl
from pathlib import Path

import pytest
import trio.testing

from engine import Defer, Delivered
from engine.bounces import usual
from engine.message import MessageId, Recipient
from engine.net.names import Hostname
from engine.runtime.undelivered import Outcome, entry_of
from stages.relay import Relay
from tests.crash.test_next_server import SCRIPTS
from tests.stages.test_relay import LOOPBACK, letter
from tests.support.programs import Certificates
from tests.support.remote import USUAL, Remote, serving

_STEPS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".")

EXPECTED = {
    **{f"drops the connection at {step}": ("connection", "usual") for step in _STEPS},
    "drops the connection in the content": ("connection", "usual"),
    **{f"answers nonsense to {step}": ("protocol", "usual") for step in _STEPS},
    **{f"is busy at {step}": ("system", "usual") for step in ("CONNECT", "MAIL", "DATA", ".")},
    **{f"trickles at {step}": ("connection", "usual") for step in ("CONNECT", "MAIL")},
    **{f"never ends its reply to {step}": ("protocol", "usual") for step in ("CONNECT", "MAIL", ".")},
    **{f"never ends its line at {step}": ("protocol", "usual") for step in ("CONNECT", "MAIL", ".")},
    "breaks TLS at MAIL": ("connection", "usual"),
    "breaks TLS in the content": ("connection", "usual"),
    "drops TLS in the content": ("connection", "usual"),
    "drops the connection at QUIT": ("", ""),  # the message was taken
}


@pytest.fixture
def jumping_clock() -> trio.testing.MockClock:
    """Jumps only when nothing has happened for a while, sockets included."""
    return trio.testing.MockClock(autojump_threshold=0.02)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    certificates = Certificates(Path(tmp_path_factory.mktemp("tls")))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


def test_every_behaviour_of_the_campaign_has_its_class() -> None:
    assert EXPECTED.keys() == SCRIPTS.keys()


@pytest.mark.parametrize("name", list(SCRIPTS))
async def test_a_behaviour(name: str, tls: ssl.SSLContext, jumping_clock: trio.testing.MockClock) -> None:
    offers = [*USUAL, *(["STARTTLS"] if "TLS" in name else [])]
    remote = Remote(SCRIPTS[name], extensions=tuple(offers), tls=tls)
    async with serving(remote), Relay(Hostname("mx.example.org"), allow_networks=LOOPBACK) as relay:
        message = letter(remote.port)
        verdict = await relay(message)
    which, retry = EXPECTED[name]
    if not which:
        assert isinstance(verdict, Delivered)
        return
    assert isinstance(verdict, Defer)
    found = usual().classify(verdict.reply or verdict.text, status=verdict.code)
    assert (found.name, found.retry, found.permanent) == (which, retry, False)
    noted = entry_of(
        Outcome(MessageId.new(), "a@example.org", Recipient("b@example.net"), verdict, {}, "mx", 1, 0.0, 10.0), usual()
    )
    assert (noted.event, noted.which, noted.permanent, noted.domain) == ("deferred", which, False, "example.net")
