"""All operations of the API. A part in a file of its own adds its rows here, and says what it is about."""

from collections.abc import Mapping

from engine.web.api import abuse, history, live, own, queue, revisions, shaping
from engine.web.api.operation import Operation

ROWS: tuple[Operation, ...] = (
    *queue.ROWS,
    *history.ROWS,
    *revisions.ROWS,
    *abuse.ROWS,
    *shaping.ROWS,
    *live.ROWS,
    *own.ROWS,
)

PARTS: Mapping[str, str] = {
    "queue": "What waits, what is held and parked, and what becomes of it.",
    "history": "The whole way of messages, past or queued.",
    "revisions": "Configurations that were in force; checks, previews, changes and trials of others.",
    "bans": "Who is kept out for guessing.",
    "rates": "Who has sent how much lately.",
    "suspects": "Accounts whose mail is parked because they send unlike themselves.",
    "shaping": "How mail leaves for a destination.",
    "measures": "How the server does, now.",
    "jobs": "Long work that the same token has begun.",
    "token": "The token that is shown.",
}
"""By the first name in the paths."""
