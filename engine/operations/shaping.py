"""How mail leaves for a destination, and which rule says so; what is done, for a time, about mail for a site."""

import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from engine.config import Config
from engine.config.rules import PAUSE, VALUES
from engine.net.dns import Answer, Ask, DnsTrouble, NoSuchName, a_labels
from engine.net.targets import host_and_port
from engine.operations.impossible import Impossible, Missing
from engine.operations.operator import Operator
from engine.shaping.actions import Action, ActionStore
from engine.shaping.shape import Shape, Together, providers_of, shaped
from engine.shaping.shaping import Shaping

BY_HAND = "by hand"
"""What has led to an action that an operator sets."""

_NOTHING = inspect.Parameter.empty


class Explained(NamedTuple):
    """How mail leaves for a domain: each value with the rule that gives it, and where that is written."""

    domain: str
    hosts: list[str]
    providers: list[str]
    source: str
    values: list[dict[str, Any]]  # name, value, rule, place


async def explained(config: Config, domain: str, mx: Sequence[str], source: str, ask: Ask) -> Explained:
    """As for mail that leaves from ``source``. ``mx``: its hosts, in place of a look into the DNS. ValueError for what
    is no domain, Impossible."""
    domain = a_labels(domain).rstrip(".")
    hosts = [host.rstrip(".").lower() for host in mx] or await _hosts(config, domain, ask)
    rows = _rows(config, shaped(config.rules, domain, hosts, source))
    return Explained(domain, hosts, providers_of(config.rules, domain, hosts), source, rows)


def suspension(site: str, lasts: float, *, source: str = "", tenant: str = "") -> Action:
    """Nothing is sent to a site for so many seconds: its name, or a pattern of its hosts or of domains. ValueError."""
    if not site.strip() or site.count("*") > 3:
        raise ValueError(f"{site!r} is no site")
    return Action.new(BY_HAND, "suspend", site.lower(), time.time(), lasts, source=source, tenant=tenant)


def actions(store: ActionStore, by: Operator) -> list[Action]:
    """What is done, for a time, about sites; the newest first. Blocks. StorageError."""
    by.check_all()
    return store.all()[::-1]


def suspend(store: ActionStore, by: Operator, action: Action) -> None:
    """Put one in force that `suspension` has made. Blocks. StorageError."""
    by.check_all()
    store.put(action)
    by.tell("site-suspended", id=action.id, site=action.site, until=action.until)


def lift(store: ActionStore, by: Operator, identity: str) -> Action | None:
    """End one at once; it, if it was in force. Blocks. StorageError."""
    by.check_all()
    gone = store.lift(identity)
    if gone is not None:
        by.tell("shaping-action-lifted", id=identity, site=gone.site)
    return gone


async def _hosts(config: Config, domain: str, ask: Ask) -> list[str]:
    """Who takes the mail of the domain. Impossible."""
    for stage in config.stages.values():
        if host := stage.settings.get("smart_host"):
            return [host_and_port(host, 25)[0]]

    outcome = await ask(domain, "MX")
    match outcome:
        case Answer():
            hosts = [record.host for record in sorted(outcome.records)]
            if hosts == ["."]:
                raise Impossible(f"{domain} does not accept mail (RFC 7505)")
            return hosts
        case NoSuchName():
            raise Missing(f"there is no domain {domain}; --mx HOST says who serves it")
        case DnsTrouble():
            raise Impossible(f"the DNS does not tell: {outcome.text}; --mx HOST says who serves {domain}")
    return [domain]  # RFC 5321 5.1


def _rows(config: Config, shape: Shape) -> list[dict[str, Any]]:
    """Each value: what a rule gives, else what is set for the stage, else its default."""
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


def _rows_together(together: Together) -> Iterator[dict[str, Any]]:
    """What a provider takes on all its sites."""
    for name, given in together.given.items():
        yield {"name": name, "value": _plain(given.value), "rule": str(given.rule), "place": str(given.place)}


def _of_the_stage(config: Config) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    """What is set for the stage that is shaped, what would be else, and where it is set."""
    for name, stage in config.stages.items():
        if Shaping in stage.spec.services.values():
            parameters = inspect.signature(stage.spec.target).parameters
            defaults = {key: parameters[key].default for key in stage.spec.settings}
            return stage.settings, {k: v for k, v in defaults.items() if v is not _NOTHING}, f"[stage.{name}]"
    return {}, {}, ""


def _plain(value: Any) -> Any:
    """As JSON has it: times in seconds, rates as they are written."""
    match value:
        case None | bool():
            return value
        case tuple() | list():
            return [_plain(one) for one in value]
        case float():
            return True if value == float("inf") else float(value)
        case int():
            return int(value)
    return str(value)
