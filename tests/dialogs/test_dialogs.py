"""The dialogs beside this file, each whole and octet by octet, over the server's protocol with an obliging driver.

``C:`` a line the client sends, CRLF added; ``C!`` octets as they are, with Python's escapes. Lines of C in a row are
sent at once. ``S:`` the beginning of a reply line, ``S~`` a regex for all of it; none may be missing or left over.
``S+`` the beginning of as many lines as have it: what is offered stands whole in commands.txt alone.
``M:`` the content of the next message accepted, with escapes; none may be left over. ``T:`` the TLS handshake.
``O:`` settings of the server. ``#`` a comment.

The driver refuses recipients whose address begins with "refused", content after EHLO full.example, and passwords other
than "secret". By LMTP it puts off the content for recipients whose address begins with "later".
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.protocols.sasl import Credentials
from engine.protocols.smtp_events import (
    NEED_DATA,
    Auth,
    Content,
    ContentBegin,
    ContentEnd,
    ContentPart,
    Disconnected,
    Mail,
    Quit,
    Rcpt,
    Reset,
    TooManyErrors,
)
from engine.protocols.smtp_server import SmtpServer
from engine.protocols.timing import Offers

DIALOGS = sorted(Path(__file__).parent.glob("*.txt"))
SETTINGS = {"hostname": "mx.example.org", "size_limit": 1000, "recipients_limit": 3}


class Obliging:
    """Says yes to nearly everything, and keeps what it is given."""

    def __init__(self, settings: dict[str, Any]) -> None:
        if "timing" in settings:
            settings = settings | {"timing": Offers(*settings["timing"])}
        self.smtp = SmtpServer(**(SETTINGS | settings))
        self.smtp.greet()
        self.parts: list[bytes] = []
        self.messages: list[bytes] = []
        self.recipients: list[str] = []

    def send(self, octets: bytes, step: int) -> str:
        """The replies to octets that are fed in pieces of ``step``."""
        replies = b""
        for start in range(0, len(octets), step):
            self.smtp.receive(octets[start : start + step])
            self.run()
            replies += self.smtp.outgoing()
        return replies.decode("ascii")

    def run(self) -> None:
        while (event := self.smtp.next_event()) is not NEED_DATA:
            match event:
                case Rcpt(recipient) if recipient.startswith("refused"):
                    self.smtp.refuse(550, "5.1.1", "No such user")
                case ContentBegin() if self.smtp.hello == "full.example":
                    self.smtp.refuse(452, "4.3.1", "The disk is full")
                case Mail() | Rcpt() | ContentBegin():
                    self.recipients = [] if isinstance(event, Mail) else self.recipients
                    self.recipients += [event.recipient] if isinstance(event, Rcpt) else []
                    self.smtp.accept()
                case ContentPart(data):
                    self.parts.append(data)
                case Content() | ContentEnd():
                    self.messages.append(event.data if isinstance(event, Content) else b"".join(self.parts))
                    self.parts.clear()
                    self.finish()
                case Auth(Credentials(_, login, "secret")):
                    self.smtp.authenticated(login)
                case Auth():
                    self.smtp.refuse(535, "5.7.8", "Wrong login or password")
                case Reset():
                    self.parts.clear()
                case Quit() | TooManyErrors() | Disconnected():
                    return

    def finish(self) -> None:
        if not any(recipient.startswith("later") for recipient in self.recipients):
            self.smtp.accept("queued")
            return
        for recipient in self.recipients:
            if recipient.startswith("later"):
                self.smtp.refuse(451, "4.2.1", "Not now", one=True)
            else:
                self.smtp.accept("queued", one=True)


def read_dialog(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.match(r"[COMST][:!~+]( |$)", line), f"{path.name}: {line!r} is no line of a dialog"
            yield line[:2], line[3:]


def unescaped(text: str) -> bytes:
    return ast.literal_eval(f"b'''{text}'''")


def settings_in(text: str) -> dict[str, Any]:
    return {name: ast.literal_eval(value) for name, _, value in (word.partition("=") for word in text.split())}


class Run:
    """One dialog under way."""

    def __init__(self, settings: dict[str, Any], step: int) -> None:
        self.step = step
        self.peer = Obliging(settings)
        self.unsent = b""
        self.replies = self.peer.smtp.outgoing().decode("ascii").splitlines()

    def flush(self) -> None:
        if self.unsent:
            assert not self.replies, f"not expected: {self.replies}"
            self.replies = self.peer.send(self.unsent, self.step).splitlines()
            self.unsent = b""

    def take(self, kind: str, text: str) -> None:
        if kind[0] == "C":
            self.unsent += text.encode() + b"\r\n" if kind == "C:" else unescaped(text)
            return
        self.flush()
        match kind:
            case "S:":
                assert self.reply(text).startswith(text)
            case "S~":
                assert re.fullmatch(text, self.reply(text))
            case "S+":
                while self.replies and self.replies[0].startswith(text):
                    self.reply(text)
            case "M:":
                assert self.peer.messages.pop(0) == unescaped(text)
            case "T:":
                assert not self.replies
                self.peer.smtp.tls_started()

    def reply(self, wanted: str) -> str:
        assert self.replies, f"no reply where {wanted!r} is due"
        return self.replies.pop(0)

    def end(self) -> None:
        self.flush()
        assert self.replies == []
        assert self.peer.messages == []


@pytest.mark.parametrize("step", [100_000, 1], ids=["whole", "octet by octet"])
@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
def test_dialog(path: Path, step: int) -> None:
    lines = list(read_dialog(path))
    run = Run({name: value for kind, text in lines if kind == "O:" for name, value in settings_in(text).items()}, step)
    for kind, text in lines:
        if kind != "O:":
            run.take(kind, text)
    run.end()


def test_every_topic_has_a_dialog() -> None:
    assert {path.stem for path in DIALOGS} >= {
        "auth", "bdat", "commands", "dsn", "limits", "pipelining", "smuggling", "starttls", "utf8",
    }  # fmt: skip
