"""`postroad shaping`: how mail leaves for a destination, and which rule says so."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from engine.cli import tables
from engine.cli.asking import answered
from engine.cli.configured import config_option, configuration
from engine.cli.errors import Refused, Unusable
from engine.cli.shaping_actions import actions, lift, suspend
from engine.config import Config
from engine.units import spelled

if TYPE_CHECKING:
    from engine.net.dns import Ask
    from engine.shaping.shape import Shape, Together

_NOTHING = inspect.Parameter.empty


@click.group()
def shaping() -> None:
    """Shaping: how much mail goes to which sites, and in what manner."""


for command in (actions, lift, suspend):
    shaping.add_command(command)


@shaping.command()
@click.argument("domain")
@click.option("--source", metavar="NAME", default="", help="As for mail that leaves from this source.")
@click.option("--mx", multiple=True, metavar="HOST", help="The domain's mail host, in place of a look into the DNS.")
@click.option("--dns", metavar="HOST:PORT", help="The DNS server to ask; else, those of [dns].")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def explain(
    ctx: click.Context, domain: str, *, source: str, mx: tuple[str, ...], dns: str | None, as_json: bool
) -> None:
    """Tell each value that holds for mail to DOMAIN, and the rule that gives it, with its file and line."""
    from engine.net.dns import a_labels
    from engine.shaping.shape import providers_of, shaped

    config = configuration(ctx)
    try:
        domain = a_labels(domain).rstrip(".")
    except ValueError as error:
        raise Unusable(str(error)) from error
    hosts = [host.rstrip(".").lower() for host in mx] or _hosts(config, domain, dns)
    rows = _rows(config, shaped(config.rules, domain, hosts, source))
    providers = providers_of(config.rules, domain, hosts)
    if as_json:
        tables.show_json({"domain": domain, "hosts": hosts, "providers": providers, "source": source, "values": rows})
        return
    told = f"; provider: {', '.join(providers)}" if providers else ""
    click.echo(f"{domain}, by {', '.join(hosts)}{told}")
    shown = [{**row, "value": _spelled(row["name"], row["value"])} for row in rows]
    tables.show(shown, ("name", "value", "rule", "place"), as_json=False)


def _hosts(config: Config, domain: str, dns: str | None) -> list[str]:
    """Who takes the mail of the domain."""
    from engine.net.dns import Answer, DnsTrouble, NoSuchName
    from engine.net.targets import host_and_port

    for stage in config.stages.values():
        if host := stage.settings.get("smart_host"):
            return [host_and_port(host, 25)[0]]

    async def asked(ask: "Ask") -> object:
        return await ask(domain, "MX")

    outcome = answered(dns, asked, config.dns.servers)
    match outcome:
        case Answer():
            hosts = [record.host for record in sorted(outcome.records)]
            if hosts == ["."]:
                raise Refused(f"{domain} does not accept mail (RFC 7505)")
            return hosts
        case NoSuchName():
            raise Refused(f"there is no domain {domain}; --mx HOST says who serves it")
        case DnsTrouble():
            raise Refused(f"the DNS does not tell: {outcome.text}; --mx HOST says who serves {domain}")
    return [domain]  # RFC 5321 5.1


def _rows(config: Config, shape: "Shape") -> list[dict[str, Any]]:
    """Each value: what a rule gives, else what is set for the stage, else its default."""
    from engine.config.rules import PAUSE, VALUES

    set_, defaults, place = _of_the_stage(config)
    rows = []
    for name in (*VALUES, PAUSE):
        if given := shape.given.get(name):
            row = {"value": _plain(given.value), "rule": str(given.rule), "place": str(given.place)}
        elif name in set_:
            row = {"value": _plain(set_[name]), "rule": place, "place": str(config.path)}
        else:
            default = defaults.get(name, getattr(shape, name))
            row = {"value": _plain(default), "rule": "default", "place": ""}
        rows.append({"name": name, **row})
    return [*rows, *(row for one in shape.together for row in _rows_together(one))]


def _rows_together(together: "Together") -> Iterator[dict[str, Any]]:
    """What a provider takes on all its sites."""
    for name, given in together.given.items():
        yield {"name": name, "value": _plain(given.value), "rule": str(given.rule), "place": str(given.place)}


def _of_the_stage(config: Config) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    """What is set for the stage that is shaped, what would be else, and where it is set."""
    from engine.shaping.shaping import Shaping

    for name, stage in config.stages.items():
        if Shaping in stage.spec.services.values():
            parameters = inspect.signature(stage.spec.target).parameters
            defaults = {key: parameters[key].default for key in stage.spec.settings}
            return stage.settings, {k: v for k, v in defaults.items() if v is not _NOTHING}, f"[stage.{name}]"
    return {}, {}, ""


def _plain(value: Any) -> Any:
    """As JSON has it: times in seconds, rates as they are written."""
    if isinstance(value, float) and value == float("inf"):
        return True
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _spelled(name: str, value: Any) -> str:
    """For people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_spelled(name, one) for one in value) or "-"
    if name == "pause":
        return f"until {tables.timestamp(value)}" if value else "no"
    if isinstance(value, float):
        return spelled(value)
    return str(value) if value not in (None, "") else "-"
