"""`postroad reports`: what other servers say about the mail of our domains."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli import tables

if TYPE_CHECKING:
    from engine.reports.received import Record, Report

COLUMNS = ("domain", "source", "messages", "passed", "failed", "dkim", "spf", "disposition", "from", "signed_by")


@click.group()
def reports() -> None:
    """DMARC aggregate reports (RFC 9990, RFC 7489)."""


@reports.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs, with all records.")
def show(files: tuple[Path, ...], as_json: bool) -> None:
    """Say who sent mail for our domains, and how much of it passed: what failed first, then by number of messages.

    FILES are reports as they come: .xml, .xml.gz, .zip, or whole messages. The columns dkim and spf count the messages
    that passed by them and were aligned with the domain in From.
    """
    from engine.reports.received import parse
    from engine.reports.unpacked import LIMIT, Unreadable, unpacked

    found: list[Report] = []
    failed = False
    for path in files:
        try:
            with path.open("rb") as stream:
                octets = stream.read(LIMIT + 1)
            found += [parse(xml) for xml in unpacked(octets)]
        except (Unreadable, OSError) as error:
            click.echo(f"postroad: {path}: {error}", err=True)
            failed = True
    rows = _by_source(found)
    if as_json:
        click.echo(json.dumps(_told(found, rows), ensure_ascii=False, indent=2))
    else:
        for report in found:
            click.echo(_summary(report), err=True)
        tables.show(rows, COLUMNS, as_json=False)
    if failed:
        raise SystemExit(1)


def _summary(report: "Report") -> str:
    count, passed = _messages(report.records), _messages(report.records, passed=True)
    days = f"{tables.timestamp(report.begin)} to {tables.timestamp(report.end)}"
    policy = report.policy.get("p", "none")
    said = f"{report.org_name} about {report.domain} (p={policy}), {days}: {tables.counted(count, 'message')}"
    errors = "".join(f"; {error}" for error in report.errors if error)
    return f"{said}, {passed:,} passed, {count - passed:,} failed{errors}"


def _messages(records: Iterable["Record"], *, passed: bool = False) -> int:
    return sum(record.count for record in records if record.passed or not passed)


def _by_source(found: Iterable["Report"]) -> list[dict[str, Any]]:
    together: dict[tuple[str, str], list[Record]] = {}
    for report in found:
        for record in report.records:
            together.setdefault((report.domain, record.source), []).append(record)
    rows = [_row(domain, source, records) for (domain, source), records in together.items()]
    return sorted(rows, key=lambda row: (-row["failed"], -row["messages"], row["source"]))


def _row(domain: str, source: str, records: Sequence["Record"]) -> dict[str, Any]:
    count, passed = _messages(records), _messages(records, passed=True)
    return {
        "domain": domain,
        "source": source,
        "messages": count,
        "passed": passed,
        "failed": count - passed,
        "dkim": sum(record.count for record in records if record.dkim == "pass"),
        "spf": sum(record.count for record in records if record.spf == "pass"),
        "disposition": _unique(record.disposition for record in records),
        "from": _unique(record.header_from for record in records),
        "signed_by": _unique(each.domain for record in records for each in record.signatures if each.result == "pass"),
        "reasons": _unique(reason for record in records for reason in record.reasons),
    }


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, texts)))


def _told(found: Iterable["Report"], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"reports": [_whole(report) for report in found], "sources": list(rows)}


def _whole(report: "Report") -> dict[str, Any]:
    count, passed = _messages(report.records), _messages(report.records, passed=True)
    return asdict(report) | {"messages": count, "passed": passed, "failed": count - passed}
