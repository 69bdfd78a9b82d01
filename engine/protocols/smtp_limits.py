"""LIMITS (RFC 9422): what a server says it takes of one session. Written by the server, read and kept by the client."""

import re
import sys
from collections.abc import Sequence
from typing import NamedTuple

from engine.protocols.address import domain_of

UNLIMITED = sys.maxsize

_NAMES = {"MAILMAX": "mails", "RCPTMAX": "recipients", "RCPTDOMAINMAX": "domains"}
_PARAMETER = re.compile(r"([A-Za-z0-9_-]+)(?:=([!-:<-~]+))?")
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


class Limits(NamedTuple):
    """The limits of RFC 9422 4: MAIL commands of a session, RCPT commands of a transaction, and different domains of
    all recipients of a session. All count what was tried, whatever the answer."""

    mails: int = UNLIMITED
    recipients: int = UNLIMITED
    domains: int = UNLIMITED


def limits_line(limits: Limits) -> list[str]:
    """The line of the reply to EHLO; none where there is nothing to say. Numbers have six digits (RFC 9422 4)."""
    said = [f"{name}={value}" for name, key in _NAMES.items() if _NUMBER.fullmatch(value := str(getattr(limits, key)))]
    return [" ".join(["LIMITS", *said])] if said else []


def parse_limits(parameters: str) -> Limits:
    """What stands behind the keyword. A parameter that is none makes all of them void, a wrong number only its own
    limit; limits that we do not know are passed over (RFC 9422 3.7)."""
    found: dict[str, int] = {}
    for parameter in parameters.split():
        match = _PARAMETER.fullmatch(parameter)
        if match is None:
            return Limits()
        key = _NAMES.get(match[1].upper())
        if key and _NUMBER.fullmatch(match[2] or ""):
            found[key] = min(int(match[2]), found.get(key, UNLIMITED))
    return Limits(**found)


class Allowance:
    """What the limits leave of one session. The next session begins anew: its limits may be others (RFC 9422 3.8)."""

    def __init__(self, limits: Limits) -> None:
        self.mails = limits.mails
        self._recipients = limits.recipients
        self._domains = limits.domains
        self._named: set[str] = set()

    def learn(self, recipients: int) -> None:
        """The server took no more than so many in one transaction, whatever it had said."""
        self._recipients = min(self._recipients, recipients)

    def take(self, addresses: Sequence[str]) -> list[bool]:
        """For each address, whether the next transaction may name it; then it counts as named."""
        if self._domains == UNLIMITED:
            return [index < self._recipients for index in range(len(addresses))]
        taken: list[bool] = []
        for address in addresses:
            domain = domain_of(address)
            fits = sum(taken) < self._recipients and (domain in self._named or len(self._named) < self._domains)
            if fits:
                self._named.add(domain)
            taken.append(fits)
        return taken
