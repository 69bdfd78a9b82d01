"""Turn away mail that has no subject."""

from engine import Message, Reject, Verdict


async def needs_subject(message: Message) -> Verdict:
    if not message.header("Subject"):
        return Reject("Please write a subject line")
    return message
