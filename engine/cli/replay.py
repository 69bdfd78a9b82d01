"""`postroad replay`: what an edited pipeline.toml would do with real messages, beside what is done with them now."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import trio
from click.core import ParameterSource

from engine.cli.configured import configuration, loaded
from engine.cli.errors import Refused, Unusable
from engine.cli.in_force import in_force
from engine.cli.progress import progress
from engine.condition import parse_condition
from engine.config import Config

if TYPE_CHECKING:
    from engine.message import Message
    from engine.rehearsal import Asked, Comparison, Surroundings, Told

MAILBOX = "mailbox:"

_ENVELOPE = (
    click.option("--sender", metavar="ADDRESS", help='Of messages in files; "" for none.'),
    click.option("--recipient", "recipients", multiple=True, metavar="ADDRESS", help="The same; may be given often."),
    click.option("--peer", default="", metavar="IP", help="The client that brought messages in files."),
    click.option("--helo", default="", metavar="NAME", help="What that client called itself."),
    click.option("--tls", default="", metavar="TEXT", help='Its TLS, such as "TLSv1.3 TLS_AES_256_GCM_SHA384".'),
    click.option("--login", default="", metavar="ADDRESS", help="The account that they were sent by."),
    click.option("--trusted", is_flag=True, help="The client is one of relay_networks."),
    click.option("--lane", default="", metavar="NAME", help="The lane that they come in by."),
)


def _with_envelope(function: Any) -> Any:
    for option in reversed(_ENVELOPE):
        function = option(function)
    return function


@click.command()
@click.option(
    "--config", "-c", "new", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="NEW.toml",
    help="The configuration to try, beside what is in force, or the file of `postroad --config FILE replay`.",
)  # fmt: skip
@click.option(
    "--from", "source", required=True, metavar="quarantine|queue|archive|mailbox:ADDRESS|PATH",
    help="Which messages: what is parked, what waits, what the mailboxes of journals have copies of, what an account "
    "has, or files: mbox, Maildir, .eml.",
)  # fmt: skip
@click.option("--where", "condition", default="", metavar="CONDITION", help="Only those that meet it: as in `when`.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="So many at most.")
@click.option("--offline", is_flag=True, help="Run no stage that asks others, such as the DNS or a scanner.")
@_with_envelope
@click.option("--each", is_flag=True, help="A line for each message.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def replay(ctx: click.Context, /, new: Path, source: str, **options: Any) -> None:
    """Take real messages through a changed pipeline, and say what would be different.

    Nothing is sent, stored, counted or learnt. What waits begins behind `queue`, all else at the head of its lane.

    Exit code 0: no difference; 1: differences; 2: mistakes.
    """
    from engine.cli.rehearsing import show, translated  # slow to import
    from engine.operations.rehearsing import Result, Versions, rehearsed

    before, after = _present(ctx), loaded(new)
    meets = _condition(options.pop("condition"))
    each, as_json, limit = options.pop("each"), options.pop("as_json"), options.pop("limit")
    result = Result()
    with _surroundings(before, offline=options.pop("offline")) as surroundings, progress("rehearse") as step:

        def hear(found: "Comparison") -> None:
            result.add(found, keep=each)
            step(result.messages, limit or 0)

        with _messages(before, source, options, surroundings) as found:
            chosen = (one for one in found if meets(one.message))
            with translated():
                trio.run(rehearsed, Versions(before, after, surroundings), islice(chosen, limit), result, hear)
    show(result, each=each, as_json=as_json)
    sys.exit(bool(result.different))


def _present(ctx: click.Context) -> Config:
    """What is in force, whatever has been edited since; or the file that `postroad --config` names."""
    config = configuration(ctx)
    if ctx.find_root().get_parameter_source("config") is ParameterSource.COMMANDLINE:
        return config
    return in_force(config) or config


def _condition(text: str) -> "Callable[[Message], bool]":
    try:
        return parse_condition(text).holds if text else lambda _: True
    except ValueError as error:
        raise Unusable(f"--where: {error}") from error


@contextmanager
def _surroundings(config: Config, *, offline: bool) -> Iterator["Surroundings"]:
    from engine.rehearsal import Surroundings

    with closing(Surroundings(config.server.data, offline=offline)) as found:
        yield found


@contextmanager
def _messages(
    config: Config, source: str, options: dict[str, Any], surroundings: "Surroundings"
) -> Iterator[Iterator["Asked"]]:
    """The messages of that source, each in memory."""
    from engine.quarantine.held import shards
    from engine.rehearsal import Told, archived, in_mailbox, parked, queued, told

    envelope = Told(**options)
    if source in ("quarantine", "queue"):
        if envelope != Told():
            raise Unusable("the envelope of what is in the queue is known; options for it are for messages in files")
        with shards(config.server.data, config.queue.map_size) as found:
            yield parked(found) if source == "quarantine" else queued(found)
    elif source == "archive":
        yield archived(surroundings.mailboxes(config.mailboxes.map_size), _journals(config), envelope, _broken)
    elif source.startswith(MAILBOX):
        address = source.removeprefix(MAILBOX)
        account = _account(config, address)
        mailboxes = surroundings.mailboxes(config.mailboxes.map_size)
        yield in_mailbox(mailboxes, account, _for(envelope, address), _broken)
    else:
        yield told(_existing(source), envelope, _broken)


def _for(envelope: "Told", address: str) -> "Told":
    """What lies in a mailbox came to its owner, unless it is said who else it is to go to."""
    from msgspec.structs import replace

    return envelope if envelope.recipients else replace(envelope, recipients=(address,))


def _account(config: Config, address: str) -> int:
    for found in _accounts(config, address):
        return found
    raise Refused(f"there is no account {address}")


def _journals(config: Config) -> tuple[int, ...]:
    """The accounts into whose mailboxes copies go."""
    found = _accounts(config, *dict.fromkeys(journal.to for journal in config.journals.values()))
    if not found:
        raise Refused("no [journal.NAME] has copies put into a mailbox here")
    return found


def _accounts(config: Config, *addresses: str) -> tuple[int, ...]:
    """The numbers of those of them that are accounts here."""
    from engine.cli.opening import translated
    from engine.directory import open_directory

    with translated(), closing(open_directory(config)) as directory:
        return tuple(found.id for address in addresses if (found := directory.account(address)))


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise Unusable(
            f"--from: there is no {text}; say quarantine, queue, archive, mailbox:ADDRESS, or a file or folder"
        )
    return path


def _broken(where: str, why: str) -> None:
    from engine.observe.visible import on_one_line

    click.echo(on_one_line(f"not read: {where}: {why}"), err=True)
