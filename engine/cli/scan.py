"""`postroad scan`: teach the spam filter, ask it, and see what it has learnt."""

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration
from engine.cli.errors import Unusable
from engine.cli.progress import progress
from engine.cli.reading import account_of
from engine.observe.visible import on_one_line

if TYPE_CHECKING:
    from engine.spam import Judgement, Kind, Learnt, Lesson, Letter, Words

CLUES = 15
"""Tokens that `test` shows, the strongest first."""

_paths = click.argument(
    "paths", nargs=-1, metavar="PATH...", type=click.Path(exists=True, allow_dash=True, path_type=Path)
)
_account = click.option("--account", metavar="ADDRESS", help="For the mail of this account alone.")
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group()
def scan() -> None:
    """The spam filter: teach it, ask it, see what it has learnt. The server may run."""


@scan.command()
@click.option("--spam", is_flag=True, help="They are spam.")
@click.option("--ham", is_flag=True, help="They are mail that is wanted.")
@_account
@_paths
@config_option
@click.pass_context
def train(ctx: click.Context, *, spam: bool, ham: bool, account: str | None, paths: tuple[Path, ...]) -> None:
    """Learn all messages in PATH: an mbox, a Maildir, .eml files, any folder of messages, or - for standard input.

    What was learnt before is not learnt twice; what was learnt as the other kind is that no longer.
    """
    if spam == ham:
        raise Unusable("say what the messages are: --spam or --ham")
    kind: Kind = "spam" if spam else "ham"
    with _opened(ctx) as words:
        done, broken = _learn(words, _owner(ctx, account), kind, paths)
    others = f"{done.changed:,} had been taken for the other kind, {done.known:,} were known"
    click.echo(f"Learnt as {kind}: {tables.counted(done.new + done.changed, 'message')}; {others}.")
    _end(broken)


@scan.command()
@click.option("--everything", is_flag=True, help="All that was learnt. It cannot be undone.")
@_account
@_paths
@config_option
@click.pass_context
def forget(ctx: click.Context, *, everything: bool, account: str | None, paths: tuple[Path, ...]) -> None:
    """Take back that the messages in PATH were learnt; or forget --everything, of the server or of one account."""
    if everything == bool(paths):
        raise Unusable("say what is to be forgotten: PATH, or --everything")
    owner = _owner(ctx, account)
    with _opened(ctx) as words:
        if everything:
            words.forget(owner)
            click.echo(f"All is forgotten that was learnt for {account or 'the server'}.")
            return
        done, broken = _learn(words, owner, None, paths)
    click.echo(f"Forgotten: {tables.counted(done.changed, 'message')}; {done.known:,} had not been learnt.")
    _end(broken)


@scan.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@_account
@_json
@config_option
@click.pass_context
def test(ctx: click.Context, file: Path, *, account: str | None, as_json: bool) -> None:
    """Say how the filter judges the message in FILE (- for standard input), and why.

    It has the weights that come along, and knows nothing of how the message came: SPF, DKIM and DMARC say nothing here.
    """
    from engine.spam import Case, judged

    owner = _owner(ctx, account)
    with _opened(ctx) as words:
        for _, letter in _letters([file], []):
            _show(judged(Case(letter), words, owner), as_json=as_json)
            return
    raise Unusable(f"{file} has no message")


@scan.command()
@_json
@config_option
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Show how many messages were learnt, and how many tokens are known of them, for the server and each account."""
    from engine.spam import SERVER

    with _opened(ctx) as words:
        found = words.holdings()
    names = _addresses(ctx) if any(one.owner != SERVER for one in found) else {}
    rows = [
        {
            "for": "the server" if one.owner == SERVER else names.get(one.owner, f"account {one.owner}"),
            "spam": one.messages.spam,
            "ham": one.messages.ham,
            "tokens": one.tokens,
        }
        for one in found
    ]
    tables.show(rows, ("for", "spam", "ham", "tokens"), as_json=as_json)


@contextmanager
def _opened(ctx: click.Context) -> "Iterator[Words]":
    """What was learnt. StorageError."""
    from engine.spam import FOLDER, Words
    from engine.storage.files import give_to

    data = configuration(ctx).server.data
    with Words.open(data / FOLDER) as words:
        give_to(data.stat(), data / FOLDER)
        yield words


def _owner(ctx: click.Context, account: str | None) -> int:
    from engine.spam import SERVER

    return account_of(ctx, account).id if account else SERVER


def _addresses(ctx: click.Context) -> dict[int, str]:
    """The accounts by their numbers; empty where another server keeps them."""
    from engine.directory import Embedded

    with opening.whichever(ctx) as directory:
        return {one.id: one.address for one in directory.accounts()} if isinstance(directory, Embedded) else {}


def _learn(
    words: "Words", owner: int, kind: "Kind | None", paths: tuple[Path, ...]
) -> "tuple[Learnt, list[tuple[str, str]]]":
    """What came of it, and what could not be read: where, and why."""
    from engine.spam import lesson, teach

    if not paths:
        raise Unusable("say where the messages are: PATH, or - for standard input")
    broken: list[tuple[str, str]] = []
    with progress("learn", "messages") as step:

        def lessons() -> "Iterator[Lesson]":
            for number, (_, letter) in enumerate(_letters(paths, broken), 1):
                yield from lesson(letter, kind, [owner])
                step(number, 0)

        return teach(words, lessons()), broken


def _letters(paths: Iterable[Path], broken: list[tuple[str, str]]) -> "Iterator[tuple[str, Letter]]":
    """All messages there, and where each was."""
    from engine.exchange.letters import Broken
    from engine.exchange.messages import messages
    from engine.spam import Letter

    for path in paths:
        with _file_of(path) as file:
            for found in messages(file):
                if isinstance(found, Broken):
                    broken.append((found.where, found.why))
                else:
                    yield found.where, Letter(found.letter.pieces)


@contextmanager
def _file_of(path: Path) -> Iterator[Path]:
    """The path itself; for standard input a file that holds what came."""
    if str(path) != "-":
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="postroad-scan-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Path(file.name)


def _end(broken: list[tuple[str, str]]) -> None:
    """Exit code 1 if something could not be read."""
    for where, why in broken:
        click.echo(on_one_line(f"not read: {where}: {why}"), err=True)
    if broken:
        sys.exit(1)


def _show(found: "Judgement", *, as_json: bool) -> None:
    opinion = found.opinion
    if as_json:
        told: dict[str, Any] = {
            "score": found.score,
            "symbols": dict(found.symbols),
            "bayes": opinion.word,
            "probability": opinion.probability,
            "clues": [{"token": token, "probability": one} for token, one in opinion.clues],
        }
        tables.show_json(told)
        return
    click.echo(f"Score {found.score:.2f}. Bayes: {opinion.word}, {opinion.probability:.4f}.")
    for symbol, points in sorted(found.symbols.items(), key=lambda item: -abs(item[1])):
        click.echo(f"{points:8.2f}  {symbol}")
    for clue in opinion.clues[:CLUES]:
        click.echo(on_one_line(f"{clue.probability:8.4f}  {clue.token}"))
