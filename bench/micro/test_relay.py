"""The stage `relay`: where a message goes and by what rules, until it waits for a connection."""

from collections.abc import Sequence
from ipaddress import ip_network

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import message
from engine.message import Message
from engine.net.names import Hostname
from engine.outbound.sending import Sending
from engine.outbound.way import Security, Way
from engine.shaping.shape import UNSHAPED, Shape
from engine.verdict import Delivered, Verdict
from stages.relay import Relay

pytestmark = pytest.mark.benchmark(group="Relaying")

MANY = 100
SAID = Delivered("250 OK")


class _Asked(Sending):
    """Keeps what it is asked to send, and sends nothing."""

    def __init__(self) -> None:
        self.asked: list[Way] = []

    async def deliver(
        self,
        message: Message,  # noqa: ARG002
        targets: Sequence[tuple[str, str]],  # noqa: ARG002
        way: Way,
        security: Security,  # noqa: ARG002
        shape: Shape = UNSHAPED,  # noqa: ARG002
    ) -> Verdict:
        self.asked.append(way)
        return SAID


def _verdict(stage: Relay, letter: Message) -> Verdict | None:
    """What it says, if it waits for nothing."""
    call = stage(letter)
    try:
        call.send(None)
    except StopIteration as end:
        found: Verdict = end.value
        return found
    return None


def test_relay(measure: Measure) -> None:
    stage = Relay(hostname=Hostname("mail.example.test"), allow_networks=(ip_network("192.0.2.0/24"),))
    sending = stage._sending = _Asked()
    letter = message()
    for name, fact in (("site", "mx.rcpt.test"), ("hosts", [[10, "mx.rcpt.test", ["192.0.2.1"]]])):
        letter = letter.with_fact(f"resolve.{name}", fact)  # type: ignore[arg-type]

    def many() -> list[Verdict | None]:
        sending.asked.clear()
        return [_verdict(stage, letter) for _ in range(MANY)]

    assert measure("a message of one recipient, as far as its connection", many, operations=MANY) == [SAID] * MANY
    assert sending.asked == [Way("mx.rcpt.test")] * MANY
