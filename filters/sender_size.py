"""Limit the size of mail by who sends it: one limit for all, others for addresses and domains.

    [stage.sender_size]
    use = "filters/sender_size.py"
    most = "10 MB"
    others = [{ sender = "scanner@example.org", most = "50 MB" }, { sender = "partner.example.net", most = "25 MB" }]

Stands before `queue`. The limit of an address goes before that of its domain. `max_size` of `accept` holds for all
besides.
"""

import msgspec

from engine import Message, Reject, Size, Verdict, domain_of


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sender: str  # an address or a domain
    most: Size


async def sender_size(message: Message, *, most: Size, others: tuple[Limit, ...] = ()) -> Verdict:
    limits = {one.sender.lower(): one.most for one in reversed(others)}
    limit = limits.get(message.sender.lower(), limits.get(domain_of(message.sender), most))
    if message.size > limit:
        return Reject(f"Your mail may have {limit} octets, this has {message.size}", code="5.3.4")
    return message
