"""`postroad dsn`: reports on delivery, ours before anybody gets one, and those of others as we read them."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli import tables
from engine.cli.configured import config_option, configuration
from engine.cli.errors import Refused, Unusable
from engine.protocols.dsn import ACTIONS

if TYPE_CHECKING:
    from engine.delivery_status import Notice
    from engine.message import Message
    from engine.queue.bounce import Failure

COLUMNS = ("recipient", "action", "status", "diagnostic", "remote", "original", "message_id", "form")
LIMIT = 4 * 2**20
SAMPLE = b"From: %s\r\nTo: %s\r\nSubject: Hello\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n"
LATER = 3 * 86400.0


@click.group()
def dsn() -> None:
    """Reports on delivery (DSN, RFC 3464): what senders are told of their mail."""


@dsn.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--language", metavar="TAG", help="In this language; else as the message and [delivery_reports] say.")
@click.option("--action", type=click.Choice(ACTIONS), default="failed", show_default=True, help="What has happened.")
@click.option("--sender", metavar="ADDRESS", default="ann@example.org", show_default=True)
@click.option("--recipient", metavar="ADDRESS", default="bob@example.net", show_default=True)
@click.option("--reply", default="550 5.1.1 No such user here", show_default=True, help="What the other server says.")
@click.option("--whole", is_flag=True, help="Print the whole report, not only what a person reads.")
@config_option
@click.pass_context
def preview(ctx: click.Context, /, file: Path | None, language: str | None, whole: bool, **about: str) -> None:
    """Print what a sender would be told about the message in FILE, or about a short one."""
    from engine.message import MessageId
    from engine.queue.bounce import Letters, bounce

    config = configuration(ctx)
    letters, message = Letters(config.languages, config.delivery_reports.return_whole), _message(file, about["sender"])
    if language is not None:
        letters = Letters(_only(letters, language), letters.whole)
    failures, now = [_failure(about["action"], about["recipient"], about["reply"])], time.time()
    octets = bounce(MessageId.new(now), config.server.hostname, message, failures, now, letters=letters)
    click.echo(octets if whole else _human(octets), nl=False)


@dsn.command(name="read")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def read_(files: tuple[Path, ...], as_json: bool) -> None:
    """Say what the reports in FILES tell, whoever wrote them. Exit code 1: one of them is no report."""
    from engine.delivery_status import read

    rows: list[dict[str, Any]] = []
    good = True
    for path in files:
        try:
            with path.open("rb") as stream:
                notice = read(stream.read(LIMIT))
        except OSError as error:
            raise Unusable(f"{path}: {error.strerror}") from error
        if notice is None:
            click.echo(f"postroad: {path}: this is no report on delivery that can be read", err=True)
            good = False
        else:
            rows += _rows(path, notice)
    tables.show(rows, COLUMNS, as_json=as_json)
    if not good:
        raise SystemExit(1)


def _rows(path: Path, notice: "Notice") -> Iterator[dict[str, Any]]:
    common = {
        "form": notice.form,
        "reporter": notice.reporter,
        "envelope_id": notice.envelope_id,
        "message_id": notice.message_id,
        "file": str(path),
    }
    yield from (asdict(status) | common for status in notice.recipients)


def _message(file: Path | None, sender: str) -> "Message":
    from engine.message import Envelope, Message, MessageId, Octets, Recipient, Session

    octets = file.read_bytes() if file else SAMPLE % (sender.encode(), b"bob@example.net")
    now = time.time() - LATER
    session = Session(peer="192.0.2.1", helo="client.example.org")
    return Message(MessageId.new(now), Envelope(sender, (Recipient(""),), session, arrived=now), Octets(octets))


def _only(letters: Any, language: str) -> Any:
    """That language alone. Refused where there are no words of it."""
    from engine.config import nearest
    from engine.wording import Languages

    known = letters.languages.known
    if language.lower() not in known:
        raise Refused(f"there are no words for {language}{nearest(language, known)}")
    return Languages(letters.languages.own, language.lower(), follow=False)


def _failure(action: str, recipient: str, reply: str) -> "Failure":
    from engine.message import Recipient
    from engine.queue.bounce import Failure
    from engine.verdict import Defer, Delivered, Reject

    to, remote = Recipient(recipient), "mx.example.net"
    found = reply.split()[1] if reply.count(" ") > 1 else ""
    if action == "failed":
        return Failure(to, Reject("The next server refused it", found, reply=reply, remote=remote))
    if action == "delayed":
        text = "The next server asks us to try later"
        return Failure(to, Defer(text, found, reply=reply, remote=remote, expires=time.time() + LATER))
    return Failure(to, Delivered(tell=action))  # type: ignore[arg-type]


def _human(octets: bytes) -> str:
    """From, subject and text, as a mail program shows them."""
    import email
    from email import policy

    report = email.message_from_bytes(octets, policy=policy.default)
    text = next(report.iter_parts()).get_content()
    return f"From: {report['From']}\nTo: {report['To']}\nSubject: {report['Subject']}\n\n{text}"
