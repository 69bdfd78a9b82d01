"""Mark invitations to meetings that come from outside: calendars take them in without a question.

    [stage.invitations]
    use = "filters/invitations.py"
    tag = "[OUTSIDE INVITATION]"

Stands behind `authenticate`. The fact `invitations.outside` is there for stages that follow, and the header field
X-Outside-Invitation for rules of readers.
"""

from engine import Message, Verdict
from engine.mime import rewriting
from engine.mime.structure import structure


def invitations(message: Message, *, tag: str = "[OUTSIDE INVITATION]") -> Verdict:
    if message.session.trusted:
        return message
    parts = structure(message.chunks()).walk()
    if not any(part.media == b"text/calendar" or any(map(is_calendar, rewriting.names(part))) for part in parts):
        return message
    subject = message.header("Subject") or ""
    marked = message.with_fact("invitations.outside", True).with_header("X-Outside-Invitation", "yes")
    return marked if tag in subject else marked.with_sole_header("Subject", f"{tag} {subject}")


def is_calendar(name: str) -> bool:
    return name.lower().rstrip(". ").endswith(".ics")
