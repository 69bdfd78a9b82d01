"""All that is published about TLS to the servers of one destination."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from engine.net.dns import Answer, Resolver, side_by_side
from engine.policies.dane import Records, look_up
from engine.policies.published import Published
from engine.policies.results import TlsResult
from engine.policies.sts import Holding, StsPolicies, Told

FOREVER = float("inf")

NOT_ASKED = Holding(None, FOREVER, "not asked for")


class Found(NamedTuple):
    """What is published, and until when that holds. ``unusable``: hosts that must not be used, and why."""

    published: Published
    expires: float
    unusable: Mapping[str, str]
    sts: Holding
    dane: Mapping[str, Records]


class Policies:
    """Finds policies; ``sts`` or ``dane`` may be left out."""

    def __init__(self, resolver: Resolver, told: Told, *, sts: StsPolicies | None, dane: bool) -> None:
        self._resolver = resolver
        self._told = told
        self._sts = sts
        self._dane = dane and resolver.validates

    async def find(self, domain: str, hosts: Mapping[str, Answer[str]], port: int, *, vouched: bool) -> Found:
        """For ``domain``, in A-labels, whose mail these hosts take. ``vouched``: DNSSEC says that it is these."""
        sts: list[Holding] = []
        looks = [partial(self._sts_of, domain, sts)]
        records: dict[str, Records] = {}
        if self._dane and vouched:
            looks += [partial(self._dane_of, host, found, port, records) for host, found in hosts.items()]
        await side_by_side(looks)
        unusable = {host: found.trouble for host, found in records.items() if found.trouble}
        for host, trouble in unusable.items():
            self._told(TlsResult("tlsa", domain, result="dnssec-invalid", reason=trouble, mx_hostname=host))
        policy = sts[0].policy if sts[0].policy and sts[0].policy.mode != "none" else None
        dane = tuple(found.dane for found in records.values() if found.dane)
        expires = min([sts[0].expires, *(found.expires for found in records.values())])
        published = Published.of(domain, policy, tuple(sorted(dane, key=lambda found: found.host)))
        return Found(published, expires, unusable, sts[0], records)

    async def _sts_of(self, domain: str, into: list[Holding]) -> None:
        into.append(await self._sts.find(domain) if self._sts is not None else NOT_ASKED)

    async def _dane_of(self, host: str, addresses: Answer[str], port: int, into: dict[str, Records]) -> None:
        into[host] = await look_up(self._resolver.ask, host, addresses, port)
