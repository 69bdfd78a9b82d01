"""`postroad cert`: which certificates there are; getting and renewing them by ACME."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from engine.cli import tables
from engine.cli.configured import config_option, configuration, fail
from engine.config import CHALLENGES, Config

if TYPE_CHECKING:
    from engine.acme.issuing import Applicant

T = TypeVar("T")


@click.group()
def cert() -> None:
    """Certificates: see which there are; get and renew them by ACME."""


@cert.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show the certificates that the server offers."""
    from engine.net.certificates import day
    from engine.operations import certificates
    from engine.operations.operator import Operator

    found = certificates.listed(configuration(ctx), Operator(""))
    rows = [
        {
            "names": one.names,
            "algorithm": one.algorithm,
            "expires": day(one.expires.timestamp()),
            "flaws": list(one.flaws),
            "certificate": one.certificate,
        }
        for one in found.certificates
    ]
    tables.show(rows, ("names", "algorithm", "expires", "flaws", "certificate"), as_json=as_json)
    for error in found.errors:
        click.echo(error, err=True)


@cert.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@config_option
@click.pass_context
def issue(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Get one certificate for all NAMEs; without any, one for each of [acme] domains that has none.

    A server that runs takes it up within seconds, and renews it from then on. Where none runs, the command itself
    listens for the authority meanwhile.
    """
    config = configuration(ctx)
    getting, domains = _acme(config)
    names = tuple(map(_name, names))
    asked = [(names, names[0].replace("*", "_"))] if names else []
    if not names:
        wanted = getting.wanted(domains)
        asked = [(one.names, folder) for folder, one in wanted.items() if one.certificate is None]
    _get(config, getting, asked)


@cert.command()
@click.option("--force", is_flag=True, help="Also those that are not due.")
@config_option
@click.pass_context
def renew(ctx: click.Context, force: bool) -> None:
    """Renew what was got by ACME and is due. A running server does this by itself."""
    from engine.acme.client import AcmeError

    config = configuration(ctx)
    getting, domains = _acme(config)
    try:
        asked = [
            (one.names, folder)
            for folder, one in getting.wanted(domains).items()
            if force or one.certificate is None or time.time() >= getting.renew_at(one.certificate)
        ]
    except (AcmeError, OSError) as error:
        fail(str(error))
    _get(config, getting, asked)


def _acme(config: Config) -> tuple["Applicant", tuple[str, ...]]:
    """Who gets certificates, and for which domains there should be one."""
    from engine.runtime.certificates import applicant, wanted_names

    if config.acme is None:
        fail(f"{config.path} has no [acme], which says where certificates come from")
    return applicant(config), wanted_names(config)


def _name(given: str) -> str:
    """A domain, or a wildcard for one, as A-label."""
    from engine.directory import Invalid, valid_domain

    bare = given.removeprefix("*.")
    try:
        return given.removesuffix(bare) + valid_domain(bare)
    except Invalid as error:
        raise click.BadParameter(str(error)) from error


def _get(config: Config, getting: "Applicant", asked: Sequence[tuple[tuple[str, ...], str]]) -> None:
    """Get a certificate for each of the names and folders, and say how it went."""
    from engine.acme.client import AcmeError
    from engine.net.certificates import day

    def get() -> bool:
        good = True
        for names, folder in asked:
            try:
                got = getting.issue(names, folder)
            except (AcmeError, OSError) as error:
                good = False
                click.echo(f"postroad: {', '.join(names)}: {error}", err=True)
            else:
                click.echo(f"{', '.join(got.names)} until {day(got.expires)}: {got.pair.certificate}")
        return good

    if not asked:
        click.echo("Nothing is due.")
    elif not _listening(config, get):
        sys.exit(1)


def _listening(config: Config, work: Callable[[], T]) -> T:
    """Do the work while challenges are answered: by the server if it runs, else by ourselves."""
    import trio

    from engine.acme.challenges import Responder
    from engine.acme.store import Store
    from engine.net.connection import Connection
    from engine.net.listening import CannotListen, accept_connections, bind
    from engine.runtime.state import State

    if State(config.server.data).running() is not None:
        return work()
    responder = Responder(Store(config.server.data))
    sockets = {}
    try:
        for name in config.listen.keys() & CHALLENGES.values():
            (sockets[name],) = bind(name, *config.listen[name], 1)
    except CannotListen as error:
        fail(str(error))

    async def run() -> T:
        async with trio.open_nursery() as nursery:
            for name, sock in sockets.items():

                async def serve(connection: Connection, name: str = name) -> None:
                    await responder.serve(name, connection)

                nursery.start_soon(accept_connections, sock, serve, name, nursery)
            done = await trio.to_thread.run_sync(work)
            nursery.cancel_scope.cancel()
        return done

    return trio.run(run)
