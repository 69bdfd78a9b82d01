"""Reports on TLS, as the sender of reports takes them (RFC 8460 5)."""

import gzip
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

import trio

from engine.net.dns import Ask
from engine.reports.aggregate import Metadata
from engine.reports.counts import DAY, DayCounts, Key, date
from engine.reports.destinations import addresses, pages
from engine.reports.letter import File, letter
from engine.reports.posting import Posting
from engine.reports.sending import Draft, Office, Post
from engine.reports.sessions import SessionRow, Wanted, asked_for
from engine.reports.tls_aggregate import written

MEDIA = "tlsrpt+gzip"


@dataclass
class TlsReports:
    """A ``sending.Kind``. ``counts`` may open the store: StorageError."""

    name: ClassVar[str] = "tls"
    spread: ClassVar[float] = 4 * 3600.0  # seconds (RFC 8460 4.1)

    counts: Callable[[], DayCounts[Wanted, SessionRow]]
    ask: Callable[[], Ask]
    posting: Callable[[], Posting]

    def due(self, today: int) -> list[Key]:
        return self.counts().due(today)

    async def draft(self, office: Office, key: Key) -> Draft | None:
        found = await trio.to_thread.run_sync(self.counts().read, key)
        if found is None:
            return None
        wanted, rows = found
        rua = wanted.rua or await asked_for(self.ask(), wanted.domain)
        if rua == "":  # nobody wants to hear
            await trio.to_thread.run_sync(self.drop, key)
            return None
        report = _Report(office, key, wanted.domain, rows)
        post = self.posting()
        posts = [Post(page, partial(_posted, post, page, report)) for page in pages(rua or "")]
        count = sum(count for _, count in rows)
        return Draft(wanted.domain, addresses(rua or ""), rua is None, report.letter, len(rows), count, posts)

    def claim(self, key: Key) -> None:
        self.counts().claim(key)

    def unclaim(self, key: Key) -> None:
        self.counts().unclaim(key)

    def drop(self, key: Key) -> None:
        self.counts().drop(key)

    def claimed(self) -> list[tuple[Key, str]]:
        return self.counts().claimed()


async def _posted(posting: Posting, page: str, report: "_Report") -> str:
    body = await trio.to_thread.run_sync(lambda: report.packed)
    return await posting.post(page, f"application/{MEDIA}", body)


@dataclass
class _Report:
    """One report. What it is made into takes its time."""

    office: Office
    key: Key
    domain: str
    rows: Sequence[tuple[SessionRow, int]]

    @cached_property
    def _about(self) -> Metadata:
        settings, begin = self.office.settings, self.key.day * DAY
        # The same at every try: who gets a report twice can tell.
        unique = hashlib.sha256(f"tls {self.key.day} {self.domain} {self.office.hostname}".encode()).hexdigest()[:32]
        return Metadata(settings.org_name, settings.email, settings.contact, unique, begin, begin + DAY - 1)

    @cached_property
    def packed(self) -> bytes:
        return gzip.compress(written(self._about, self.domain, self.rows), mtime=0)

    def letter(self, to: Sequence[str]) -> bytes:
        """RFC 8460 5.3."""
        about, by = self._about, self.office.domain
        return letter(
            author=about.email,
            to=to,
            subject=f"Report Domain: {self.domain} Submitter: {by} Report-ID: <{about.identity}@{by}>",
            identity=about.identity,
            text=f"This is a report on TLS (RFC 8460) about the servers of {self.domain},\n"
            f"by {by}, for {date(self.key.day)} (UTC).\n",
            file=File(
                f"{by}!{self.domain}!{about.begin}!{about.end}!{about.identity}.json.gz", self.packed, subtype=MEDIA
            ),
            report_type="tlsrpt",
            fields={
                "TLS-Report-Domain": self.domain,
                "TLS-Report-Submitter": by,
                "TLS-Required": "No",  # it goes whatever fails (RFC 8460 3), as what it tells may be just that (8689 3)
            },
        )
