"""The client's side of SMTP: one more message on a connection that is open already."""

from itertools import count

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import KIB, addresses, letter
from engine.protocols.smtp_client import ContentWanted, Finished, Ready, SmtpClient
from engine.protocols.smtp_transaction import To, Transaction

pytestmark = pytest.mark.benchmark(group="SMTP, the client's side")

_numbers = count(1)


def client(*, chunking: bool) -> SmtpClient:
    """A connection whose server offers PIPELINING, as everyone's does, and perhaps CHUNKING."""
    smtp = SmtpClient("mx.sender.test")
    smtp.receive(b"220 mx.rcpt.test ESMTP\r\n")
    offers = ["mx.rcpt.test", "PIPELINING", "SIZE 52428800", "8BITMIME", "DSN", "SMTPUTF8", *["CHUNKING"] * chunking]
    smtp.receive(b"".join(b"250-%s\r\n" % offer.encode() for offer in offers) + b"250 ENHANCEDSTATUSCODES\r\n")
    assert isinstance(smtp.next_event(), Ready)
    smtp.outgoing()
    return smtp


def deliver(smtp: SmtpClient, transaction: Transaction, octets: bytes, *, chunking: bool) -> tuple[bytes, object]:
    """One transaction: all that was sent, and how it ended."""
    smtp.begin(transaction)
    sent = smtp.outgoing()
    yes = b"250 2.1.0 Ok\r\n" + b"250 2.1.5 Ok\r\n" * len(transaction.recipients)
    smtp.receive(yes if chunking else yes + b"354 End data with <CR><LF>.<CR><LF>\r\n")
    if not isinstance(smtp.next_event(), ContentWanted):
        return sent, None
    sent += smtp.outgoing() + smtp.content(octets) + smtp.end_content()
    smtp.receive(b"250 2.0.0 Ok: queued as %X\r\n" % next(_numbers))  # no server says it twice
    return sent, smtp.next_event()


@pytest.mark.parametrize("chunking", [False, True], ids=["DATA", "BDAT"])
@pytest.mark.parametrize(("recipients", "size"), [(1, 4 * KIB), (100, 4 * KIB), (1, 64 * KIB)])
def test_transaction(measure: Measure, recipients: int, size: int, *, chunking: bool) -> None:
    octets = letter(size)
    transaction = Transaction("ada@sender.test", tuple(To(address) for address in addresses(recipients)), size)
    smtp = client(chunking=chunking)

    def work() -> tuple[bytes, object]:
        return deliver(smtp, transaction, octets, chunking=chunking)

    to = f"{recipients} recipient{'s' * (recipients > 1)}"
    sent, ended = measure(f"transaction, {size // KIB} KiB to {to}, {'BDAT' if chunking else 'DATA'}", work)
    commands = b"MAIL FROM:<ada@sender.test> SIZE=%d\r\n" % size
    commands += b"".join(f"RCPT TO:<{address}>\r\n".encode() for address in addresses(recipients))
    assert sent == commands + (b"BDAT %d LAST\r\n" % size + octets if chunking else b"DATA\r\n" + octets + b".\r\n")
    assert isinstance(ended, Finished)
    assert [reply.code for reply in ended.replies] == [250] * recipients


@pytest.mark.parametrize("size", [64 * KIB], ids=["64 KiB"])
def test_dots(measure: Measure, size: int) -> None:
    octets = letter(size, line=b".hidden by a dot, in a list of files that nobody reads.\r\n")
    transaction = Transaction("ada@sender.test", (To("bob@rcpt.test"),), size)
    smtp = client(chunking=False)

    def work() -> tuple[bytes, object]:
        return deliver(smtp, transaction, octets, chunking=False)

    sent, ended = measure(f"transaction, {size // KIB} KiB, a dot on each line, DATA", work)
    assert sent.partition(b"DATA\r\n")[2] == octets.replace(b"\n.", b"\n..") + b".\r\n"
    assert isinstance(ended, Finished)
