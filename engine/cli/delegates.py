"""`postroad mailbox people` and `let`: who else works in the mailbox of an account, and sends for it."""

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.cli.errors import Refused
from engine.cli.reading import account_of
from engine.cli.sharing import mail_of
from engine.directory import Embedded
from engine.operations import delegating
from engine.operations.delegating import AS, LEVELS, ON_BEHALF, Person, Sends
from engine.operations.sharing import Mail

_SENDS: dict[str, Sends] = {"no": "", "on-behalf": ON_BEHALF, "as": AS}


@click.command()
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def people(ctx: click.Context, address: str, as_json: bool) -> None:
    """Show who else works in the mailbox of ADDRESS, and who sends in its name, or on its behalf."""
    account = account_of(ctx, address)
    with mail_of(ctx) as mail:
        found = delegating.people(mail, _ours(mail), opening.onlooker(), account)
    rows = [
        {
            "who": one.address,
            "kind": "everybody" if one.is_everybody else "group" if one.is_group else "account",
            "level": one.level,
            "sends": _sends(one),
        }
        for one in found
    ]
    tables.show(rows, ("who", "kind", "level", "sends"), as_json=as_json)


@click.command()
@click.argument("address")
@click.argument("who")
@click.option("--level", type=click.Choice(list(LEVELS)), required=True, help="What they do in all of its folders.")
@click.option(
    "--sends", type=click.Choice(list(_SENDS)), default="no", show_default=True,
    help="In its name, with nothing else to be seen; or on its behalf, with their own in Sender.",
)  # fmt: skip
@config_option
@click.pass_context
def let(ctx: click.Context, address: str, who: str, level: str, sends: str) -> None:
    """Say what WHO, an account or a group, may do in the mailbox of ADDRESS, in place of what they might."""
    account = account_of(ctx, address)
    with mail_of(ctx) as mail:
        by = opening.operator(_ours(mail))
        delegating.let(mail, _ours(mail), by, account, who, level=level, sends=_SENDS[sends])
    click.echo(f"{who} in the mailbox of {account.address}: {level}; sends for it: {sends}.")


def _ours(mail: Mail) -> Embedded:
    """The directory, which is open already, where it is ours."""
    if not isinstance(mail.directory, Embedded):
        raise Refused("[directory] in pipeline.toml says that another server keeps them: look, and change them, there")
    return mail.directory


def _sends(one: Person) -> str:
    return "as" if one.sends else "on-behalf" if one.on_behalf else "no"
