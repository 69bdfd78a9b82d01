"""Lists of addresses and domains in the DNS (RFC 5782): what they are asked, and what their answers mean."""

from collections.abc import Sequence

from engine.net.targets import Address

_LONGEST = 253  # characters of a name in the DNS

_REFUSALS = ("127.255.255.*",)
"""Answers that are errors and no listings, whatever else is set: 127.255.255.252 to .255, by which Spamhaus says that
there is no such list, that it was asked by way of an open resolver, or too often
(https://www.spamhaus.org/faqs/dnsbl-usage/, "return codes")."""

_LIKELY_REFUSALS = ("127.0.0.1", "127.0.0.255")
"""Answers that are errors where nobody has named them as listings: of URIBL (https://uribl.com/refused.shtml) and
SURBL, and of dnswl.org."""


def _parts(pattern: str) -> list[str]:
    parts = pattern.split(".")
    if len(parts) != 4 or parts[0] != "127":
        raise ValueError(f'{pattern!r} is no answer of a list; write it like "127.0.0.2", "127.0.0.4-7", "127.0.*.1-3"')
    return parts


def _octets(part: str) -> range:
    """The numbers that a part of a pattern stands for."""
    if part == "*":
        return range(256)
    first, _, last = part.partition("-")
    try:
        found = range(int(first), int(last or first) + 1)
    except ValueError:
        found = range(0)
    if not found or found[-1] > 255 or found[0] < 0:
        raise ValueError(f"{part!r} is no part of an answer; it is a number up to 255, a range 4-7, or *")
    return found


class Answers:
    """Some answers out of 127.0.0.0/8: ``"127.0.0.2"``, ``"127.0.0.4-7"``, ``"127.0.*.1-3"``. ValueError."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [tuple(map(_octets, _parts(pattern))) for pattern in patterns]

    def __contains__(self, answer: str) -> bool:
        octets = [int(part) for part in answer.split(".")]
        return any(
            all(octet in allowed for octet, allowed in zip(octets, pattern, strict=True)) for pattern in self._patterns
        )


_ANY = Answers(("127.*.*.*",))
_REFUSED, _LIKELY_REFUSED = Answers(_REFUSALS), Answers(_LIKELY_REFUSALS)


def meaning(answers: Sequence[str], listing: Answers | None) -> bool | str:
    """Whether one of these A records is a listing; a text: it is an error, and says which.

    ``listing``: which answers count; None: all in 127.0.0.0/8 (RFC 5782 2.1) that are not known as errors. Others never
    do: so answer domains that were given up, for whatever they are asked.
    """
    within = [answer for answer in answers if answer in _ANY]
    errors = [
        answer
        for answer in within
        if answer in _REFUSED or (answer in _LIKELY_REFUSED and (listing is None or answer not in listing))
    ]
    if errors:
        return f"it does not answer our questions, but {errors[0]}"
    return any(listing is None or answer in listing for answer in within)


def of_address(address: Address, zone: str) -> str:
    """The name by which a list is asked for an address (RFC 5782 2.1, 2.4)."""
    return f"{address.reverse_pointer.rpartition('.in-addr')[0] or address.reverse_pointer[: -len('.ip6.arpa')]}.{zone}"


def of_domain(domain: str, zone: str) -> str | None:
    """The name by which a list is asked for a domain (RFC 5782 3); None where that makes no sense.

    Address literals and bare addresses are not asked for: lists of domains answer an error, or anything.
    """
    domain = domain.rstrip(".")
    name = f"{domain}.{zone}"
    last = domain.rpartition(".")[2]
    is_domain = "." in domain and ".." not in domain and not last.isdigit() and not domain.startswith(("[", "."))
    return name.lower() if is_domain and len(name) <= _LONGEST else None
