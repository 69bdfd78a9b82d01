"""`postroad init`: some questions, and what a server needs to begin."""

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

from engine.cli.errors import Unusable
from engine.cli.init import answers as asking
from engine.cli.init.answers import Acme, Answers, Files, Ports, Relay, SelfSigned, Tls
from engine.observe.visible import visible

_UNITS = [Path(place) / "systemd/system/postroad.service" for place in ("/etc", "/lib", "/usr/lib")]
_KINDS = ("acme", "files", "self-signed")


def _seen_addresses() -> tuple[str, ...]:
    from engine.operations.presence import seen_addresses  # slow to import

    return seen_addresses()


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
@click.option("--hostname", metavar="NAME", help="The name that the DNS has, or will have, for this machine.")
@click.option("--domain", "domains", multiple=True, metavar="NAME", help="A domain whose mail comes here.")
@click.option("--account", metavar="ADDRESS", help="The first account; it gets the postmaster's mail too.")
@click.option("--password-stdin", is_flag=True, help="Read its password from standard input; else, one is made.")
@click.option("--tls", "kind", type=click.Choice(_KINDS), help="Where the certificate is from.")
@click.option("--acme-email", metavar="ADDRESS", default="", help="Where the authority may write to.")
@click.option("--certificate", metavar="FILE", help="With --tls files: PEM, with those up to its authority.")
@click.option("--key", metavar="FILE", help="With --tls files: its private key.")
@click.option("--relay-host", metavar="HOST[:PORT]", help='Who takes all that goes out; "direct" for nobody.')
@click.option("--relay-login", metavar="NAME", default="", help="Our name there.")
@click.option("--relay-password-file", metavar="FILE", help="What our password there is read from.")
@click.option("--scanner", type=click.Choice(["own", "rspamd", "none"]), help="Who looks for spam.")
@click.option("--address", "addresses", multiple=True, metavar="IP", help="What the world sees of us; for the records.")
@click.option("--bind", metavar="IP", default="*", help="The address to listen at; else, all.")
@click.option("--port-offset", type=click.IntRange(0, 60_000), default=0, help="What to add to every port: a trial.")
@click.option("--data", type=click.Path(path_type=Path), help="The data folder; else var in DIR.")
@click.option("--user", metavar="NAME", help="Who the server becomes; else postroad, if root sets it up.")
@click.option("--yes", is_flag=True, help="Ask nothing: what is not said is as it would be proposed.")
def init(folder: Path, yes: bool, **said: Any) -> None:
    """Set up a server in DIR, or here: pipeline.toml, keys, the first account, and the DNS records to publish.

    What the options do not say is asked. Nothing is written over, and before the last question nothing is written.
    """
    try:
        answers = _Questions(said, silent=yes).answers(folder)
    except ValueError as error:
        raise Unusable(str(error)) from error
    if not yes:
        _summary(folder, answers)
        click.confirm("Write this?", default=True, abort=True)
    from engine.cli.init.writing import write_all  # slow to import

    with _ended_by_signals():
        records = write_all(folder, answers)
    _farewell(folder, answers, records)


class _Questions:
    """What the options say, and for the rest what a person says."""

    def __init__(self, said: dict[str, Any], *, silent: bool) -> None:
        self._said = said
        self._silent = silent

    def answers(self, folder: Path) -> Answers:
        """All of them. ValueError."""
        said = self._said
        hostname = self._ask("hostname", "Name of this machine in the DNS", asking.own_name(), asking.hostname)
        domains = self._ask("domains", "Domains whose mail comes here", asking.parent(hostname), asking.domains)
        account = self._ask("account", "First account", f"postmaster@{domains[0]}", asking.account(domains))
        password = self._password()
        return Answers(
            hostname=hostname,
            domains=domains,
            account=account,
            password=password or asking.new_password(),
            made=not password,
            tls=self._tls(account),
            relay=self._relay(),
            scanners=self._scanners(),
            ports=Ports(asking.bind(said["bind"]), said["port_offset"]),
            data=said["data"].absolute() if said["data"] else asking.usual_data(folder),
            user=asking.own_user() if said["user"] is None else said["user"],
            addresses=said["addresses"] or _seen_addresses(),
            trust_loopback=not asking.in_container(),
        )

    def _ask(self, key: str, question: str, default: str, check: Any) -> Any:
        given = self._said[key]
        if isinstance(given, tuple) and given:
            return tuple(dict.fromkeys(map(asking.domain, given)))
        if given:
            return check(given)
        try:
            return asking.ask(question, default, check, silent=self._silent)
        except ValueError as error:
            raise ValueError(f"--{key.removesuffix('s').replace('_', '-')}: {error}") from error

    def _password(self) -> str:
        """Empty: one is to be made."""
        if self._said["password_stdin"]:
            return sys.stdin.readline().rstrip("\r\n")
        if self._silent:
            return ""
        return str(
            click.prompt(
                "Its password (empty: one is made)", default="", show_default=False, hide_input=True,
                confirmation_prompt="The same again",
            )
        )  # fmt: skip

    def _tls(self, account: str) -> Tls:
        said = self._said
        usual = "files" if said["certificate"] else "acme"
        kind = said["kind"] or (usual if self._silent else _chosen("TLS certificate", _KINDS, usual))
        if kind == "self-signed":
            return SelfSigned()
        if kind == "acme":
            return Acme(said["acme_email"] or asking.ask("Where the authority may write to", account, str,
                                                         silent=self._silent))  # fmt: skip
        return Files(
            self._ask("certificate", "File of the certificate (PEM)", "", asking.file),
            self._ask("key", "File of its private key (PEM)", "", asking.file),
        )

    def _relay(self) -> Relay | None:
        said = self._said
        place = self._ask("relay_host", "Server that takes what goes out, HOST:PORT", "direct", asking.relay)
        if place is None:
            return None
        host, port = place
        login = said["relay_login"] or asking.ask("Our name there (- for none)", "-", str, silent=self._silent)
        if login == "-":
            return Relay(host, port)
        if said["relay_password_file"]:
            password = asking.file(said["relay_password_file"]).read_text().splitlines()[0]
        elif self._silent:
            raise ValueError("--relay-login: say --relay-password-file too")
        else:
            password = click.prompt("Our password there", hide_input=True)
        return Relay(host, port, login, password)

    def _scanners(self) -> dict[str, str]:
        found = asking.found_scanners()
        kind = self._said["scanner"]
        usual = "rspamd" if "rspamd" in found else "own"
        if kind is None:
            kinds = ("own", "rspamd", "none") if "rspamd" in found else ("own", "none")
            kind = usual if self._silent else _chosen("Who looks for spam", kinds, usual)
        if kind == "none":
            return {}
        judge = {"spam": ""} if kind == "own" else {"rspamd": found.get("rspamd", "")}
        return judge | {name: place for name, place in found.items() if name == "clamav"}


def _chosen(question: str, kinds: tuple[str, ...], usual: str) -> str:
    return str(click.prompt(question, type=click.Choice(kinds), default=usual))


def _summary(folder: Path, answers: Answers) -> None:
    kind = {Acme: "got and renewed by ACME", SelfSigned: "made now; nobody trusts it"}
    certificate = kind.get(type(answers.tls)) or getattr(answers.tls, "certificate", "")
    click.echo(f"\n  folder       {folder.absolute()}")
    click.echo(f"  host         {answers.hostname}")
    click.echo(f"  domains      {', '.join(answers.domains)}")
    click.echo(f"  account      {answers.account}")
    click.echo(f"  certificate  {certificate}")
    click.echo(f"  goes out     {f'by {answers.relay.host}:{answers.relay.port}' if answers.relay else 'directly'}")
    click.echo(f"  scanners     {', '.join(answers.scanners) or 'none'}\n")


def _farewell(folder: Path, answers: Answers, records: str) -> None:
    config = shlex.quote(str(folder / "pipeline.toml"))
    click.echo(visible(f"Wrote {folder / 'pipeline.toml'}, DKIM keys and the account {answers.account}."))
    if answers.made:
        click.echo(f"Its password, which is written nowhere else: {answers.password}")
    click.echo(f"\nPublish these in the DNS; they are in {folder / 'dns-records.txt'} too:\n")
    click.echo(records)
    for hint in _hints(answers):
        click.echo(hint)
    by_unit = folder.absolute() == Path("/etc/postroad") and Path("/run/systemd/system").is_dir()
    by_unit = by_unit and any(path.exists() for path in _UNITS)
    click.echo("Then:\n")
    click.echo(f"  postroad -c {config} check")
    click.echo("  systemctl enable --now postroad" if by_unit else f"  postroad -c {config} run")
    click.echo(f"  postroad -c {config} doctor")


def _hints(answers: Answers) -> Iterator[str]:
    root = os.geteuid() == 0
    if root and not answers.user:
        yield "There is no user postroad, so the server would run as root: make one, and name it in [server] user."
    if not root and not answers.ports.offset:
        yield "Ports below 1024 are for root, or for a unit of systemd; --port-offset 2000 makes a trial without."


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does: nothing half is left."""

    def end(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
