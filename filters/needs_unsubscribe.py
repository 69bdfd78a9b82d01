"""Refuse bulk mail that has no List-Unsubscribe, as large providers ask for it (RFC 8058).

    [stage.needs_unsubscribe]
    use = "filters/needs_unsubscribe.py"
    recipients = 50      # from so many on at once, it is bulk mail whatever it says

Stands before `queue`. What comes in: mail that calls itself bulk. What our people send: what goes to many at once, too.
Automatic answers and bounces call themselves bulk as well, so that nobody answers them, and are let pass.
"""

from engine import Message, Reject, Verdict

ASKED = Reject("Bulk mail needs a List-Unsubscribe field (RFC 8058)", code="5.7.1")


async def needs_unsubscribe(message: Message, *, recipients: int = 50) -> Verdict:
    said = (message.header("Precedence") or "").strip().lower() in {"bulk", "list", "junk"}
    answers = (message.header("Auto-Submitted") or "").strip().lower().startswith("auto-replied")  # RFC 3834 5
    if answers or not message.sender:
        return message
    is_bulk = said or message.header("List-Id") is not None or len(message.recipients) >= recipients
    return ASKED if is_bulk and message.header("List-Unsubscribe") is None else message
