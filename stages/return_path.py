"""Return path: the address to which bounces of mail that leaves are to come back. A pure stage."""

import time

from engine import Each, Message, Recipient, Session, Verdict
from engine.directory import Directory, split
from engine.return_path import ReturnPaths


class ReturnPath:
    """What an alias sends outside goes on from an address of ours that stands for its sender (SRS): else the next
    server would find us not allowed to send for that one (SPF). Mail of our own people goes out with a tag that shows
    its bounces to be such (BATV).
    """

    acts_on = ("srs", "batv")

    def __init__(self, directory: Directory, returns: ReturnPaths) -> None:
        self._directory = directory
        self._returns = returns

    async def __call__(self, message: Message) -> Verdict:
        sender, session = message.sender, message.session
        if not sender:
            return message
        if self._is_ours(sender):
            batv = self._returns.batv
            by_us = session.login or session.trusted
            return message.with_sender(batv.sign(sender, time.time())) if batv and by_us else message
        srs = self._returns.srs
        forwarded = [one.address for one in message.envelope.recipients if _is_forwarded(one, session)] if srs else []
        if srs is None or not forwarded:
            return message
        rewritten = message.with_sender(srs.forward(sender, time.time()))
        return rewritten if len(forwarded) == len(message.recipients) else Each(dict.fromkeys(forwarded, rewritten))

    def _is_ours(self, sender: str) -> bool:
        name = split(sender)
        return name is not None and self._directory.is_local(name[1])


def _is_forwarded(recipient: Recipient, session: Session) -> bool:
    """Whether an alias stood for this recipient: strangers reach nobody outside otherwise."""
    if not (session.login or session.trusted):
        return True
    original = recipient.original_address
    return bool(original) and split(original) != split(recipient.address)
