"""Operations about domains: those whose mail stays here, their DKIM keys, certificates, and what others report."""

import time
from functools import partial
from typing import Annotated, Any

from msgspec import Meta

from engine.operations import accounts, certificates, domains, keys, presence, reported, reports
from engine.operations.certificates import Certificates
from engine.operations.domains import DomainRow
from engine.operations.figures import Figures
from engine.operations.keys import KeyRecord, KeyRow
from engine.operations.presence import PresenceRow
from engine.operations.reports import Dmarc, Tls
from engine.signing import KeyStore
from engine.web.api.operating import SEGMENT, Paged, embedded, operator_of, page, reading
from engine.web.api.operation import Asked, Call, Operation, Page

Domain = Annotated[str, Meta(min_length=1, max_length=255, pattern=SEGMENT, description="Such as example.org.")]
Selector = Annotated[str, Meta(min_length=1, max_length=253, pattern=SEGMENT)]


class NewDomain(Asked, frozen=True):
    name: Domain


class OneDomain(Asked, frozen=True):
    name: Domain


class Removing(Asked, frozen=True):
    force: Annotated[bool, Meta(description="Also when it has accounts: they are kept, but closed.")] = False


class NewKeys(Asked, frozen=True):
    selector: Annotated[
        str, Meta(max_length=60, description="Name the keys NAME-rsa and NAME-ed25519; else, by the day.")
    ] = ""


class Using(Asked, frozen=True):
    force: Annotated[bool, Meta(description="Sign by them at once, published or not.")] = False


class OneKey(Asked, frozen=True):
    name: Domain
    selector: Selector


class RemovingKey(Asked, frozen=True):
    force: Annotated[bool, Meta(description="Also a key that signs, or that must stay published.")] = False


Named = Annotated[str, Meta(max_length=255, description="Only about this domain.")]
Days = Annotated[int, Meta(ge=1, le=3650, description="How far to look back.")]


class OfMail(Asked, frozen=True):
    account: Annotated[
        str, Meta(max_length=320, description="In whose mailbox the reports are; else those that the server took in.")
    ] = ""
    domain: Named = ""
    days: Days = 30


class OfTls(Asked, frozen=True):
    domain: Named = ""
    days: Days = 30


class ByDay(Asked, frozen=True):
    domain: Named = ""
    days: Annotated[int, Meta(ge=1, le=366, description="How many, in UTC, today the last.")] = 30


async def list_domains(call: Call, *, query: Paged) -> Page[DomainRow]:
    """List local domains, by name."""
    rows = await call.blocking(domains.listed, embedded(call), operator_of(call))
    return page(rows, lambda row: row.name, query)


async def add_domain(call: Call, *, body: NewDomain) -> DomainRow:
    """Make a domain local: mail for it is kept here."""
    return await call.blocking(domains.add, embedded(call), operator_of(call), body.name)


async def show_domain(call: Call, *, path: OneDomain) -> DomainRow:
    """Show a local domain."""
    return await call.blocking(domains.shown, embedded(call), operator_of(call), path.name)


async def remove_domain(call: Call, *, path: OneDomain, query: Removing) -> DomainRow:
    """Take a domain away again that was added; it stays local, if pipeline.toml says so."""
    remove = partial(domains.remove, embedded(call), operator_of(call), path.name, force=query.force)
    return await call.blocking(remove)


async def list_keys(call: Call, *, query: Paged) -> Page[KeyRow]:
    """List the keys that sign our mail: whether they wait to be published, sign, or are retired."""
    rows = await call.blocking(keys.listed, _store(call), operator_of(call))
    return page(rows, lambda row: f"{row.domain} {row.selector}", query)


async def check_keys(call: Call, *, path: OneDomain) -> list[KeyRecord]:
    """Show the records that the DNS should have for the keys of a domain, and whether it has them."""
    return await keys.published(call.context.resolver().ask, _store(call), operator_of(call), path.name)


async def make_keys(call: Call, *, path: OneDomain, body: NewKeys) -> list[KeyRecord]:
    """Make the next pair of keys for a domain, which waits to be published. The server signs by it once it is."""
    return await call.blocking(keys.make, _store(call), operator_of(call), path.name, body.selector)


async def use_keys(call: Call, *, path: OneDomain, body: Using) -> list[KeyRow]:
    """Sign by the keys that wait from now on, if all of them are published."""
    ask = None if body.force else call.context.resolver().ask
    return await keys.put_in_force(ask, _store(call), operator_of(call), path.name)


async def remove_key(call: Call, *, path: OneKey, query: RemovingKey) -> KeyRow:
    """Delete a key for good. Its record is not needed any more then."""
    remove = partial(keys.remove, _store(call), operator_of(call), path.name, path.selector, force=query.force)
    return await call.blocking(remove)


async def show_records(call: Call, *, path: OneDomain) -> list[str]:
    """Show the records that the DNS should have for a domain, as lines of a zone file; what needs more, as comments."""
    domain = await show_domain(call, path=path)  # of no other one
    return await call.blocking(presence.zone, call.config, operator_of(call), domain.name)


async def check_domain(call: Call, *, path: OneDomain) -> list[PresenceRow]:
    """Hold what the DNS has of a domain against what it should have."""
    domain, resolver = await show_domain(call, path=path), call.context.resolver()
    fetch = presence.publicly(resolver)
    return await presence.checked(resolver.ask, fetch, call.config, operator_of(call), domain.name)


async def list_certificates(call: Call) -> Certificates:
    """List the certificates that the server offers, and what is wrong with them."""
    return await call.blocking(certificates.listed, call.config, operator_of(call))


async def show_dmarc(call: Call, *, query: OfMail) -> Dmarc:
    """Sum reports up, on mail in the name of our domains: what failed first.

    They are those that the stage `incoming_reports` has taken in; or with ``account`` those in a mailbox, whenever they
    came."""

    def read() -> Dmarc:
        by, gathering = operator_of(call), reports.dmarc_reports()
        if not query.account:
            kept = call.context.stores.inbox.dmarc.reports(time.time() - query.days * 86_400.0)
            return reported.dmarc_summed(reported.dmarc_of(kept, by, query.domain))
        account = accounts.known(call.context.directory(), by, query.account)
        gathering.add(reports.letters(reading(call), by, account), may_be_other_mail=True)
        found = [one for one in gathering.reports if not query.domain or one.domain == query.domain.lower()]
        return reports.dmarc(found, by)

    return await call.blocking(read)


async def show_dmarc_days(call: Call, *, query: ByDay) -> Figures:
    """Show mail in the name of our domains by day, as reports say that the server has taken in."""

    def read() -> Figures:
        now = time.time()
        kept = call.context.stores.inbox.dmarc.reports(reported.since(query.days, now))
        mine = reported.dmarc_of(kept, operator_of(call), query.domain)
        return reported.told(*reported.dmarc_days(mine, query.days, now))

    return await call.blocking(read)


async def show_tls_days(call: Call, *, query: ByDay) -> Figures:
    """Show sessions with our servers by day, as reports say that the server has taken in."""

    def read() -> Figures:
        now = time.time()
        kept = reported.tls_of(
            call.context.stores.inbox.reports(reported.since(query.days, now)), operator_of(call), query.domain
        )
        return reported.told(*reported.tls_days(kept, query.days, now, query.domain))

    return await call.blocking(read)


async def show_tls(call: Call, *, query: OfTls) -> Tls:
    """Sum the reports up that the server has taken in, on TLS with it: what failed first."""

    def read() -> Tls:
        since = time.time() - query.days * 86_400.0
        return reports.tls(call.context.stores.inbox.reports(since), operator_of(call), query.domain)

    return await call.blocking(read)


def _store(call: Call) -> KeyStore:
    return KeyStore(call.context.data)


_READ: dict[str, Any] = {"scope": "domains:read", "by_domain": True}
_WRITE: dict[str, Any] = {"scope": "domains:write", "by_domain": True}
_KEYS = "/domains/{name}/keys"

ROWS = (
    Operation("GET", "/domains", function=list_domains, **_READ, problems=(409,)),
    Operation("POST", "/domains", function=add_domain, **_WRITE, status=201, problems=(409,)),
    Operation("GET", "/domains/{name}", function=show_domain, **_READ, problems=(409,)),
    Operation("DELETE", "/domains/{name}", function=remove_domain, changes=show_domain, **_WRITE, problems=(409,)),
    Operation("GET", _KEYS, function=check_keys, **_READ, problems=(422,)),
    Operation("POST", _KEYS, function=make_keys, **_WRITE, status=201, problems=(409,)),
    Operation("POST", f"{_KEYS}/use", function=use_keys, **_WRITE, problems=(409,)),
    Operation("DELETE", f"{_KEYS}/{{selector}}", function=remove_key, **_WRITE, problems=(409,)),
    Operation("GET", "/domains/{name}/records", function=show_records, **_READ, problems=(409,)),
    Operation("GET", "/domains/{name}/presence", function=check_domain, **_READ, problems=(409,)),
    Operation("GET", "/keys", function=list_keys, **_READ),
    Operation("GET", "/certificates", "domains:read", list_certificates),
    Operation("GET", "/reports/dmarc", "reports:read", show_dmarc, by_domain=True, problems=(404,)),
    Operation("GET", "/reports/dmarc/days", "reports:read", show_dmarc_days, by_domain=True),
    Operation("GET", "/reports/tls", "reports:read", show_tls, by_domain=True),
    Operation("GET", "/reports/tls/days", "reports:read", show_tls_days, by_domain=True),
)
