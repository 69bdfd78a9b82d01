"""All operations of the API. A part in a file of its own adds its rows here, and says what it is about."""

from collections.abc import Mapping

from engine.web.api import (
    abuse,
    accounts,
    aliases,
    domains,
    figures,
    history,
    lists,
    live,
    migrations,
    oversight,
    own,
    quarantine,
    queue,
    quotas,
    revisions,
    shaping,
)
from engine.web.api.operation import Operation

ROWS: tuple[Operation, ...] = (
    *queue.ROWS,
    *history.ROWS,
    *revisions.ROWS,
    *abuse.ROWS,
    *shaping.ROWS,
    *live.ROWS,
    *figures.ROWS,
    *accounts.ROWS,
    *aliases.ROWS,
    *quotas.ROWS,
    *domains.ROWS,
    *quarantine.ROWS,
    *lists.ROWS,
    *migrations.ROWS,
    *oversight.ROWS,
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
    "measures": "How the server does, now and over time.",
    "accounts": "Who has a mailbox here, may log in, and send in which names; and what is in their mailboxes.",
    "aliases": "Addresses that stand for others.",
    "groups": "Addresses that stand for members, who come and go.",
    "quotas": "How much mailboxes may hold, and how much they do.",
    "domains": "Domains whose mail stays here, and the keys that sign theirs.",
    "keys": "The keys that sign mail, of all domains.",
    "certificates": "What the server offers for TLS.",
    "reports": "What other servers say about mail in our name, and about TLS with us.",
    "quarantine": "Mail that was taken and parked, until somebody decides.",
    "lists": "Senders that are allowed or blocked: for all, for a domain, for an account.",
    "suppressions": "Recipients who are not written to again.",
    "folders": "Public folders.",
    "migrations": "Mail that is taken from other servers.",
    "oversight": "Who has looked at whose mail, and what is held.",
    "jobs": "Long work that the same token has begun.",
    "token": "The token that is shown.",
}
"""By the first name in the paths."""
