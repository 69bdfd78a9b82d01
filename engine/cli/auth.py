"""`postroad auth`: what the checks of a message find, without a server."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.asking import answered
from engine.observe.visible import visible

if TYPE_CHECKING:
    from engine.authentication.dmarc import Dmarc
    from engine.authentication.evaluate import Authentication
    from engine.net.dns import Ask

_dns = click.option("--dns", metavar="HOST:PORT", help="The DNS server to ask; else, those of the system.")
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")
_method = click.option(
    "--method",
    type=click.Choice(["tree-walk", "public-suffix"]),
    default="tree-walk",
    show_default=True,
    help="How to find the organisation of a domain: as RFC 9989 does, or as RFC 7489 did.",
)


@click.group()
def auth() -> None:
    """Who a message is from: SPF, DKIM, DMARC, ARC."""


@auth.command()
@click.argument("message", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="MESSAGE.eml")
@click.option("--client-ip", required=True, metavar="IP", help="The address of the client that brought it.")
@click.option("--helo", required=True, metavar="NAME", help="How the client greeted.")
@click.option("--mail-from", required=True, metavar="ADDRESS", help="The envelope's sender; empty for a bounce.")
@click.option("--authserv-id", default="localhost", show_default=True, help="Who says so in the header field.")
@click.option("--trusted-sealer", "sealers", multiple=True, metavar="DOMAIN", help="Whose ARC seals are believed.")
@click.option("--timeout", type=float, default=20.0, show_default=True, help="Seconds for all checks.")
@_method
@_dns
@_json
def verify(message: Path, as_json: bool, **given: Any) -> None:
    """Print what the stage authenticate would find out about MESSAGE.eml, whose lines may end in CRLF or LF."""
    from engine.authentication.dmarc import Method
    from engine.authentication.evaluate import Client, Terms, authenticate
    from engine.authentication.fields import with_crlf

    client = Client(given["client_ip"], given["helo"], given["mail_from"].removeprefix("<").removesuffix(">"))
    terms = Terms(given["authserv_id"], given["sealers"], Method(given["method"]), given["timeout"])
    octets = with_crlf(message.read_bytes())
    found = answered(given["dns"], lambda ask: authenticate(ask, client, [octets], terms))
    told = _told(found, given["authserv_id"])
    click.echo(json.dumps(told) if as_json else visible(_readable(found, given["authserv_id"])))


@auth.command()
@click.option("--from", "author", required=True, metavar="DOMAIN", help="The domain in From.")
@click.option("--dkim", multiple=True, metavar="DOMAIN", help="A domain whose signature holds.")
@click.option("--spf", multiple=True, metavar="DOMAIN", help="The sender's domain, where SPF passed.")
@_method
@_dns
@_json
def dmarc(
    *, author: str, dkim: tuple[str, ...], spf: tuple[str, ...], method: str, dns: str | None, as_json: bool
) -> None:
    """Judge a message from DOMAIN by DMARC, given the domains that other checks have proved."""
    from engine.authentication.dmarc import Identifiers, Method, discover

    async def judged(ask: "Ask") -> "Dmarc":
        return await (await discover(ask, [author], Method(method))).judge(Identifiers(spf, dkim))

    found = answered(dns, judged)
    told = {
        "result": found.result.value,
        "policy": found.policy.value,
        "disposition": found.disposition.value,
        "domain": found.domain or found.author,
    }
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo(
            f"{told['result']}: {visible(found.why)}; policy {told['policy']}, disposition {told['disposition']}"
        )


def _told(found: "Authentication", authserv_id: str) -> dict[str, Any]:
    from engine.authentication.results import body

    return {
        "spf": {
            "result": found.spf.mail_from.result.value,
            "domain": found.spf.mail_from.domain,
            "helo": found.spf.helo.result.value,
            "explanation": found.spf.mail_from.explanation,
        },
        "dkim": [
            {"result": each.result.value, "domain": each.domain, "selector": each.selector, "text": each.text}
            for each in found.dkim
        ],
        "arc": {"result": found.arc.result.value, "oldest_pass": found.arc.oldest_pass},
        "dmarc": {
            "result": found.dmarc.result.value,
            "policy": found.dmarc.policy.value,
            "disposition": found.dmarc.disposition.value,
            "domain": found.dmarc.domain,
        },
        "iprev": {"result": found.iprev.result.value, "name": found.iprev.name},
        "authentication_results": body(authserv_id, found.findings()),
    }


def _readable(found: "Authentication", authserv_id: str) -> str:
    from engine.authentication.results import field

    return field(authserv_id, found.findings()).decode().replace("\r\n", "\n").rstrip("\n")
