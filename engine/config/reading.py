"""Reading `pipeline.toml`: once, strictly, into typed values, with every mistake reported at once."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.config.certificates import read_acme, read_tls
from engine.config.checks import CHECKS, check_quarantine, read_classes, read_languages
from engine.config.directories import read_directory
from engine.config.document import Document
from engine.config.egress import Egress, check_pool_name, read_egress
from engine.config.errors import ConfigError, Problem, nearest
from engine.config.lanes import check_lanes, read_lanes
from engine.config.listeners import check_listeners, read_listeners
from engine.config.names import check_address
from engine.config.open import read_open
from engine.config.outcomes import read_suppression, read_webhooks
from engine.config.oversight import read_journals, read_retention
from engine.config.shaping import read_rules
from engine.config.sign_in import read_providers
from engine.config.smart_hosts import read_smart_hosts
from engine.config.stages import read_stages
from engine.config.tables import BASIC, NAMED, OPTIONAL, SECTIONS, Basis, Config, Quarantine, Reports, Stage, Web
from engine.config.tenants import read_tenants
from engine.lanes import QUEUE, Lane, Placing, plan

_ACTED_ON = ("reports", "srs", "batv", "verp", "egress", "tenant", "smart_host", "suppression", "journal")
"""Tables that say what some stage is to do."""


def load(path: Path) -> Config:
    """Read the file. ConfigError with every mistake."""
    return parse(_text(path), path)


def load_basis(path: Path) -> Basis:
    """Read of the file what no stage is needed for. ConfigError with every mistake of the whole, if one is in that."""
    document = Document(_text(path), path)
    basis = _basis(document)
    if document.problems:
        load(path)
        raise ConfigError(path, document.problems)  # somebody has mended the file meanwhile
    return Basis(path=document.path, **basis)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = (
            "; start in the folder that holds pipeline.toml, or say --config FILE"
            if isinstance(error, FileNotFoundError)
            else ""
        )
        raise ConfigError(path, [Problem(0, "", f"{reason}{hint}")]) from error


def parse(text: str, path: Path, files: Mapping[str, str] | None = None) -> Config:
    """Read ``text`` as the file at ``path``, whose folder all relative paths start from. ConfigError.

    ``files``: texts of others that it names, by path; those that are not there are read.
    """
    document = Document(text, path, files)
    config = _read(document)
    if not document.problems:
        config = _planned(config)
        check_listeners(document, config)
    _check_served(document, config)
    if config.retention and config.directory is not None:
        document.problem("retention", "needs accounts that are kept here: of [directory] nobody can tell who there are")
    if document.problems:
        raise ConfigError(path, document.problems)
    return config


def _basis(document: Document) -> dict[str, Any]:
    """The fields of the basis, but for its path."""
    basis = {name: document.section(name, SECTIONS[name]) for name in BASIC}
    basis["shared"] = _optional(document, "shared")
    _check_sections(document, basis)
    return {**basis, "directory": read_directory(document)}


def _optional(document: Document, name: str) -> Any:
    return document.section(name, OPTIONAL[name]) if name in document.tables else None


def _check_sections(document: Document, sections: Mapping[str, Any]) -> None:
    for name, section in sections.items():
        if section is not None and name in CHECKS:
            CHECKS[name](document, section)


def _read(document: Document) -> Config:
    others = SECTIONS.keys() - {*BASIC, "web"}
    sections: dict[str, Any] = {name: document.section(name, SECTIONS[name]) for name in others}
    sections["web"] = _read_web(document)
    for name in ("oidc", "srs", "batv", "verp", "traces"):
        sections[name] = _optional(document, name)
    _check_sections(document, sections)
    sections |= _basis(document)
    lanes = read_lanes(document)
    stages = read_stages(document, lanes)
    _check_tables(document, stages)
    check_lanes(document, lanes, stages)
    listening = read_listeners(document)
    egress, smart_hosts = read_egress(document), read_smart_hosts(document)
    _check_pools(document, stages, egress)
    classes = read_classes(document, sections["bounces"])
    return Config(
        path=document.path,
        text=document.text,
        listen=listening.ports,
        sockets=listening.sockets,
        proxied=listening.proxied,
        tls=read_tls(document),
        acme=read_acme(document),
        open=read_open(document),
        reports=_read_reports(document, lanes),
        quarantine=_read_quarantine(document, lanes),
        languages=read_languages(document, sections["delivery_reports"]),
        egress=egress,
        retention=read_retention(document),
        journals=read_journals(document),
        tenants=read_tenants(document, egress, smart_hosts),
        smart_hosts=smart_hosts,
        webhooks=read_webhooks(document, classes),
        suppression=read_suppression(document, classes),
        rules=read_rules(document, sections["shaping"], classes),
        files=document.files,
        lanes=lanes,
        stages=stages,
        **sections,
    )


def _read_web(document: Document) -> Web:
    table = document.table("web")
    web: Web = document.section("web", Web, {key: value for key, value in table.items() if key != "oidc"})
    return dataclasses.replace(web, oidc=read_providers(document, document.table("oidc", table, "web.oidc")))


def _read_reports(document: Document, lanes: Iterable[Lane]) -> Reports | None:
    if "reports" not in document.tables:
        return None
    reports: Reports = document.section("reports", Reports)
    check_address(document, "reports.email", reports.email)
    return dataclasses.replace(reports, lane=_lane(document, "reports.lane", reports.lane, lanes))


def _read_quarantine(document: Document, lanes: Iterable[Lane]) -> Quarantine | None:
    if "quarantine" not in document.tables:
        return None
    quarantine: Quarantine = document.section("quarantine", Quarantine)
    check_quarantine(document, quarantine)
    return dataclasses.replace(quarantine, lane=_lane(document, "quarantine.lane", quarantine.lane, lanes))


def _lane(document: Document, key: str, lane: str, lanes: Iterable[Lane]) -> str:
    """The lane that our own mail begins in."""
    queued = [one.name for one in lanes if QUEUE in one.stages]
    if lane and lane not in queued:
        document.problem(key, f"no lane {lane} has a `queue`{nearest(lane, queued)}")
    return lane or ("outbound" if "outbound" in queued else next(iter(queued), ""))


def _check_pools(document: Document, stages: Mapping[str, Stage], egress: Egress) -> None:
    for name, stage in stages.items():
        if "egress" in stage.spec.acts_on:
            check_pool_name(document, f"stage.{name}.pool", stage.settings.get("pool", ""), egress)


def _check_tables(document: Document, stages: Mapping[str, Stage]) -> None:
    theirs = {table for stage in stages.values() for table in stage.spec.tables}
    known = {
        *SECTIONS, *OPTIONAL, *NAMED, "listen", "directory", "webhook", "suppression", "lane", "stage", *theirs
    }  # fmt: skip
    # A stage that was not found may know the table.
    unsure = document.has_problem("lane") or document.has_problem("stage")
    for name in document.tables:
        hint = nearest(name, known)
        if name not in known and ("did you mean" in hint or not unsure):
            document.problem(name, f"unknown table{hint}")


def _planned(config: Config) -> Config:
    """With the courses of its lanes."""
    placing = {
        name: Placing(
            stage.place,
            stage.spec.source,
            stage.spec.effect,
            stage.spec.partition,
            stage.spec.listens,
            stage.spec.straight,
        )
        for name, stage in config.stages.items()
    }
    return dataclasses.replace(config, courses=plan(config.lanes, placing))


def _check_served(document: Document, config: Config) -> None:
    """Find tables that say what a stage is to do which stands in no lane."""
    names = {name for lane in config.lanes for name in lane.stages} - {QUEUE}
    if not names <= config.stages.keys():
        return  # one that could not be loaded may be the one
    served = {table for name in names for table in config.stages[name].spec.acts_on}
    for table in _ACTED_ON:
        if table in document.tables and table not in served:
            document.problem(table, "no lane has a stage that does what it says; see this table in docs/pipeline.md")
