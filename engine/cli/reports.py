"""`postroad reports`: what other servers say about the mail of our domains, and about TLS with our servers."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration
from engine.cli.durations import seconds
from engine.cli.errors import Refused, Unusable

if TYPE_CHECKING:
    from engine.config import Config
    from engine.operations.reports import Gathering
    from engine.reports.received import Report
    from engine.reports.tls_received import TlsReport

T = TypeVar("T")

COLUMNS = ("domain", "source", "messages", "passed", "failed", "dkim", "spf", "disposition", "from", "signed_by")
TLS_COLUMNS = ("domain", "policy", "result", "server", "sessions", "from", "reason")


@click.group()
def reports() -> None:
    """Reports of others: on mail in our name (DMARC, RFC 9990), and on TLS with our servers (RFC 8460)."""


@reports.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--account", metavar="ADDRESS", help="All reports in the mailbox of an account of ours as well.")
@click.option("--domain", metavar="DOMAIN", help="Only about this domain; of what was kept, about those below it too.")
@click.option("--last", metavar="TIME", default="30d", show_default=True, help="How far to look back in what was kept.")
@click.option("--json", "as_json", is_flag=True, help="For programs, with all records.")
@config_option
@click.pass_context
def show(
    ctx: click.Context, *, files: tuple[Path, ...], account: str | None, domain: str | None, last: str, as_json: bool
) -> None:
    """Say who sent mail for our domains, and how much of it passed: what failed first, then by number of messages.

    Without FILES or an account: what the server has taken in and kept. FILES are reports as they come: .xml, .xml.gz,
    .zip, or whole messages. One that is there twice counts once. The columns dkim and spf count the messages that
    passed by them and were aligned with the domain in From.
    """
    from engine.operations.reports import by_source, dmarc_reports

    if files or account is not None:
        reports, good = _gathered(ctx, dmarc_reports(), files, account)
        reports = [one for one in reports if not domain or one.domain == domain.lower()]
    else:
        reports, good = _kept_dmarc(configuration(ctx), domain or "", last), True
    rows = [_built(row) for row in by_source(reports)]
    if as_json:
        tables.show_json({"reports": list(map(_whole, reports)), "sources": rows})
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
    from engine.operations.reports import by_failure, tls_reports

    if files or account is not None:
        found, good = _gathered(ctx, tls_reports(), files, account)
        signed = [_By()] * len(found)
    else:
        kept = [*_kept(configuration(ctx), last)]
        found, signed, good = [one for one, _ in kept], [by for _, by in kept], True
    pairs = [(one, by) for one, by in zip(found, signed, strict=True) if not domain or domain.lower() in one.domains]
    rows = [_built(row) for row in by_failure([one for one, _ in pairs], domain or "")]
    if as_json:
        tables.show_json({"reports": [_tls_whole(*pair) for pair in pairs], "results": rows})
    else:
        for one, by in pairs:
            click.echo(_tls_summary(one, by), err=True)
        tables.show(rows, TLS_COLUMNS, as_json=False)
    if not good:
        raise SystemExit(1)


def _kept_dmarc(config: "Config", domain: str, last: str) -> "list[Report]":
    from engine.operations.reported import dmarc_of
    from engine.reports.dmarc_inbox import FOLDER, DmarcStore
    from engine.storage.environment import StorageError

    since = time.time() - seconds(last, "--last")
    if not (config.server.data / FOLDER).exists():
        return []
    try:
        with DmarcStore.open(config.server.data, read_only=True) as store:
            return [one.report for one in dmarc_of(store.reports(since), opening.onlooker(), domain)]
    except StorageError as error:
        raise Unusable(str(error)) from error


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


def _gathered(
    ctx: click.Context, gathering: "Gathering[T]", files: Iterable[Path], account: str | None
) -> tuple[list[T], bool]:
    """The reports in files and in a mailbox, each once; whether all could be read."""
    from engine.operations.reading import reading  # slow to import
    from engine.operations.reports import letters

    gathering.add(_of_files(files))
    if account is not None:
        config = configuration(ctx)
        with opening.opened(ctx) as directory:
            found = directory.account(account)
        if found is None:
            raise Refused(f"there is no account {account}")
        gathering.add(letters(partial(reading, config), opening.onlooker(), found), may_be_other_mail=True)
    for error in gathering.errors:
        click.echo(f"postroad: {error}", err=True)
    return gathering.reports, not gathering.errors


def _of_files(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    from engine.operations.reports import bounded
    from engine.reports.unpacked import LIMIT

    for path in paths:
        try:
            with path.open("rb") as stream:
                yield str(path), bounded([stream.read(LIMIT + 1)])
        except OSError as error:
            raise Unusable(f"{path}: {error.strerror}") from error


def _summary(report: "Report") -> str:
    from engine.operations.reports import summary

    one = summary(report)
    days = f"{tables.timestamp(one.begin)} to {tables.timestamp(one.end)}"
    said = f"{one.org} about {one.domain} (p={one.policy}), {days}: {tables.counted(one.messages, 'message')}"
    errors = "".join(f"; {error}" for error in one.errors)
    return f"{said}, {one.passed:,} passed, {one.messages - one.passed:,} failed{errors}"


def _whole(report: "Report") -> dict[str, Any]:
    from engine.operations.reports import summary

    one = summary(report)
    return asdict(report) | {"messages": one.messages, "passed": one.passed, "failed": one.messages - one.passed}


def _built(row: Any) -> dict[str, Any]:
    from msgspec import to_builtins

    built: dict[str, Any] = to_builtins(row)
    return built


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


def _tls_whole(report: "TlsReport", by: _By) -> dict[str, Any]:
    posted = {"posted_by": by.peer} if by.peer else {}
    told = _built(report) | {"signed_by": list(by.signed), **posted}
    return told | {"succeeded": report.succeeded, "failed": report.failed}
