"""A running server with rules on attachments: what is refused, parked, stripped and let pass, at the end of DATA."""

import bz2
import gzip
import io
import smtplib
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from tests.support.server import Postroad, until

BOB = "bob@example.org"
EXE = b"MZ\x90\0" + bytes(200)
RULES = {"strip": ["html"], "quarantine": ["macros"], "unpacked": "20 MB"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    settings = {"lane": {"inbound": {"stages": ["accept", "attachments", "queue", "route"]}}}
    with Postroad(tmp_path_factory.mktemp("rules"), settings | {"stage": {"attachments": RULES}}).account(
        BOB
    ) as running:
        yield running


def letter(subject: str, *files: tuple[str, bytes]) -> bytes:
    made = EmailMessage(policy=SMTP)
    made["Subject"] = subject
    made.set_content("Hello\n")
    for name, octets in files:
        made.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    return made.as_bytes()


def zipped(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, octets in files.items():
            archive.writestr(name.replace("_", "."), octets)
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "octets", "kind"),
    [
        ("a.zip", zipped(b_tgz=EXE, c_exe=b""), "executable"),
        ("invoice.pdf.js", b"x", "double-extension, script"),
        ("a.bz2", bz2.compress(gzip.compress(bytes(30_000_000))), "bomb"),
    ],
)
def test_it_is_refused_and_nothing_stays(server: Postroad, name: str, octets: bytes, kind: str) -> None:
    with pytest.raises(smtplib.SMTPDataError) as raised:
        server.send(letter("no", (name, octets), ("big.bin", bytes(300_000))), BOB)
    assert raised.value.smtp_code == 550
    assert raised.value.smtp_error == f"5.7.1 Attachments of this kind are not taken here: {kind}".encode()
    until(lambda: not list((server.folder / "var" / "content").iterdir()), "its content to be gone")


def test_it_is_parked_as_it_came(server: Postroad) -> None:
    server.send(letter("parked", ("a.docm", b"x" * 300_000)), BOB)
    row = until(lambda: server.command("queue", "list", "state == 'quarantined'").stdout, "a parked message")
    assert "attachments: macros" in row
    assert server.command("queue", "release", row.split("\t")[0]).returncode == 0  # and is not parked again
    (found,) = until(lambda: [one for one in server.mailbox(BOB) if b"Subject: parked" in one], "the message")
    assert b"eHh4" in found


@pytest.mark.parametrize("size", [100, 400_000])
def test_it_goes_on_without_the_file(server: Postroad, size: int) -> None:
    page = b"<html>" + b"x" * size
    server.send(letter(f"stripped {size}", ("good.bin", b"y" * size), ("page.html", page)), BOB)
    (found,) = until(lambda: [one for one in server.mailbox(BOB) if f"stripped {size}".encode() in one], "the message")
    assert b"The attachment page.html was removed here" in found
    assert b"PGh0bWw+" not in found
    assert b"eXl5" in found
    until(lambda: not list((server.folder / "var" / "content").iterdir()), "the end of the queue's files")


def test_what_is_in_order_is_not_touched(server: Postroad) -> None:
    content = letter("clean", ("a.zip", zipped(b_txt=b"text" * 100_000)))
    server.send(content, BOB)
    (found,) = until(lambda: [one for one in server.mailbox(BOB) if b"Subject: clean" in one], "the message")
    assert found.endswith(content)
