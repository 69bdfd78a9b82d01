"""What an SMTP server without any objection decides."""

from engine.protocols.smtp_events import Auth, Content, ContentBegin, ContentEnd, Event, Mail, Rcpt, StartTls
from engine.protocols.smtp_server import SmtpServer


def accept(smtp: SmtpServer, event: Event) -> None:
    """Go along with whatever the client wants."""
    match event:
        case Mail() | Rcpt() | ContentBegin() | Content() | ContentEnd():
            smtp.accept()
        case Auth():
            smtp.authenticated(event.credentials.login)
        case StartTls():
            smtp.tls_started()
