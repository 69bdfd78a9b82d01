"""`notify` by mail (RFC 5435, 5436)."""

from urllib.parse import unquote

from engine.mime.folding import folded
from engine.protocols.address import Malformed, parse_path
from engine.sieve.actions import Notify
from engine.sieve.compiled import Node
from engine.sieve.errors import RunError
from engine.sieve.fields import author
from engine.sieve.run import Run

RECIPIENTS = 4
"""Of one notice."""

_PRIORITY = {"1": "1 (High)", "2": "", "3": "5 (Low)"}


def is_valid(method: str) -> bool:
    """Whether a notice can be sent that way."""
    return bool(_recipients(method))


def notify(run: Run, node: Node) -> None:
    """Adds a Notify; RunError for a method that is none. A notice about a notice is not sent (RFC 5436 2.7.1)."""
    method = run.text(node.arguments[0])
    recipients = _recipients(method)
    if not recipients:
        raise RunError("a notice goes to mailto: and an address")
    if any(run.value(field).lower().startswith("auto-notified") for field in run.fields("auto-submitted")):
        return
    asked = {
        name.lower(): unquote(value)
        for name, _, value in (one.partition("=") for one in method.partition("?")[2].split("&"))
    }
    senders = run.fields("from")
    subjects = run.fields("subject")
    sender = run.value(senders[0]) if senders else run.world.sender
    subject = run.value(subjects[0]) if subjects else ""
    message = run.option(node, "message")
    text = asked.get("body") or message or f"New mail from {sender}: {subject}"
    priority = _PRIORITY.get(run.option(node, "importance", "2"), "")
    content = b"".join(
        [
            author(run, node),
            folded("To", ", ".join(recipients)),
            folded("Subject", asked.get("subject") or message or f"New mail from {sender}: {subject}"),
            # RFC 5436 2.7.1: so that no notice makes another one.
            folded("Auto-Submitted", f"auto-notified; owner-email={run.world.recipient}"),
            folded("X-Priority", priority) if priority else b"",
            b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
            text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode("utf-8", "replace") + b"\r\n",
        ]
    )
    run.act(Notify(recipients, content), keeps=True)


def _recipients(method: str) -> tuple[str, ...]:
    """The addresses in a mailto: (RFC 6068); none where one of them is none, or there are too many."""
    scheme, _, rest = method.partition(":")
    if scheme.lower() != "mailto":
        return ()
    found = [unquote(one) for one in rest.partition("?")[0].split(",")]
    good = [one for one in found if not isinstance(parse_path(f"<{one}>", null_ok=False, utf8=True), Malformed)]
    return tuple(found) if found == good and len(found) <= RECIPIENTS else ()
