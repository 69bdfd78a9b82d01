"""Let mail to addresses that nobody reads vanish, or refuse it with a word about where to write.

    [stage.no_reply]
    use = "filters/no_reply.py"
    addresses = ["noreply@example.org"]
    refuse = "Nobody reads this. Write to help@example.org"     # without it, the mail vanishes

Stands before `queue`. With `refuse`, automatic answers and bounces are still dropped in silence.
"""

from engine import Discard, Each, Message, Reject, Verdict


async def no_reply(message: Message, *, addresses: tuple[str, ...], refuse: str = "") -> Verdict:
    unread = {address.lower() for address in addresses}
    theirs = [address for address in message.recipients if address.lower() in unread]
    automatic = not message.sender or (message.header("Auto-Submitted") or "no").lower() != "no"
    said = Reject(refuse) if refuse and not automatic else Discard("nobody reads this address")
    return Each(dict.fromkeys(theirs, said)) if theirs else message
