"""Messages from one account's mailbox to another's: copied by their octets, some at a time."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from engine.imap.letters import WHOLE, Letter
from engine.imap.place import Place
from engine.imap.session import Session
from engine.mailbox.commands import Answer, Append, Appended, Expunge
from engine.mailbox.incoming import IncomingFile

AT_ONCE: Final = 100
"""Messages that are stored at once."""


async def carry(session: Session, uids: Sequence[int], to: Place, *, move: bool) -> Answer:
    """Copy them; with ``move`` each is removed once it is there. What came before a problem stays."""
    selected = session.mailbox
    answer = Answer()
    for start in range(0, len(uids), AT_ONCE):
        letters = await session.read(session.shelf.letters, uids[start : start + AT_ONCE])
        with ExitStack() as files:
            messages = tuple([await session.read(_appended, session, letter, files) for letter in letters])
            quota = await session.quota(to.account)
            stored = await session.change(
                Append(account=to.account, mailbox=to.mailbox, messages=messages, quota=quota)
            )
        sources = tuple(letter.uid for letter in letters) if stored.problem is None else ()
        answer += Answer(stored.problem, stored.mailbox, stored.uidvalidity, sources, stored.uids)
        if stored.problem is not None:
            break
        if move:
            await session.change(
                Expunge(account=selected.account, mailbox=selected.mailbox, uids=sources, deleted_only=False)
            )
    return answer


def _appended(session: Session, letter: Letter, files: ExitStack) -> Appended:
    row = letter.row
    names = session.mailbox.flags.keywords
    keywords = tuple(name for bit, name in enumerate(names) if row.keywords >> bit & 1)
    if row.size <= WHOLE:
        content = letter.read(0, row.size)
        return Appended(content=content, flags=row.flags, keywords=keywords, received=row.received)
    file = files.enter_context(IncomingFile(session.mailboxes.path))
    for piece in letter.pieces(0, row.size):
        file.write(piece)
    return Appended(file=file.finish(), flags=row.flags, keywords=keywords, received=row.received)
