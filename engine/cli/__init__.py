"""The command `postroad`: one file a command."""

from pathlib import Path
from typing import Any

import click

from engine.cli.by_name import ByName
from engine.cli.errors import readable
from engine.compiled import is_compiled

COMMANDS = {
    "init": "Set up a server: pipeline.toml, keys, the first account, DNS records.",
    "convert": "Make a pipeline.toml of what Postfix or Exim is told.",
    "run": "Run the server.",
    "check": "Say what is wrong with pipeline.toml, all at once.",
    "replay": "Take real messages through a changed pipeline; say what differs.",
    "doctor": "Look at all that a server stands on, and say what is wrong.",
    "show": "Draw the pipeline, with what passes through it now.",
    "top": "Watch links, stages, sites and workers of the running server.",
    "tap": "Show messages that pass a link, as they pass.",
    "figures": "Show how much mail came, went, was late, was spam and waited, over time.",
    "reload": "Put an edited pipeline.toml in force, without dropping anything.",
    "revision": "List and compare the configurations that were in force; go back to one.",
    "explain": "Show the whole way of a message, and what happens next.",
    "queue": "See what is in the queue, and why; hold, retry, reroute, return, delete it.",
    "log": "Show the events of the server, and follow them.",
    "shaping": "Explain how mail leaves for a destination; show, lift and set what is done about what sites say.",
    "quarantine": "List, show, release and delete parked mail; learn from it.",
    "bounces": "Say what replies mean; show what was not delivered.",
    "suppression": "List recipients who are not written to again; add and remove them.",
    "lists": "Allow and block senders: for all, for a domain, for an account.",
    "mailbox": "Show what mailboxes hold; move, save, restore and share them.",
    "folder": "Make, list and share public folders.",
    "retention": "Show how long mail is kept, and what goes next.",
    "oversight": "Ask for and consent to grants to look at people's mail; export it.",
    "hold": "Keep all mail of accounts, whoever removes it.",
    "audit": "Show and verify the log of who looked at whose mail, and what was held.",
    "account": "Add, list and remove accounts; set passwords.",
    "ban": "List who is kept out for guessing passwords, and let them in again.",
    "rate": "List who has sent how much lately, and let them send on.",
    "greylist": "Show who was told to come again, and who is known; forget them.",
    "suspect": "List accounts whose mail is parked, and let them send again.",
    "egress": "Show the addresses that mail leaves from, and how warm they are.",
    "quota": "Set how much mailboxes may hold; show how full they are.",
    "token": "Make, list and revoke tokens of the admin API.",
    "domain": "Add, list and remove local domains.",
    "alias": "Add, list and remove aliases.",
    "group": "Add, list and remove groups; change their members.",
    "cert": "List certificates; get and renew them by ACME.",
    "tls": "Say which TLS mail to a domain goes by; what to publish for ours.",
    "dkim": "Make, publish and replace the keys that sign our mail.",
    "arc": "Seal a message by hand, as one that is handed on.",
    "auth": "Say who a message is from: SPF, DKIM, DMARC, ARC.",
    "dsn": "Show what senders are told of their mail, and read what others tell.",
    "reports": "Show what other servers report about mail in our name, and about TLS with us.",
    "sieve": "Check scripts that sort mail, try them, and see to those of accounts.",
    "scan": "Teach the spam filter, ask it, and see what it has learnt.",
    "demo": "Two servers, a private DNS zone, and the way of five messages.",
    "bench": "Postroad and other mail servers under the same load.",
}


class _Commands(ByName):
    """All commands, with what each does, so that none need be loaded to tell it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BaseException as error:
            raise readable(error) from error

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from engine.config import nearest

            ctx.fail(f"no command is named {args[0]}{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.command(
    cls=_Commands,
    places={name: f"{name}:{name}" for name in COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("pipeline.toml"),
    show_default=True,
    help="The file that says which way every message takes.",
)
@click.version_option(
    package_name="postroad", message="%(prog)s, version %(version)s" + (" (compiled)" if is_compiled() else "")
)
@click.pass_context
def main(ctx: click.Context, config: Path) -> None:
    """Postroad, a mail server whose pipeline you can read and edit."""
    ctx.obj = config
