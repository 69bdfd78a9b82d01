"""`postroad arc`: a link of our own in the chain of those who handed a message on."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.asking import answered
from engine.cli.errors import Unusable

if TYPE_CHECKING:
    from engine.authentication.fields import Fields
    from engine.authentication.outcome import Result

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def arc() -> None:
    """The chain of those who handed a message on (RFC 8617)."""


@arc.command()
@click.argument("message", type=_FILE, metavar="MESSAGE.eml")
@click.option("--domain", required=True, help="Who seals.")
@click.option("--selector", required=True, help="The key's public half is at SELECTOR._domainkey.DOMAIN.")
@click.option("--key", required=True, type=_FILE, help="The private key: RSA or Ed25519, in PEM.")
@click.option("--authserv-id", required=True, help="Whose Authentication-Results fields are taken into the chain.")
@click.option("--timestamp", type=click.IntRange(min=0), help="The seconds since 1970 to write; else, those of now.")
@click.option("--dns", metavar="HOST:PORT", help="Asked for keys of older seals; else, the servers of the system.")
def seal(
    message: Path, *, domain: str, selector: str, key: Path, authserv_id: str, timestamp: int | None, dns: str | None
) -> None:
    """Print MESSAGE.eml with one more ARC set on top.

    Whether the chain held so far is what the Authentication-Results fields of AUTHSERV_ID say (arc=pass, arc=fail);
    where they do not, it is looked at now. A chain that an older seal calls broken gets no further set. The file's
    lines may end in CRLF or LF, and do so in what is printed.
    """
    from engine.authentication.fields import split_message, with_crlf
    from engine.authentication.reported import reported
    from engine.authentication.sealer import seal as add_set
    from engine.authentication.signer import Signer, load_key
    from engine.net.dns import a_labels

    octets = message.read_bytes()
    now = time.time() if timestamp is None else timestamp
    fields, rest = split_message([with_crlf(octets)])
    body = list(rest)
    report = reported(fields, authserv_id)
    try:
        signer = Signer(a_labels(domain), a_labels(selector), load_key(key.read_bytes()))
        chain = _chain(fields, body, report.chain, dns)
        sealed = add_set(fields, body, signer, report.results, chain=chain, now=now)
    except ValueError as error:
        raise Unusable(str(error)) from error
    if not sealed:
        click.echo("postroad: the chain has ended; no set was added", err=True)
    if b"\r\n" not in octets:
        sealed = sealed.replace(b"\r\n", b"\n")
    sys.stdout.buffer.write(sealed + octets)


def _chain(fields: "Fields", body: list[bytes], said: "Result | None", dns: str | None) -> "Result":
    """Whether the chain of the message holds."""
    from engine.authentication.arc import validate_arc
    from engine.authentication.outcome import Result
    from engine.authentication.sealer import newest_instance

    if newest_instance(fields) is None:
        return Result.NONE
    if said in {Result.PASS, Result.FAIL}:
        return said

    return answered(dns, lambda ask: validate_arc(fields, body, ask, time.time())).result
