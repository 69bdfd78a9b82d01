"""Take attachments with some endings out of mail, and put a note in their place.

    [stage.strip_attachments]
    use = "filters/strip_attachments.py"
    endings = [".exe", ".js", ".iso"]
    note = "{name} was removed here. Ask postmaster@example.org if you need it."

Stands behind `authenticate`. It looks at names alone; the stage `attachments` looks at what is inside.
"""

from engine import Message, Verdict
from engine.mime import rewriting
from engine.mime.part import Part


def strip_attachments(
    message: Message,
    *,
    endings: tuple[str, ...] = (".exe", ".scr", ".com", ".bat", ".cmd", ".js", ".vbs", ".iso", ".lnk"),
    note: str = "The attachment {name} was removed.",
) -> Verdict:
    ends = tuple(one.lower() for one in endings)

    def said(part: Part) -> str | None:  # a part may have two names, and readers differ in which they take
        names = [name for name in rewriting.names(part) if name.lower().rstrip(". ").endswith(ends)]
        return note.replace("{name}", names[0]) if names else None

    octets = b"".join(message.chunks())
    changed = message.with_content(rewriting.replaced(octets, said))
    return message if changed is message else changed.with_fact("strip_attachments.done", True)
