"""SPF: whether a client may send mail in a domain's name, as check_host() of RFC 7208 finds it."""

import ipaddress
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from engine.authentication import spf_record
from engine.authentication.iprev import client_address, names_of
from engine.authentication.outcome import Result
from engine.authentication.spf_record import Mechanism, Record
from engine.net.dns import Answer, Ask, DnsTrouble, NoData, NoSuchName, a_labels, side_by_side
from engine.net.targets import Address

__all__ = ["Check", "Result", "check", "check_host"]

LOOKUP_LIMIT = 10
"""Terms of one check, those of included records among them, that ask the DNS (RFC 7208 4.6.4)."""

VOID_LIMIT = 2
"""Terms of one check for whose questions the DNS has nothing (RFC 7208 4.6.4)."""

HOSTS_LIMIT = 10
"""MX records of one name; more are an error (RFC 7208 4.6.4)."""

EXPLANATION_LIMIT = 400
"""Characters of an explanation: it has to fit into one line of a reply (RFC 5321 4.5.3.1.5)."""

_LABEL_LIMIT = 63
_UNPRINTABLE = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class Check:
    """What was found for one identity. ``domain`` in A-labels where that can be; ``why`` is for the operator, the
    ``explanation`` is from the domain's owner for the sender, and only there where the result is ``fail``."""

    result: Result
    domain: str
    why: str = ""
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Both:
    """The checks of the two identities (RFC 7208 2.3, 2.4). With the null sender they are one and the same."""

    mail_from: Check
    helo: Check


async def check(ask: Ask, ip: str, helo: str, mail_from: str, *, receiver: str = "unknown") -> Both:
    """Check MAIL FROM and HELO, side by side. ``ip`` may be IPv4-mapped; ValueError when it is no address.

    ``mail_from`` is the address without angle brackets; empty stands for postmaster at the HELO domain.
    """
    at_helo = partial(check_host, ask, ip, helo, f"postmaster@{helo}", helo=helo, receiver=receiver)
    if not mail_from:
        only = await at_helo()
        return Both(only, only)
    domain = mail_from.rpartition("@")[2]
    at_sender = partial(check_host, ask, ip, domain, mail_from, helo=helo, receiver=receiver)
    return Both(*await side_by_side([at_sender, at_helo], ask))


async def check_host(
    ask: Ask, ip: str, domain: str, sender: str, *, helo: str, receiver: str = "unknown", now: float | None = None
) -> Check:
    """check_host() of RFC 7208 4. ValueError when ``ip`` is no address; all else is in the result."""
    address = client_address(ip)
    try:
        domain = a_labels(domain).removesuffix(".")
    except ValueError:
        domain = ""
    if not _is_checkable(domain):
        return Check(Result.NONE, domain, "no domain name that could have a record")
    local, _, sender_domain = sender.rpartition("@")
    client = _Client(
        ip=address,
        helo=helo,
        local=local or "postmaster",
        sender_domain=sender_domain if sender_domain.isascii() else domain,
        receiver=receiver,
        now=time.time() if now is None else now,
    )
    evaluation = _Evaluation(ask, client)
    end = await evaluation.run(domain)
    explanation = await evaluation.explain(end) if end.result is Result.FAIL else ""
    return Check(end.result, domain, end.why, explanation)


def _is_checkable(domain: str) -> bool:
    """Whether a domain can have a record (RFC 7208 4.3): several labels, none of them empty or too long."""
    labels = domain.split(".")
    return (
        len(labels) > 1
        and len(domain) <= spf_record.NAME_LIMIT
        and all(0 < len(label) <= _LABEL_LIMIT for label in labels)
        and not domain.endswith("]")
    )


@dataclass(frozen=True, slots=True)
class _End:
    """The result of a record, and where an explanation of it may be found."""

    result: Result
    why: str
    domain: str = ""
    explanation: str = ""


Matched: TypeAlias = "bool | _End"
"""Whether a mechanism matches; or that the check is at its end."""


@dataclass(frozen=True, slots=True)
class _Client:
    """What the client said of itself, and where it is."""

    ip: Address
    helo: str
    local: str
    sender_domain: str
    receiver: str
    now: float


class _Evaluation:
    """One check: what has been asked so far, and for whom."""

    def __init__(self, ask: Ask, client: _Client) -> None:
        self._ask = ask
        self._client = client
        self._ip = client.ip
        self._address_type = "A" if client.ip.version == 4 else "AAAA"
        self._lookups = 0
        self._voids = 0
        self._is_void = False  # whether the DNS had nothing for a question of this term
        self._names: tuple[str, ...] | None = None  # of the client, validated

    async def run(self, domain: str) -> _End:
        record = await self._record(domain)
        if isinstance(record, _End):
            return record
        for mechanism in record.mechanisms:
            matched = await self._matches(mechanism, domain)
            if isinstance(matched, _End):
                return matched
            if matched:
                return _End(mechanism.result, f"{mechanism.text} of {domain}", domain, record.explanation)
        if record.redirect:
            return await self._redirected(record.redirect, domain)
        return _End(Result.NEUTRAL, f"nothing of {domain} matches")

    async def explain(self, end: _End) -> str:
        """The owner's words for a failure; empty where there are none to be had (RFC 7208 6.2)."""
        name = await self._target(end.explanation, end.domain) if end.explanation else None
        if not name:
            return ""
        outcome = await self._ask(name, "TXT")
        if not isinstance(outcome, Answer) or len(outcome.records) != 1:
            return ""
        try:
            text = outcome.records[0][: spf_record.RECORD_LIMIT].decode("ascii")
        except UnicodeDecodeError:
            return ""
        if not spf_record.is_explanation(text):
            return ""
        told = spf_record.expand(text, await self._values(text, end.domain))
        return _UNPRINTABLE.sub("?", told[:EXPLANATION_LIMIT])

    async def _record(self, domain: str) -> Record | _End:
        outcome = await self._ask(domain, "TXT")
        if isinstance(outcome, DnsTrouble):
            return _End(Result.TEMPERROR, outcome.text)
        found = spf_record.select(outcome.records) if isinstance(outcome, Answer) else []
        if not found:
            return _End(Result.NONE, f"{domain} has no SPF record")
        if len(found) > 1:
            return _End(Result.PERMERROR, f"{domain} has {len(found)} SPF records")
        try:
            return spf_record.parse(found[0])
        except ValueError as error:
            return _End(Result.PERMERROR, f"{domain}: {error}")

    async def _matches(self, mechanism: Mechanism, domain: str) -> Matched:
        if mechanism.name == "all":
            return True
        if mechanism.network is not None:
            return self._ip in mechanism.network
        if end := self._one_more_lookup():
            return end
        name = await self._target(mechanism.domain, domain) if mechanism.domain else domain
        self._is_void = False
        matched = await _MATCHERS[mechanism.name](self, mechanism, name) if name else False
        self._voids += self._is_void and not isinstance(matched, _End)
        self._is_void = False
        if self._voids > VOID_LIMIT:
            return _End(Result.PERMERROR, f"more than {VOID_LIMIT} terms ask for what does not exist")
        return matched

    async def _redirected(self, target: str, domain: str) -> _End:
        if end := self._one_more_lookup():
            return end
        name = await self._target(target, domain)
        end = await self.run(name) if name else _End(Result.NONE, f"redirect={target} is no name")
        return replace(end, result=Result.PERMERROR) if end.result is Result.NONE else end

    def _one_more_lookup(self) -> _End | None:
        self._lookups += 1
        if self._lookups <= LOOKUP_LIMIT:
            return None
        return _End(Result.PERMERROR, f"more than {LOOKUP_LIMIT} terms ask the DNS")

    # -- the mechanisms (RFC 7208 5)

    async def _include(self, _: Mechanism, name: str) -> Matched:
        end = await self.run(name)
        if end.result in (Result.TEMPERROR, Result.PERMERROR):
            return end
        if end.result is Result.NONE:
            return replace(end, result=Result.PERMERROR)
        return end.result is Result.PASS

    async def _a(self, mechanism: Mechanism, name: str) -> Matched:
        addresses = await self._found(name, self._address_type)
        if isinstance(addresses, _End):
            return addresses
        return self._is_near(addresses, mechanism)

    async def _mx(self, mechanism: Mechanism, name: str) -> Matched:
        records = await self._found(name, "MX")
        if isinstance(records, _End):
            return records
        if len(records) > HOSTS_LIMIT:
            return _End(Result.PERMERROR, f"{name} has more than {HOSTS_LIMIT} MX records")
        hosts = [record.host for record in records if record.host != "."]
        found = await side_by_side([partial(self._found, host, self._address_type) for host in hosts], self._ask)
        if any(self._is_near(addresses, mechanism) for addresses in found if not isinstance(addresses, _End)):
            return True
        return next((end for end in found if isinstance(end, _End)), False)

    async def _ptr(self, _: Mechanism, name: str) -> Matched:
        return any(_is_within(found, name.lower()) for found in await self._validated_names())

    async def _exists(self, _: Mechanism, name: str) -> Matched:
        addresses = await self._found(name, "A")
        return addresses if isinstance(addresses, _End) else bool(addresses)

    # -- the DNS

    async def _found(self, name: str, rdtype: str) -> tuple[Any, ...] | _End:
        outcome = await self._ask(name, rdtype)
        if isinstance(outcome, DnsTrouble):
            return _End(Result.TEMPERROR, outcome.text)
        if isinstance(outcome, Answer):
            return outcome.records
        self._is_void = True
        return ()

    def _is_near(self, addresses: tuple[str, ...], mechanism: Mechanism) -> bool:
        bits = 32 - mechanism.ipv4_prefix if self._ip.version == 4 else 128 - mechanism.ipv6_prefix
        ours = int(self._ip) >> bits
        return any(int(ipaddress.ip_address(address)) >> bits == ours for address in addresses)

    async def _validated_names(self) -> tuple[str, ...]:
        """The client's names that have its address; trouble with one of them only leaves it out (RFC 7208 5.5)."""
        if self._names is None:
            names = await names_of(self._ask, self._ip)
            self._is_void = self._is_void or isinstance(names.reverse, NoSuchName | NoData)
            self._names = names.valid
        return self._names

    # -- macros (RFC 7208 7)

    async def _target(self, domain_spec: str, domain: str) -> str | None:
        """The name that a domain-spec stands for. None: a local part in UTF-8 has none (RFC 8616 4)."""
        if "%" not in domain_spec:
            return spf_record.target_name(domain_spec)
        if not self._client.local.isascii() and spf_record.letters(domain_spec) & {"s", "l"}:
            return None
        return spf_record.target_name(spf_record.expand(domain_spec, await self._values(domain_spec, domain)))

    async def _values(self, text: str, domain: str) -> Mapping[str, str]:
        client = self._client
        is_ipv4 = client.ip.version == 4
        return {
            "s": f"{client.local}@{client.sender_domain}",
            "l": client.local,
            "o": client.sender_domain,
            "d": domain,
            "i": str(client.ip) if is_ipv4 else ".".join(client.ip.packed.hex().upper()),
            "p": await self._validated_name(domain) if "p" in spf_record.letters(text) else "",
            "v": "in-addr" if is_ipv4 else "ip6",
            "h": client.helo,
            "c": str(client.ip),
            "r": client.receiver,
            "t": str(int(client.now)),
        }

    async def _validated_name(self, domain: str) -> str:
        """One name of the client, the nearest to the domain (RFC 7208 7.3)."""
        names = await self._validated_names()
        of_domain = [name for name in names if _is_within(name, domain)]
        return domain if domain in names else next(iter((*of_domain, *names)), "unknown")


def _is_within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


_MATCHERS: Mapping[str, Callable[[_Evaluation, Mechanism, str], Awaitable[Matched]]] = {
    "include": _Evaluation._include,
    "a": _Evaluation._a,
    "mx": _Evaluation._mx,
    "ptr": _Evaluation._ptr,
    "exists": _Evaluation._exists,
}
