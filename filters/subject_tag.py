"""Put a tag in front of the subject of mail from outside.

    [stage.subject_tag]
    use = "filters/subject_tag.py"
    tag = "[EXTERN]"

Stands before `queue`, behind `authenticate`: a new subject breaks the author's DKIM signature.
"""

from engine import Message, Verdict


async def subject_tag(message: Message, *, tag: str = "[EXTERN]") -> Verdict:
    subject = message.header("Subject") or ""
    if message.session.trusted or tag.lower() in subject.lower():  # it is there in answers
        return message
    return message.with_sole_header("Subject", f"{tag} {subject}")
