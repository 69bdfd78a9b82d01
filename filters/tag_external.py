"""Mark mail that comes from outside, so that readers know to be careful with it."""

from engine import Message, Verdict


async def tag_external(message: Message, *, header: str = "X-External", value: str = "yes") -> Verdict:
    if message.session.trusted:
        return message
    return message.with_header(header, value)
