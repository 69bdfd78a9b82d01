"""The MTA's side of the milter protocol: what our own code takes for one more message, without sockets."""

import struct

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import message
from engine.message import Message
from engine.protocols.milter import PROCEED, READY, Client, Decision, MilterClient, Path, Transaction
from engine.scanning.milter_changes import Seen

pytestmark = pytest.mark.benchmark(group="Milter, the MTA's side")

SILENT = 0xDF080
MACROS = {"j": "mx.rcpt.test", "v": "Postroad", "_": "mail.sender.test [192.0.2.25]", "i": "01J"}
CLIENT = Client("mail.sender.test", "192.0.2.25", "mail.sender.test", MACROS)
CONTINUE = b"\0\0\0\1c"


def connected(options: int) -> MilterClient:
    milter = MilterClient()
    milter.receive(struct.pack("!IcIII", 13, b"O", 6, 0x1FF, options))
    assert milter.next_event() is READY
    milter.outgoing()
    return milter


def told(milter: MilterClient, about: Message, answers: bytes) -> object:
    """All of the message, up to the decision; ``answers``: what the milter says up to the end of the header."""
    seen = Seen(about)
    recipients = [Path(to) for to in about.recipients]
    milter.begin(Transaction(CLIENT, Path(about.sender), recipients, seen.fields, {"i": "01J"}))
    milter.receive(answers)
    assert milter.next_event() is PROCEED
    for piece in seen.body():
        milter.body(piece)
        milter.receive(CONTINUE if answers else b"")
        assert milter.next_event() is PROCEED
    milter.end()
    milter.outgoing()
    milter.receive(CONTINUE)
    return milter.next_event()


@pytest.mark.parametrize("answering", [False, True], ids=["silent", "answering"])
def test_message(measure: Measure, *, answering: bool) -> None:
    milter = connected(0 if answering else SILENT)
    about = message()
    answers = CONTINUE * (4 + len(Seen(about).fields)) * answering  # MAIL, RCPT, DATA, each field, their end
    assert told(milter, about, CONTINUE * 2 * answering + answers) == Decision("pass"), "it opens the session too"
    what = f"message, 4 KiB, {'each step' if answering else 'no step'} answered"
    assert measure(what, told, milter, about, answers) == Decision("pass")
