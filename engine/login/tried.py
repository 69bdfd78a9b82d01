"""A login as the server of a protocol tries it: whatever is in the way is logged, and the client may come again."""

import logging
from typing import TypeAlias

from engine.directory import Account, Unavailable
from engine.login.service import Visitor
from engine.observe.events import event
from engine.protocols.sasl import Question
from engine.protocols.scram import Keys

Answer: TypeAlias = Keys | Account | Unavailable | None

log = logging.getLogger(__name__)


async def tried(visitor: Visitor, question: Question, *, protocol: str, peer: str) -> Answer:
    """What ``visitor`` answers; Unavailable when that cannot be told now, for a bug too."""
    try:
        return await visitor.answer(question)
    except Unavailable as error:
        event("login-unavailable", peer=peer, error=str(error))
        return error
    except Exception as error:
        log.exception("%s %s: login of %r could not be checked", protocol, peer, question.login)
        return Unavailable(str(error))
