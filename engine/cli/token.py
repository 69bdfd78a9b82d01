"""`postroad token`: by which programs use the admin API, and what each of them may do."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from engine.cli import tables
from engine.cli.configured import config_option, configuration
from engine.cli.durations import seconds
from engine.cli.errors import Refused, Unusable
from engine.operations.scopes import SCOPES

if TYPE_CHECKING:
    from engine.login import Token, Tokens

_EVERY = "all"
LOOK = "oversight:look"


@click.group()
def token() -> None:
    """Tokens of the admin API, which [listen] web serves under /api/v1.

    Of a token only a digest is kept: it is shown once, when it is made. What scopes there are, and what each allows,
    `postroad token scopes` tells.
    """


@token.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, metavar="SCOPE", help="What it may do; or all.")
@click.option("--domain", "domains", multiple=True, metavar="DOMAIN", help="Only what is about this domain of ours.")
@click.option("--for", "lasts", metavar="TIME", default="", help="How long it is good, such as 90d; else for ever.")
@click.option("--network", "networks", multiple=True, metavar="NETWORK", help="Only from there.")
@click.option("--rate", metavar="RATE", default="1200/1m", show_default=True, help="Requests in a time, at most.")
@click.option("--auditor", metavar="ADDRESS", default="", help="By whose grants it searches: for oversight:look.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def add(
    ctx: click.Context, name: str, *, scopes: tuple[str, ...], domains: tuple[str, ...], lasts: str,
    networks: tuple[str, ...], rate: str, auditor: str, as_json: bool,
) -> None:  # fmt: skip
    """Make a token of this NAME, and show it: this once, for nobody can find it out later."""
    from engine.directory.addresses import valid_domain
    from engine.login.tokens import NameTaken
    from engine.operations.operator import user

    wanted = _scopes(scopes)
    if bool(auditor) != (LOOK in wanted):
        raise Unusable(f"the scope {LOOK} and --auditor go together: a token looks by the grants of one auditor")
    expires = time.time() + seconds(lasts, "--for") if lasts else 0.0
    with _open(ctx) as tokens:
        try:
            found, text = tokens.add(
                name, wanted, by=user(), domains=list(map(valid_domain, domains)), networks=networks,
                expires=expires, rate=rate, auditor=auditor.lower(),
            )  # fmt: skip
        except NameTaken:
            raise Refused(f"there is a token {name} already; postroad token revoke {name} ends it") from None
        except ValueError as error:
            raise Unusable(str(error)) from error
    if as_json:
        tables.show_json({**_row(found, 0.0), "token": text})
        return
    click.echo(text)
    click.echo("It is shown this once. Whoever has it may do what its scopes say.", err=True)


def _scopes(given: tuple[str, ...]) -> list[str]:
    from engine.config import nearest

    for one in given:
        if one not in SCOPES and one != _EVERY:
            raise click.BadParameter(f"there is no scope {one!r}{nearest(one, SCOPES)}", param_hint="--scope")
    if _EVERY in given:  # but for looking at people's mail, which is always one auditor's
        return [one for one in SCOPES if one != LOOK or LOOK in given]
    return list(given)


@token.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all tokens: what each may do, and when it was used last."""
    with _open(ctx) as tokens:
        rows = [_row(*one) for one in tokens.all()]
    tables.show(rows, ("name", "scopes", "domains", "networks", "expires", "used"), as_json=as_json)


@token.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@config_option
@click.pass_context
def revoke(ctx: click.Context, names: tuple[str, ...]) -> None:
    """End tokens: from the next request on they are good for nothing."""
    with _open(ctx) as tokens:
        gone = [(name, tokens.revoke(name)) for name in names]
    for name, found in gone:
        said = f"Revoked {name}." if found else f"there is no token {name}; postroad token list shows those there are"
        click.echo(said, err=not found)
    if not all(found for _, found in gone):
        raise SystemExit(1)


@token.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def scopes(as_json: bool) -> None:
    """Show what tokens can be allowed."""
    rows = [{"scope": name, "allows": what} for name, what in SCOPES.items()]
    tables.show(rows, ("scope", "allows"), as_json=as_json)


@contextmanager
def _open(ctx: click.Context) -> "Iterator[Tokens]":
    """The tokens, open."""
    from engine.login import Tokens
    from engine.login.tokens import FOLDER
    from engine.storage.environment import StorageError
    from engine.storage.files import give_to

    data = configuration(ctx).server.data
    try:
        with Tokens.open(data) as tokens:
            give_to(data.stat(), data / FOLDER)
            yield tokens
    except StorageError as error:
        raise Refused(str(error)) from error


def _row(found: "Token", used: float) -> dict[str, Any]:
    return {
        "name": found.name,
        "id": found.id,
        "scopes": list(found.scopes),
        "domains": list(found.domains),
        "networks": list(found.networks),
        "rate": found.rate,
        "auditor": found.auditor,
        "created": tables.timestamp(found.created),
        "by": found.by,
        "expires": tables.timestamp(found.expires) if found.expires else "",
        "used": tables.timestamp(used) if used else "",
    }
