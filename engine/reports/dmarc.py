"""DMARC aggregate reports, as the sender of reports takes them (RFC 9990 2.6)."""

import gzip
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import trio

from engine.authentication.dmarc import Method
from engine.net.dns import Ask
from engine.reports.aggregate import Metadata, written
from engine.reports.counts import DAY, DayCounts, Key, date
from engine.reports.destinations import confirmed
from engine.reports.letter import File, letter
from engine.reports.rows import Published, Row
from engine.reports.sending import Draft, Office


class AggregateReports:
    """A ``sending.Kind``. ``counts`` may open the store: StorageError."""

    name: ClassVar[str] = "dmarc"
    spread: ClassVar[float] = 3600.0  # seconds

    def __init__(self, counts: Callable[[], DayCounts[Published, Row]], ask: Callable[[], Ask]) -> None:
        self._counts = counts
        self._ask = ask

    def due(self, today: int) -> list[Key]:
        return self._counts().due(today)

    async def draft(self, office: Office, key: Key) -> Draft | None:
        found = await trio.to_thread.run_sync(self._counts().read, key)
        if found is None:
            return None
        published, rows = found
        method = Method.TREE_WALK if published.method == "treewalk" else Method.PUBLIC_SUFFIX
        to, unsure = await confirmed(self._ask(), published.domain, published.rua, method)
        write = partial(_letter, office, key, published, rows)
        return Draft(published.domain, to, unsure, write, len(rows), sum(count for _, count in rows))

    def claim(self, key: Key) -> None:
        self._counts().claim(key)

    def unclaim(self, key: Key) -> None:
        self._counts().unclaim(key)

    def drop(self, key: Key) -> None:
        self._counts().drop(key)

    def claimed(self) -> list[tuple[Key, str]]:
        return self._counts().claimed()


def _letter(
    office: Office, key: Key, published: Published, rows: Sequence[tuple[Row, int]], to: Sequence[str]
) -> bytes:
    domain, begin, end = published.domain, key.day * DAY, (key.day + 1) * DAY - 1
    # The same at every try: who gets a report twice can tell (RFC 9990 2.6.2).
    unique = hashlib.sha256(f"{key.day} {domain} {office.hostname}".encode()).hexdigest()[:32]
    settings = office.settings
    about = Metadata(settings.org_name, settings.email, settings.contact, unique, begin, end)
    packed = gzip.compress(written(about, published, rows), mtime=0)
    return letter(
        author=settings.email,
        to=to,
        subject=f"Report Domain: {domain} Submitter: {office.domain} Report-ID: <{unique}>",
        identity=unique,
        text=f"This is a DMARC aggregate report (RFC 9990) about mail from {domain}\n"
        f"that {office.domain} received on {date(key.day)} (UTC).\n",
        file=File(f"{office.domain}!{domain}!{begin}!{end}!{unique}.xml.gz", packed),
    )
