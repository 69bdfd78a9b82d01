"""The server's side of SMTP: whole sessions, and content in one read and in many."""

from collections.abc import Sequence

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import KIB, addresses, letter
from engine.protocols import smtp_events as say
from engine.protocols.smtp_server import SmtpServer

pytestmark = pytest.mark.benchmark(group="SMTP, the server's side")

SEGMENT = 1460  # octets of a TCP segment on Ethernet
HELLO = b"EHLO mail.sender.test\r\n"
MAIL = b"MAIL FROM:<ada@sender.test> SIZE=4096 BODY=8BITMIME\r\n"
DATA = b"DATA\r\n"
QUIT = b"QUIT\r\n"


def rcpt(count: int) -> list[bytes]:
    return [f"RCPT TO:<{address}>\r\n".encode() for address in addresses(count)]


def stuffed(octets: bytes) -> bytes:
    """Content as it travels under DATA, its end included."""
    return octets.replace(b"\n.", b"\n..") + b".\r\n"


def server() -> SmtpServer:
    smtp = SmtpServer(hostname="mx.rcpt.test", size_limit=25_000_000, recipients_limit=1000)
    smtp.greet()
    return smtp


def serve(smtp: SmtpServer, reads: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Say yes to everything in the reads, as a driver does: the content that came, and all that was answered."""
    content: list[bytes] = []
    answers: list[bytes] = []
    for read in reads:
        smtp.receive(read)
        while True:
            match smtp.next_event():
                case say.NeedData() | say.Quit():
                    break
                case say.Mail() | say.Rcpt() | say.ContentBegin() | say.ContentEnd():
                    smtp.accept()
                case say.Content(data):
                    content.append(data)
                    smtp.accept()
                case say.ContentPart(data):
                    content.append(data)
        answers.append(smtp.outgoing())
    return b"".join(content), b"".join(answers)


def session(reads: Sequence[bytes]) -> tuple[bytes, bytes]:
    return serve(server(), reads)


@pytest.mark.parametrize("recipients", [1, 100])
@pytest.mark.parametrize("pipelined", [False, True], ids=["one by one", "pipelined"])
def test_session(measure: Measure, recipients: int, *, pipelined: bool) -> None:
    octets = letter(4 * KIB)
    commands = [MAIL, *rcpt(recipients), DATA]
    reads = [HELLO, b"".join(commands), stuffed(octets) + QUIT]
    if not pipelined:
        reads = [HELLO, *commands, stuffed(octets), QUIT]
    to = f"{recipients} recipient{'s' * (recipients > 1)}"
    way = "pipelined" if pipelined else "a command a read"
    content, answers = measure(f"session, 4 KiB to {to}, {way}", session, reads)
    assert content == octets
    codes = [line[:4] for line in answers.splitlines() if line[3:4] == b" "]
    assert codes == [b"220 ", b"250 ", b"250 ", *[b"250 "] * recipients, b"354 ", b"250 ", b"221 "]


@pytest.mark.parametrize("piece", [0, SEGMENT], ids=["one read", "many reads"])
@pytest.mark.parametrize("dotted", [False, True], ids=["", "dotted"])
@pytest.mark.parametrize("size", [4 * KIB, 64 * KIB], ids=["4 KiB", "64 KiB"])
def test_content(measure: Measure, size: int, piece: int, *, dotted: bool) -> None:
    octets = (
        letter(size, line=b".hidden by a dot, in a list of files that nobody reads.\r\n") if dotted else letter(size)
    )
    sent = stuffed(octets)
    reads = [b"".join([MAIL, *rcpt(1), DATA])]
    reads += [sent[start : start + (piece or len(sent))] for start in range(0, len(sent), piece or len(sent))]
    smtp = server()
    serve(smtp, [HELLO])
    how = f"{len(reads) - 1} read{'s' * (len(reads) > 2)}"
    what = f"transaction, {size // KIB} KiB in {how}{', a dot on each line' * dotted}"
    content, answers = measure(what, serve, smtp, reads)
    assert content == octets
    assert [line[:3] for line in answers.splitlines()] == [b"250", b"250", b"354", b"250"]
    assert dotted == (len(sent) > size + 3)
