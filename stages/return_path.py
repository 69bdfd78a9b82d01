"""Return path: the address to which bounces of mail that leaves are to come back. A pure stage."""

import time

from engine import Each, Message, Recipient, Session, Verdict
from engine.directory import Directory, split
from engine.return_path import ReturnPaths, Verp


class ReturnPath:
    """What an alias sends outside goes on from an address of ours that stands for its sender (SRS): else the next
    server would find us not allowed to send for that one (SPF). Mail of our own people goes out with a tag that shows
    its bounces to be such (BATV), or, where that is wanted, from an address for each recipient (VERP).
    """

    acts_on = ("srs", "batv")

    def __init__(self, directory: Directory, returns: ReturnPaths) -> None:
        self._directory = directory
        self._returns = returns

    async def __call__(self, message: Message) -> Verdict:
        sender, session = message.sender, message.session
        if not sender:
            return message
        by_us = bool(session.login or session.trusted)
        if (verp := self._returns.verp) is not None and by_us:
            if verp.is_tagged(sender):  # another server of ours has it from there
                return message
            if _wants_verp(message, verp):
                return _for_each(message, verp)
        if self._is_ours(sender):
            batv = self._returns.batv
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


def _wants_verp(message: Message, verp: Verp) -> bool:
    name = split(message.sender)
    chosen = name is not None and ("@".join(name) in verp.senders or name[1] in verp.senders)
    by_tenant = bool(verp.tenants) and message.fact("tenant.name") in verp.tenants
    return chosen or by_tenant or (verp.lists and message.header("List-Id") is not None)


def _for_each(message: Message, verp: Verp) -> Verdict:
    own = {address: message.with_sender(verp.sign(message.id, address)) for address in message.recipients}
    return next(iter(own.values())) if len(own) == 1 else Each(own)


def _is_forwarded(recipient: Recipient, session: Session) -> bool:
    """Whether an alias stood for this recipient: strangers reach nobody outside otherwise."""
    if not (session.login or session.trusted):
        return True
    original = recipient.original_address
    return bool(original) and split(original) != split(recipient.address)
