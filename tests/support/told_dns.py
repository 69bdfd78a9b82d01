"""A DNS out of a table: what a test says is what the answer is, and what was asked is noted."""

from collections.abc import Mapping, Sequence
from typing import Any

import trio

from engine.net.dns import ALIAS_LIMIT, Answer, DnsTrouble, Mx, NoData, NoSuchName, Outcome

TROUBLE = "trouble"
"""In the place of records: nobody answers."""

LATER = 1e9

Table = Mapping[str, Mapping[str, Any]]


class ToldDns:
    """``await told("example.org", "TXT")``, as ``Resolver.ask``.

    The table: name → type → one record or several, text for all but MX (a pair), or TROUBLE. A name that is the
    middle of a longer one exists (RFC 8020).
    """

    def __init__(self, table: Table) -> None:
        self._table = {name.lower(): records for name, records in table.items()}
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, name: str, rdtype: str) -> Outcome[Any]:
        self.asked.append((name, rdtype))
        return self._outcome(name.lower(), rdtype, ALIAS_LIMIT)

    def _outcome(self, name: str, rdtype: str, aliases: int) -> Outcome[Any]:
        if any(not 0 < len(label) < 64 for label in name.split(".")):
            return NoSuchName(LATER)
        records = self._table.get(name)
        if records is None:
            within = any(known.endswith(f".{name}") for known in self._table)
            return NoData(LATER) if within else NoSuchName(LATER)
        if "CNAME" in records:
            if not aliases:
                return DnsTrouble("aliases in a circle", LATER)
            return self._outcome(records["CNAME"].lower().rstrip("."), rdtype, aliases - 1)
        found = records.get(rdtype)
        if found is None:
            return NoData(LATER)
        if found == TROUBLE:
            return DnsTrouble(f"no answer about {name} {rdtype}", LATER)
        several = [found] if isinstance(found, str | bytes | tuple) else found
        return Answer(tuple(_record(rdtype, record) for record in several), LATER)


class SilentDns:
    """What has a ``Resolver``'s ``ask``, and never an answer about one domain and what is below it."""

    def __init__(self, silent: str, table: Table) -> None:
        self._silent = silent
        self._told = ToldDns(table)

    async def ask(self, name: str, rdtype: str) -> Outcome[Any]:
        if f".{name}".endswith(f".{self._silent}"):
            await trio.sleep_forever()
        return await self._told(name, rdtype)


def _record(rdtype: str, record: Any) -> Any:
    if rdtype == "TXT":
        return record.encode("latin-1") if isinstance(record, str) else record
    if rdtype == "MX":
        return Mx(record[0], record[1] or ".")
    return record.rstrip(".").lower() if rdtype == "PTR" else record


def of_suite(zone: Mapping[str, Sequence[Any]]) -> Table:
    """A zone as the openspf test suite writes it: SPF records count as TXT where no TXT is, TIMEOUT for all others."""
    return {name: _of_name(entries) for name, entries in zone.items()}


def _of_name(entries: Sequence[Any]) -> Mapping[str, Any]:
    pairs = [pair for entry in entries if entry != "TIMEOUT" for pair in entry.items()]
    has_txt = any(kind == "TXT" for kind, _ in pairs)
    records: dict[str, Any] = {}
    if "TIMEOUT" in entries:
        records = dict.fromkeys(("A", "AAAA", "MX", "PTR", "TXT"), TROUBLE)
    for kind, value in pairs:
        if value == "NONE":
            continue
        if kind == "CNAME":
            return {"CNAME": value}
        rdtype = "TXT" if kind == "SPF" and not has_txt else kind
        record = "".join(value) if rdtype == "TXT" else tuple(value) if rdtype == "MX" else value
        if records.get(rdtype, TROUBLE) == TROUBLE:
            records[rdtype] = []
        records[rdtype].append(record)
    return records
