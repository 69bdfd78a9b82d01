"""The classes of replies: what stands behind a refusal, whom it is about, and when it is tried again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

About: TypeAlias = Literal["recipient", "domain", "message", "sender", "source", "site", "us", "nobody"]
"""What would have to change: a source is the address that we send from."""

Retry: TypeAlias = Literal["never", "soon", "usual", "patient"]
"""When to try again: soon, as the usual schedule says, or when hours have passed."""


@dataclass(frozen=True, slots=True)
class Class:
    """One class. ``permanent`` and ``retry`` hold where no code of the reply says anything about it."""

    name: str
    about: About
    permanent: bool
    retry: Retry
    text: str


_ALL = (
    Class("invalid-recipient", "recipient", True, "usual", "there is no such mailbox"),
    Class("inactive-mailbox", "recipient", True, "patient", "the mailbox is disabled, suspended, left, or has moved"),
    Class("mailbox-full", "recipient", False, "patient", "the mailbox is full"),
    Class("recipient-rate", "recipient", False, "patient", "this one recipient gets more than its server allows"),
    Class(
        "recipient-refuses", "recipient", True, "usual", "the recipient, or a rule of its, wants no mail of this sender"
    ),
    Class("challenge-response", "recipient", False, "never", "the sender is to prove that it is a person"),
    Class("auto-reply", "recipient", False, "never", "an answer of a program: a vacation, a receipt"),
    Class("unsubscribe", "recipient", True, "never", "the recipient asks to be taken from a list"),
    Class("complaint", "recipient", True, "never", "the recipient has called our mail spam"),
    Class("invalid-domain", "domain", True, "usual", "the domain does not exist, or takes no mail there"),
    Class("dns", "domain", False, "usual", "the domain cannot be looked up now"),
    Class("routing", "domain", True, "usual", "the way to the domain is wrong: a loop, or no way at all"),
    Class("relaying-denied", "site", True, "usual", "the server does not take mail for this domain"),
    Class("login-required", "site", True, "usual", "the server wants a login, or does not like ours"),
    Class("invalid-sender", "sender", True, "usual", "the sender's address or domain does not exist, or may not send"),
    Class("authentication", "sender", True, "usual", "SPF, DKIM, DMARC or ARC did not pass"),
    Class("spam-content", "message", True, "usual", "the content looks like spam"),
    Class("virus", "message", True, "usual", "a virus, a link to one, or an attachment of a forbidden kind"),
    Class("too-large", "message", True, "usual", "the message is too large"),
    Class("content", "message", True, "usual", "the message is not formed as it should be"),
    Class("reputation", "source", False, "patient", "our address or domain is on a list, or has a bad name"),
    Class("identity", "source", True, "usual", "the name of our address, or what we say in EHLO, is wrong"),
    # Shaping sees to it that less is sent, and what was put off for it comes again among the rest.
    Class("rate", "source", False, "usual", "we send too much, too fast, or over too many connections"),
    Class("greylist", "source", False, "soon", "we are not known yet: whoever comes again is let in"),
    Class("policy", "site", True, "usual", "a rule of the server forbids it, which it does not explain"),
    Class("tls", "site", False, "usual", "no TLS, or not as a policy asks for"),
    Class("system", "site", False, "usual", "the server has trouble of its own"),
    Class("connection", "site", False, "usual", "no connection, or it broke or timed out"),
    Class("protocol", "site", False, "usual", "one side did not follow the protocol"),
    Class("expired", "nobody", True, "never", "it was tried for as long as a message may wait"),
    Class("suppressed", "us", True, "never", "our own suppression list has the recipient"),
    Class("unknown", "nobody", False, "usual", "nothing is known that fits"),
)

CLASSES: Mapping[str, Class] = {one.name: one for one in _ALL}

UNKNOWN = CLASSES["unknown"]

OWN = re.compile(r"x-[a-z0-9]+(-[a-z0-9]+)*")
"""Names of an operator's own classes: none of ours will ever be the same."""

LONGEST_NAME = 60


def is_class(name: str) -> bool:
    """Whether there is such a class, or an operator may have one."""
    return name in CLASSES or is_own(name)


def is_own(name: str) -> bool:
    return len(name) <= LONGEST_NAME and OWN.fullmatch(name) is not None
