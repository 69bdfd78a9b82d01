"""What the history is told of servers that were spoken to about a message."""

import time
from collections.abc import Sequence

from engine.history import history
from engine.history.entries import Sent
from engine.message import Message
from engine.outbound.way import Way
from engine.protocols.smtp_heard import Reply
from engine.protocols.smtp_transaction import Transaction


def note(
    message: Message,
    transaction: Transaction,
    way: Way,
    server: tuple[str, str],
    *,
    began: float = 0.0,
    tls: str = "",
    policy: str = "",
    replies: Sequence[Reply | None] = (),
    trouble: tuple[str, str] = ("", ""),
) -> None:
    """``server``: host and address; ``trouble``: what it was, and the reply that came with it. ``began``: Unix time."""
    now = time.time()
    said = tuple([str(reply) if reply else "" for reply in replies])
    same = len(said) < 2 or len(set(said)) == 1
    history(
        Sent(
            message.id,
            now,
            began or now,
            tuple([to.address for to in transaction.recipients]),
            way.site,
            *server,
            way.source.name,
            tls,
            policy,
            said[:1] if same else said,
            *trouble,
            message.envelope.attempts + 1,
        )
    )
