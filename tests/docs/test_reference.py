"""docs/pipeline.md and the README name every key, setting, stage and command there is, with the default it has."""

import dataclasses
import inspect
import pkgutil
import re
import tomllib
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from doc_pages import ROOT, code, prose, rows, sections

import stages
from engine.cli import COMMANDS, main
from engine.config import (
    DIRECTORIES,
    LISTENERS,
    OPTIONAL,
    Campaign,
    EgressPool,
    EgressSource,
    Fill,
    Journal,
    OidcProvider,
    ProxiedPort,
    Retention,
    SmartHost,
    Stage,
    Tenant,
    UnixSocket,
    Webhook,
    convert,
)
from engine.config import SECTIONS as ALWAYS
from engine.config.stages import ENGINE_HINTS, ENGINE_KEYS
from engine.lanes import Lane
from engine.protocols.smtp_events import Hello
from engine.protocols.smtp_server import SmtpServer
from engine.stage import Spec, load_stage

PAGE = ROOT / "docs" / "pipeline.md"
SECTIONS = sections(PAGE)
OWN = sorted(module.name for module in pkgutil.iter_modules(stages.__path__))
NAMED: dict[str, type] = {
    "egress.source.NAME": EgressSource, "egress.pool.NAME": EgressPool, "tenant.NAME": Tenant,
    "tenant.NAME.campaign.NAME": Campaign, "smart_host.NAME": SmartHost,
    "retention.NAME": Retention, "journal.NAME": Journal,
    "web.oidc.NAME": OidcProvider,
}  # fmt: skip
TABLES = {**ALWAYS, **OPTIONAL, **{f"directory.{name}": kind for name, kind in DIRECTORIES.items()}, **NAMED}


def written(heading: str) -> dict[str, str]:
    """Key → the default that the page gives, of all rows below a heading."""
    assert heading in SECTIONS, f"{PAGE.name} has no section {heading}"
    return {
        key: cells[1] for cells in rows(SECTIONS[heading]) for key in re.findall(r"`(\w+)`", cells[0]) if len(cells) > 1
    }


def same(cell: str, default: Any, kind: Any) -> bool:
    """Whether the page's default is the code's."""
    if default in (inspect.Parameter.empty, dataclasses.MISSING):
        return cell == "*required*"
    if default is None:
        return cell == "—"
    if default == {} and cell == "*required*":  # which `check` says in better words than a missing key
        return True
    assert code(cell), f"{cell} is not in code"
    return bool(convert(tomllib.loads(f"value = {code(cell)}")["value"], kind) == default)


def settings(spec: Spec) -> Iterator[tuple[str, Any, Any]]:
    parameters = inspect.signature(spec.target).parameters
    return ((name, parameters[name].default, kind) for name, kind in spec.settings.items())


def test_the_stages_are_found() -> None:
    assert {"accept", "route", "enqueue", "resolve", "relay"} <= set(OWN)
    assert {"server", "domains", "dns", "queue", "mailboxes"} <= TABLES.keys()


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_key_of_a_table(table: str) -> None:
    kind = TABLES[table]
    hints = typing.get_type_hints(kind)
    for name in ("campaigns", "oidc"):
        hints.pop(name, None)  # tables of their own
    page = written(f"[{table}]")
    assert page.keys() == hints.keys()
    for field in dataclasses.fields(kind):
        if field.name not in hints:
            continue
        made = field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        assert same(page[field.name], default, hints[field.name]), f"[{table}] {field.name}"


@pytest.mark.parametrize("name", OWN)
def test_every_setting_of_a_stage(name: str) -> None:
    spec = load_stage(name, "", ROOT)
    page = written(f"[stage.{name}]")
    assert page.keys() == spec.settings.keys()
    for setting, default, kind in settings(spec):
        assert same(page[setting], default, kind), f"[stage.{name}] {setting}"
    for table in spec.tables:
        assert f"[[{table}]]" in SECTIONS


def test_every_key_of_a_route() -> None:
    spec = load_stage("route", "", ROOT)
    rule = typing.get_args(spec.settings["rules"])[0]
    assert written("[[route]]").keys() == set(rule.__struct_encode_fields__)


@pytest.mark.parametrize("tls", [False, True])
def test_every_extension_of_smtp(tls: bool) -> None:
    server = SmtpServer(
        hostname="mx.test", size_limit=1, recipients_limit=1, starttls=True, auth=("PLAIN",), tls_active=tls
    )
    server.greet()
    server.receive(b"EHLO client.test\r\n")
    assert isinstance(server.next_event(), Hello)
    _, _, *offered = server.outgoing().decode().splitlines()
    assert offered
    told = SECTIONS["[stage.accept]"].partition("|")[0]
    for line in offered:
        assert re.search(rf"\b{line[4:].split()[0]}\b", told), line


def test_every_listener() -> None:
    assert written("[listen]").keys() == set(LISTENERS)


def test_every_key_of_a_unix_socket() -> None:
    assert written("LMTP").keys() == {field.name for field in dataclasses.fields(UnixSocket)}


def test_every_key_of_a_listener_behind_a_proxy() -> None:
    assert written("Listeners behind a proxy").keys() == {field.name for field in dataclasses.fields(ProxiedPort)}


def test_every_key_of_a_lane() -> None:
    assert written("[lane.NAME]").keys() == {field.name for field in dataclasses.fields(Lane)} - {"name"}


@pytest.mark.parametrize(("table", "kind"), [("webhook.NAME", Webhook), ("suppression.CLASS", Fill)])
def test_every_key_of_tables_that_have_names(table: str, kind: type) -> None:
    hints = typing.get_type_hints(kind)
    page = written(f"[{table}]")
    assert page.keys() == hints.keys() - {"name"}
    for field in dataclasses.fields(kind):
        assert field.name == "name" or same(page[field.name], field.default, hints[field.name]), field.name


def test_the_engines_keys_of_any_stage() -> None:
    page = written("[stage.NAME]")
    assert page.keys() == set(ENGINE_KEYS)
    fields = {field.name: field for field in dataclasses.fields(Stage)}
    for key, kind in ENGINE_HINTS.items():
        if key != "when":
            assert same(page[key], fields[key].default, kind), key


def test_no_section_for_what_is_not_there() -> None:
    known = {f"[{table}]" for table in TABLES} | {f"[stage.{name}]" for name in OWN}
    known |= {"[listen]", "[lane.NAME]", "[stage.NAME]", "[webhook.NAME]", "[suppression]", "[suppression.CLASS]"} | {
        f"[[{table}]]" for name in OWN for table in load_stage(name, "", ROOT).tables
    }
    assert {heading for heading in SECTIONS if heading.startswith("[")} == known


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_in_the_readme(command: str) -> None:
    told = {code(cells[0]): cells[1] for cells in rows(sections(ROOT / "README.md")["Commands"])}
    assert f"postroad {command}" in told
    found = main.get_command(None, command)  # type: ignore[arg-type]
    for sub in getattr(found, "commands", {}):
        assert f"`{sub}`" in told[f"postroad {command}"], f"postroad {command} {sub}"


def test_pages_name_no_command_that_is_not_there() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"`postroad ([a-z]+)", prose(page)):
            assert name in COMMANDS, f"{page.name}: postroad {name}"
