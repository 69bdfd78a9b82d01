"""How many messages one command may be for, and what is said where it was for more (RFC 9738)."""

from collections.abc import Sequence
from typing import NamedTuple

from engine.imap.reply import Done, No
from engine.imap.session import Session
from engine.protocols.imap import codes


class Counted(NamedTuple):
    """The messages that a command is done to: all that it names, or of those the ones with the highest UIDs."""

    uids: Sequence[int]
    code: bytes = b""  # what says that it is not all

    def ended(self, session: Session, done: Done) -> Done:
        """The end of the command. A line has one code: where it has another one, this one goes before it."""
        if not self.code:
            return done
        if not done.code:
            return Done(done.text, self.code)
        session.imap.send(codes.status_line(b"*", b"NO", "It was done to the newest of the messages alone", self.code))
        return done


def counted(session: Session, uids: Sequence[int]) -> Counted:
    """``uids`` ascend (RFC 9738 3.1: from the highest to the lowest)."""
    most = session.service.limits.messages
    if len(uids) <= most:
        return Counted(uids)
    some = uids[-most:]
    return Counted(some, codes.message_limit(most, some[0]))


def demand_few(session: Session, uids: Sequence[int]) -> None:
    """No where there are too many for a command that is done whole, or not at all."""
    code = counted(session, uids).code
    if code:
        raise No(f"At most {session.service.limits.messages} messages at once", code)
