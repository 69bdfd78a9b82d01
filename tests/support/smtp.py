"""What an SMTP server without any objection decides."""

from engine.protocols.sasl import KeysWanted
from engine.protocols.scram import Key, Keys
from engine.protocols.smtp_events import Auth, Content, ContentBegin, ContentEnd, Event, Mail, Rcpt, StartTls
from engine.protocols.smtp_server import SmtpServer

KEYS = Keys(bytes(16), 4096, (Key(bytes(32), bytes(32)),))
"""What nothing fits."""


def accept(smtp: SmtpServer, event: Event) -> None:
    """Go along with whatever the client wants."""
    match event:
        case Mail() | Rcpt() | ContentBegin() | Content() | ContentEnd():
            smtp.accept()
        case Auth(KeysWanted()):
            smtp.take_keys(KEYS)
        case Auth():
            smtp.authenticated(event.question.login)
        case StartTls():
            smtp.tls_started()
