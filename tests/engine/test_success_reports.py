"""What a report says became of a recipient."""

import pytest

from engine import Delivered, Envelope, Message, MessageId, Recipient
from engine.message import Octets
from engine.queue.bounce import Failure, bounce

SAID = [
    (Delivered("kept"), "delivered"),
    (Delivered("250 ok", "mx.rcpt.test"), "relayed"),
    (Delivered("250 ok", "mx.rcpt.test", tell="relayed"), "relayed"),
    (Delivered("250 ok", "store.rcpt.test", tell="delivered"), "delivered"),
]


@pytest.mark.parametrize(("verdict", "action"), SAID)
def test_success_is_called_by_its_name(verdict: Delivered, action: str) -> None:
    recipient = Recipient("b@rcpt.test", notify="SUCCESS")
    about = Message(MessageId.new(), Envelope("a@sender.test", (recipient,)), Octets(b"Subject: x\r\n\r\n"))
    octets = bounce(MessageId.new(), "mx.test", about, [Failure(recipient, verdict)], 0.0)
    assert f"Action: {action}\r\n".encode() in octets
