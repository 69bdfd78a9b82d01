"""Incoming reports: what others say of our mail (DMARC), of TLS and in complaints is read, kept, told. A pure stage."""

import time
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import trio

from engine import Discard, Duration, Each, Message, Verdict, domain_of
from engine.config import secrets_in
from engine.directory import Directory, Invalid, asked, split, valid_address
from engine.feedback import Report, read
from engine.feedback.reading import LIMIT as COMPLAINT_LIMIT
from engine.observe.events import event
from engine.protocols.sealed import Expired, Forged
from engine.reports import received
from engine.reports.inbox import Inbox
from engine.reports.tls_received import TlsReport, parse
from engine.reports.unpacked import Unreadable, unpacked
from engine.return_path import ReturnPaths
from engine.return_path.hearing import Complaint, Hearing
from engine.unsubscribe import uris
from engine.unsubscribe.links import verify

TLS_LIMIT = 16 * 2**20
"""Octets of a message that has a report on TLS."""

DMARC_LIMIT = 16 * 2**20
"""Octets of a message that has a report on mail, and of the XML that comes out of it."""

LINK_AGE = 5 * 365 * 86_400.0
"""Seconds for which a link of ours names its recipient: it gives nobody anything here."""

PROVIDERS = (
    "yahoo.com", "yahooinc.com", "aol.com", "hotmail.com", "outlook.com", "microsoft.com", "comcast.net",
    "returnpath.net", "senderscore.net", "validity.com", "mail.ru", "fastmail.com", "messagingengine.com",
    "signal-spam.fr",
)  # fmt: skip
"""Who runs feedback loops, by the domains of their signatures."""

QUIET = ("not-spam", "auth-failure", "dmarc")
"""Kinds of feedback that are no complaint (RFC 5965 7.3, RFC 6591)."""


DEEPEST = 20
"""Labels of a domain that are looked at."""

_TURN = trio.CapacityLimiter(1)
"""One large report at a time: the mail of this process goes on beside it."""


class Found(NamedTuple):
    """Whose complaint it is, and by what that is known."""

    recipient: str = ""
    by: str = ""  # verp, link, reporter: these are believed; said: anyone may have written it
    message: str = ""
    sent: float = 0.0


@dataclass
class IncomingReports:
    """What was read ends here, unless ``keep`` lets it go on to the mailbox of its address. What cannot be read goes
    there in any case.

    ``dmarc``, ``tls`` and ``complaints`` are addresses of ours that reports come to.
    """

    returns: ReturnPaths
    hearing: Hearing
    inbox: Inbox
    directory: Directory
    _: KW_ONLY
    dmarc: tuple[str, ...] = ()
    tls: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()
    # Who is believed about a recipient that nothing of ours in the complaint names: the domain of a good signature of
    # DKIM is one of these, or below it. "*": everybody.
    reporters: tuple[str, ...] = PROVIDERS
    # The secret_file of [stage.bulk_mail], by which its links are known.
    link_secrets: Path | None = None
    keep: bool = False
    # How long reports on mail and on TLS are kept.
    kept_for: Duration = Duration("53w")
    _dmarc: frozenset[str] = field(init=False, repr=False)
    _tls: frozenset[str] = field(init=False, repr=False)
    _complaints: frozenset[str] = field(init=False, repr=False)
    _secrets: tuple[bytes, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        addresses = (self.dmarc, self.tls, self.complaints)
        self._dmarc, self._tls, self._complaints = (frozenset(map(_name, some)) for some in addresses)
        if self.link_secrets is not None:
            self._secrets = secrets_in(self.link_secrets)

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings."""
        if not any(settings.get(key) for key in ("dmarc", "tls", "complaints")):
            yield "say dmarc, tls or complaints: the addresses that reports come to"
        for key in ("dmarc", "tls", "complaints"):
            yield from (f"{key}: {text!r} is no address" for text in settings.get(key, ()) if not _is_address(text))
        if path := settings.get("link_secrets"):
            try:
                if not secrets_in(Path(path)):
                    yield f"link_secrets: there is no secret in {path}; write one a line"
            except OSError as error:
                yield f"link_secrets: cannot read {path}: {error.strerror}"

    async def __call__(self, message: Message) -> Verdict:
        names = {address: _name(address) for address in message.recipients}
        done: list[str] = []
        for wanted, take in (
            (self._dmarc, self._take_dmarc_report),
            (self._tls, self._take_tls_report),
            (self._complaints, self._take_complaint),
        ):
            found = [address for address, name in names.items() if name in wanted]
            if found and await take(message):
                done += found
        if self.keep or not done:
            return message
        return Each(dict.fromkeys(done, Discard("a report that was read")))

    # Reports on mail

    async def _take_dmarc_report(self, message: Message) -> bool:
        """Whether it was one that counts: about domains of ours, and signed, else anybody could write anything."""
        signed = _signed_by(message)
        if signed == ():
            event("dmarc-report-unread", id=message.id, why="no good signature of DKIM")
            return False
        octets = _beginning(message, DMARC_LIMIT)
        try:
            async with _TURN:
                reports = await trio.to_thread.run_sync(_dmarc_reports, octets)
            ours = [await self._ours(report) for report in reports]
            for report, domain in zip(reports, ours, strict=True):
                await self._keep(report, domain, message, signed or ())
        except Unreadable as error:
            event("dmarc-report-unread", id=message.id, why=str(error))
            return False
        return True

    async def _ours(self, report: received.Report) -> str:
        """The domain here that it is about, or that is above it. Unreadable: nobody keeps things here about others."""
        labels = report.domain.split(".")
        above = [".".join(labels[start:]) for start in range(min(len(labels) - 1, DEEPEST))]
        ours = await asked(self.directory, lambda: next(filter(self.directory.is_local, above), ""))
        if not ours:
            raise Unreadable(f"it is about {report.domain or 'no domain'}, which is not here")
        return ours

    async def _keep(self, report: received.Report, ours: str, message: Message, signed: tuple[str, ...]) -> None:
        """Unreadable, StorageError."""
        take = partial(self.inbox.dmarc.take, report, ours, self.kept_for, signed=signed, identity=str(message.id))
        is_new = await trio.to_thread.run_sync(take)
        event(
            "dmarc-report",
            id=message.id,
            domain=report.domain,
            org=report.org_name,
            report=report.identity,
            messages=sum(record.count for record in report.records),
            passed=sum(record.count for record in report.records if record.passed),
            new=is_new,
        )

    # Reports on TLS

    async def _take_tls_report(self, message: Message) -> bool:
        """Whether it was one that counts."""
        signed = _signed_by(message)
        if signed == ():  # RFC 8460 3: it must be signed, or is to be ignored
            event("tls-report-unread", id=message.id, why="no good signature of DKIM")
            return False
        octets = _beginning(message, TLS_LIMIT)
        try:
            reports = await trio.to_thread.run_sync(_tls_reports, octets)
        except Unreadable as error:
            event("tls-report-unread", id=message.id, why=str(error))
            return False
        for report in reports:
            take = partial(self.inbox.take, report, self.kept_for, signed=signed or (), identity=str(message.id))
            is_new = await trio.to_thread.run_sync(take)
            event(
                "tls-report",
                id=message.id,
                domain=report.domains,
                org=report.org_name,
                report=report.identity,
                succeeded=report.succeeded,
                failed=report.failed,
                new=is_new,
            )
        return True

    # Complaints

    async def _take_complaint(self, message: Message) -> bool:
        report = await trio.to_thread.run_sync(read, _beginning(message, COMPLAINT_LIMIT))
        if report is None:
            event("complaint-unread", id=message.id)
            return False
        found = await asked(self.directory, self._found, message, report, time.time())
        event(
            "complaint",
            id=message.id,
            kind=report.kind,
            recipient=found.recipient or None,
            message=found.message or None,
            by=found.by or None,
            form=report.form,
            agent=report.agent or None,
            source=report.source or None,
            message_id=report.message_id or None,
            redacted=report.redacted or None,
        )
        if report.kind not in QUIET:
            await self.hearing.complain(_complaint(report, found))
        return True

    def _found(self, message: Message, report: Report, now: float) -> Found:
        """Whose it is: what we have signed is believed first, and whoever writes it."""
        returned = self.returns.verp.within(report.text, now) if self.returns.verp else None
        if returned is not None and returned.recipient:
            return Found(returned.recipient, "verp", returned.message, returned.time)
        for token in _tokens(report):
            try:
                link = verify(token, self._secrets, now, LINK_AGE)
            except (Forged, Expired):
                continue
            return Found(link.address, "link", _message_of(report), link.made)
        named = next((one for one in report.recipients if not self.directory.is_local(domain_of(one))), "")
        if returned is not None:  # there was no room for the recipient in the address
            return Found(named, "verp", returned.message, returned.time)
        by = "reporter" if self._is_believed(message) else "said"
        return Found(named, by if named else "", _message_of(report))

    def _is_believed(self, message: Message) -> bool:
        signed = _signed_by(message) or ()
        return "*" in self.reporters or any(
            f".{domain}".endswith(f".{reporter.lower()}") for domain in signed for reporter in self.reporters
        )


def _name(address: str) -> str:
    """As it compares; empty for what is no address."""
    name = split(address)
    return "@".join(name) if name else ""


def _is_address(text: str) -> bool:
    try:
        return bool(valid_address(text))
    except Invalid:
        return False


def _signed_by(message: Message) -> tuple[str, ...] | None:
    """The domains of its good signatures; None where nobody has looked."""
    passed = message.fact("dkim.passed")
    return tuple(dict.fromkeys(str(domain).lower() for domain in passed)) if isinstance(passed, list) else None


def _beginning(message: Message, limit: int) -> bytes:
    """So much of it that one which is too large is seen to be."""
    octets = bytearray()
    for chunk in message.chunks():
        octets += chunk
        if len(octets) > limit:
            break
    return bytes(octets)


def _dmarc_reports(octets: bytes) -> list[received.Report]:
    """Unreadable."""
    if len(octets) > DMARC_LIMIT:
        raise Unreadable(f"it has more than {DMARC_LIMIT // 2**20} MiB")
    return [received.parse(found) for found in unpacked(octets, "XML", DMARC_LIMIT)]


def _tls_reports(octets: bytes) -> list[TlsReport]:
    """Unreadable."""
    if len(octets) > TLS_LIMIT:
        raise Unreadable(f"it has more than {TLS_LIMIT // 2**20} MiB")
    return [parse(found) for found in unpacked(octets, "JSON")]


def _tokens(report: Report) -> Iterator[str]:
    """What may be tokens of links of ours, in List-Unsubscribe."""
    for value in report.unsubscribe:
        for uri in uris(value):
            if uri.lower().startswith("https://"):
                yield uri.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2]


def _message_of(report: Report) -> str:
    """The id under which a server of ours has taken it, if a field of ours is there: nobody vouches for that."""
    return next((identity for _, identity in report.received if len(identity) == ID_LENGTH), "")


ID_LENGTH = 26
"""Characters of our ids, which no other server has as many of."""


def _complaint(report: Report, found: Found) -> Complaint:
    return Complaint(
        kind=report.kind,
        recipient=found.recipient,
        proven=found.by in ("verp", "link", "reporter"),
        message=found.message,
        sent=found.sent,
        agent=report.agent,
        reporter=report.reporter,
        message_id=report.message_id,
    )
