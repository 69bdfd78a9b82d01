"""What conditions can say of a message: ``when`` of a stage."""

from typing import TypeAlias

from engine.condition.meaning import Condition, Known, Vocabulary, understood
from engine.message import Message

When: TypeAlias = Condition[Message]
"""A condition on a message."""


def domain_of(address: str) -> str:
    """What stands behind the last @; empty where there is none."""
    return address.rpartition("@")[2] if "@" in address else ""


MESSAGES: Vocabulary[Message] = Vocabulary(
    {
        "sender": Known("text", lambda message: message.sender),
        "sender.domain": Known("text", lambda message: domain_of(message.sender)),
        "recipient": Known("text", lambda message: message.recipients, several=True),
        "recipients": Known("any", lambda message: list(message.recipients)),
        "domain": Known("text", lambda message: [domain_of(one) for one in message.recipients], several=True),
        "size": Known("size", lambda message: message.size),
        "session.peer": Known("text", lambda message: message.session.peer),
        "session.helo": Known("text", lambda message: message.session.helo),
        "session.tls": Known("text", lambda message: message.session.tls),
        "session.login": Known("text", lambda message: message.session.login),
        "session.trusted": Known("flag", lambda message: message.session.trusted),
    },
    lambda message, name: message.fact(name),
)


def parse_condition(text: str) -> When:
    """Read a condition on a message: names (``size``, ``scan.score``, ``dkim[0].domain``), numbers, sizes, durations,
    "texts", lists, comparisons, ``in``, ``like``, ``and``, ``or``, ``not``, parentheses.

    ValueError with the place for anything else.
    """
    return understood(text, MESSAGES)
