"""`postroad reports`: what other servers say about the mail of our domains, and about TLS with our servers."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration
from engine.cli.durations import seconds
from engine.cli.errors import Refused, Unusable
from engine.reports.unpacked import LIMIT

if TYPE_CHECKING:
    from engine.config import Config
    from engine.reports.received import Record, Report
    from engine.reports.tls_received import Failure, Policy, TlsReport
    from engine.reports.unpacked import Form

T = TypeVar("T")

COLUMNS = ("domain", "source", "messages", "passed", "failed", "dkim", "spf", "disposition", "from", "signed_by")
TLS_COLUMNS = ("domain", "policy", "result", "server", "sessions", "from", "reason")


@click.group()
def reports() -> None:
    """Reports of others: on mail in our name (DMARC, RFC 9990), and on TLS with our servers (RFC 8460)."""


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
    reports, good = _read_by(ctx, _dmarc, "XML", files, account)
    rows = _by_source(reports)
    if as_json:
        tables.show_json(_told(reports, rows))
    else:
        for report in reports:
            click.echo(_summary(report), err=True)
        tables.show(rows, COLUMNS, as_json=False)
    if not good:
        raise SystemExit(1)


@reports.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--account", metavar="ADDRESS", help="All reports in the mailbox of an account of ours as well.")
@click.option("--domain", metavar="DOMAIN", help="Only about this domain.")
@click.option("--last", metavar="TIME", default="30d", show_default=True, help="How far to look back in what was kept.")
@click.option("--json", "as_json", is_flag=True, help="For programs, with the reports as they are.")
@config_option
@click.pass_context
def tls(
    ctx: click.Context, *, files: tuple[Path, ...], account: str | None, domain: str | None, last: str, as_json: bool
) -> None:
    """Say how TLS with our servers went, as those see it who send to us: what failed first.

    Without FILES or an account: what the server has taken in and kept. FILES are reports as they come: .json,
    .json.gz, or whole messages. One that is there twice counts once.
    """
    if files or account is not None:
        found, good = _read_by(ctx, _tls, "JSON", files, account)
        signed = [_By()] * len(found)
    else:
        kept = [*_kept(configuration(ctx), last)]
        found, signed, good = [one for one, _ in kept], [by for _, by in kept], True
    pairs = [(one, by) for one, by in zip(found, signed, strict=True) if not domain or domain.lower() in one.domains]
    rows = _by_failure([one for one, _ in pairs], domain)
    if as_json:
        tables.show_json({"reports": [_tls_whole(*pair) for pair in pairs], "results": rows})
    else:
        for one, by in pairs:
            click.echo(_tls_summary(one, by), err=True)
        tables.show(rows, TLS_COLUMNS, as_json=False)
    if not good:
        raise SystemExit(1)


def _kept(config: "Config", last: str) -> "Iterator[tuple[TlsReport, _By]]":
    from engine.reports.inbox import FOLDER, ReportStore
    from engine.storage.environment import StorageError

    since = time.time() - seconds(last, "--last")
    if not (config.server.data / FOLDER).exists():
        return
    try:
        with ReportStore.open(config.server.data, read_only=True) as store:
            yield from ((one.report, _By(one.signed, one.peer)) for one in store.reports(since))
    except StorageError as error:
        raise Unusable(str(error)) from error


def _dmarc(octets: bytes) -> "tuple[object, Report]":
    """What makes a report one, and the report. Unreadable."""
    from engine.reports.received import parse

    report = parse(octets)
    return (report.org_name, report.identity, report.domain, report.begin), report


def _tls(octets: bytes) -> "tuple[object, TlsReport]":
    from engine.reports.tls_received import parse

    report = parse(octets)
    return (report.org_name, report.identity, *report.domains, report.begin), report


def _read_by(
    ctx: click.Context,
    parse: Callable[[bytes], tuple[object, T]],
    form: "Form",
    files: Iterable[Path],
    account: str | None,
) -> tuple[list[T], bool]:
    """The reports in files and in a mailbox, each once; whether all could be read."""
    found: dict[object, T] = {}
    good = _gather(found, _of_files(files), parse, form)
    if account is not None:
        good &= _gather(found, _of_account(ctx, account), parse, form, may_be_other_mail=True)
    return [*found.values()], good


def _gather(
    found: dict[object, T],
    letters: Iterable[tuple[str, bytes]],
    parse: Callable[[bytes], tuple[object, T]],
    form: "Form",
    *,
    may_be_other_mail: bool = False,
) -> bool:
    """Add what is in them, by what makes a report one; whether all could be read."""
    from engine.reports.unpacked import NoReport, Unreadable, unpacked

    good = True
    for name, octets in letters:
        try:
            for key, report in map(parse, unpacked(octets, form)):
                found.setdefault(key, report)
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


class _By(NamedTuple):
    """Who sent it: whose good signatures were on it, or the address that it was posted from."""

    signed: tuple[str, ...] = ()
    peer: str = ""

    def __str__(self) -> str:
        return f" (signed by {', '.join(self.signed)})" if self.signed else f" (from {self.peer})" if self.peer else ""


def _tls_summary(report: "TlsReport", by: _By) -> str:
    days = f"{tables.timestamp(report.begin)} to {tables.timestamp(report.end)}"
    count = tables.counted(report.succeeded + report.failed, "session")
    return f"{report.org_name}{by} about {', '.join(report.domains)}, {days}: {count}, {report.failed:,} failed"


def _by_failure(found: Iterable["TlsReport"], domain: str | None) -> list[dict[str, Any]]:
    """A row for what failed in the same way at the same server, and one for what did not fail."""
    together: dict[tuple[str, ...], dict[str, Any]] = {}
    for report in found:
        for policy in report.policies:
            if domain and policy.domain != domain.lower():
                continue
            for result, server, count, reason in _results(policy):
                key = policy.domain, policy.type, result, server
                row = together.setdefault(key, _empty_row(policy, result, server))
                row["sessions"] += count
                row["from"] = _unique([*row["from"], report.org_name])
                row["reason"] = _unique([*row["reason"], reason])[:3]
    return sorted(together.values(), key=lambda row: (row["result"] == "success", -row["sessions"], row["domain"]))


def _empty_row(policy: "Policy", result: str, server: str) -> dict[str, Any]:
    return {
        "domain": policy.domain,
        "policy": policy.type,
        "result": result,
        "server": server,
        "sessions": 0,
        "from": [],
        "reason": [],
    }


def _results(policy: "Policy") -> Iterator[tuple[str, str, int, str]]:
    """Result, server, sessions and reason. What a report counts as failed and does not explain comes too."""
    if policy.succeeded:
        yield "success", "", policy.succeeded, ""
    for failure in policy.failures:
        yield failure.result, _server(failure), failure.count, failure.reason
    unexplained = policy.failed - sum(failure.count for failure in policy.failures)
    if unexplained > 0:
        yield "unexplained", "", unexplained, ""


def _server(failure: "Failure") -> str:
    return failure.mx_hostname or failure.receiving_ip


def _tls_whole(report: "TlsReport", by: _By) -> dict[str, Any]:
    from msgspec import to_builtins

    told: dict[str, Any] = to_builtins(report)
    posted = {"posted_by": by.peer} if by.peer else {}
    return told | {"signed_by": list(by.signed), **posted, "succeeded": report.succeeded, "failed": report.failed}
