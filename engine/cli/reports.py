"""`postroad reports`: what other servers say about the mail of our domains."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration
from engine.cli.errors import Refused, Unusable
from engine.reports.unpacked import LIMIT

if TYPE_CHECKING:
    from engine.reports.received import Record, Report

COLUMNS = ("domain", "source", "messages", "passed", "failed", "dkim", "spf", "disposition", "from", "signed_by")


@click.group()
def reports() -> None:
    """DMARC aggregate reports (RFC 9990, RFC 7489)."""


@reports.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--account", metavar="ADDRESS", help="All reports in the mailbox of an account of ours as well.")
@click.option("--json", "as_json", is_flag=True, help="For programs, with all records.")
@config_option
@click.pass_context
def show(ctx: click.Context, files: tuple[Path, ...], account: str | None, as_json: bool) -> None:
    """Say who sent mail for our domains, and how much of it passed: what failed first, then by number of messages.

    FILES are reports as they come: .xml, .xml.gz, .zip, or whole messages. One that is there twice counts once. The
    columns dkim and spf count the messages that passed by them and were aligned with the domain in From.
    """
    if not files and account is None:
        raise click.UsageError("name FILES, or an account by --account")
    found: dict[object, Report] = {}
    good = _gather(found, _of_files(files))
    if account is not None:
        good &= _gather(found, _of_account(ctx, account), may_be_other_mail=True)
    reports = [*found.values()]
    rows = _by_source(reports)
    if as_json:
        tables.show_json(_told(reports, rows))
    else:
        for report in reports:
            click.echo(_summary(report), err=True)
        tables.show(rows, COLUMNS, as_json=False)
    if not good:
        raise SystemExit(1)


def _gather(
    found: dict[object, "Report"], letters: Iterable[tuple[str, bytes]], *, may_be_other_mail: bool = False
) -> bool:
    """Add what is in them, by what makes a report one; whether all could be read."""
    from engine.reports.received import parse
    from engine.reports.unpacked import NoReport, Unreadable, unpacked

    good = True
    for name, octets in letters:
        try:
            for report in map(parse, unpacked(octets)):
                found.setdefault((report.org_name, report.identity, report.domain, report.begin), report)
        except Unreadable as error:
            if not (may_be_other_mail and isinstance(error, NoReport)):
                click.echo(f"postroad: {name}: {error}", err=True)
                good = False
    return good


def _of_files(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        try:
            with path.open("rb") as stream:
                yield str(path), _bounded([stream.read(LIMIT + 1)])
        except OSError as error:
            raise Unusable(f"{path}: {error.strerror}") from error


def _of_account(ctx: click.Context, address: str) -> Iterator[tuple[str, bytes]]:
    """Its messages, which the server may take in and hand out meanwhile."""
    from engine.cli.reading import reading  # slow to import
    from engine.mailbox import MessageGone

    config = configuration(ctx)
    with opening.opened(ctx) as directory:
        account = directory.account(address)
    if account is None:
        raise Refused(f"there is no account {address}")
    with reading(config) as mailboxes:
        for entry in mailboxes.messages(account.id):
            with suppress(MessageGone):
                yield f"message {entry.uid} of {address}", _bounded(mailboxes.chunks(account.id, entry.uid))


def _bounded(pieces: Iterable[bytes]) -> bytes:
    """So much of it that one which is too large is seen to be."""
    octets = b""
    for piece in pieces:
        octets += piece
        if len(octets) > LIMIT:
            break
    return octets


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
