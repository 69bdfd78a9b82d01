"""Have answers to a list go to the list.

    [stage.list_reply_to]
    use = "filters/list_reply_to.py"
    lists = ["crew@example.org", "board@example.org"]

Stands before `route`, which puts the members in the place of the list.
"""

from engine import Each, Message, Verdict


async def list_reply_to(message: Message, *, lists: tuple[str, ...]) -> Verdict:
    names = {address.lower() for address in lists}
    found = {
        address: message.with_sole_header("Reply-To", address).with_sole_header("Precedence", "list")
        for address in message.recipients
        if address.lower() in names
    }
    return Each(found) if found else message
