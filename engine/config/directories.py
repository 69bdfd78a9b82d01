"""`[directory.ldap]` and `[directory.postgresql]`: where people are kept but in our own store."""

import dataclasses
import re
from pathlib import Path

from engine.config.document import Document
from engine.config.errors import nearest
from engine.config.files import check_readable
from engine.config.names import is_loopback
from engine.config.tables import DIRECTORIES, NOWHERE, Elsewhere, Ldap, Postgresql
from engine.protocols.ldap_filter import BadFilter, parse_filter


def read_directory(document: Document) -> Elsewhere | None:
    tables = document.table("directory")
    for name in tables:
        if name not in DIRECTORIES:
            document.problem(f"directory.{name}", f"unknown table{nearest(name, DIRECTORIES)}")
    named = [name for name in DIRECTORIES if name in tables]
    if len(named) > 1:
        text = f"there is one directory, and [directory.{named[0]}] names another"
        document.problem(f"directory.{named[1]}", text)
    if not named:
        return None
    place = f"directory.{named[0]}"
    table = document.table(named[0], tables, place)
    found: Elsewhere = document.section(place, DIRECTORIES[named[0]], table)
    _check(document, place, found)
    return found


def _check(document: Document, place: str, found: Elsewhere) -> None:
    for name, least in (("connections", 1), ("cache", 0)):
        if getattr(found, name) < least:
            document.problem(f"{place}.{name}", f"must be at least {least}")
    if found.timeout <= 0:
        document.problem(f"{place}.timeout", "must be more than nothing")
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", found.postmaster):
        document.problem(f"{place}.postmaster", f'{found.postmaster!r} is no address; write it like "ann@example.org"')
    for key in dataclasses.fields(found):
        if isinstance(path := getattr(found, key.name), Path) and path != NOWHERE:
            check_readable(document, f"{place}.{key.name}", path)
    if isinstance(found, Ldap):
        _check_ldap(document, place, found)
    if isinstance(found, Postgresql):
        _check_postgresql(document, place, found)


def _check_ldap(document: Document, place: str, ldap: Ldap) -> None:
    if not ldap.servers:
        document.problem(f"{place}.servers", 'must name at least one, such as "ldaps://ldap.example.org"')
    for server in ldap.servers:
        try:
            scheme, host, _ = ldap.place(server)
        except ValueError as error:
            document.problem(f"{place}.servers", str(error))
            continue
        if scheme == "ldap" and not ldap.starttls and not is_loopback(host):
            document.problem(f"{place}.starttls", f"must be true for {server}: passwords would travel in the clear")
    if bool(ldap.bind_dn) != bool(ldap.bind_password_file):
        document.problem(f"{place}.bind_dn", "goes together with bind_password_file")
    for name in ("account_filter", "group_filter"):
        text = getattr(ldap, name)
        try:
            parse_filter(text or "(a=*)")
        except BadFilter as error:
            document.problem(f"{place}.{name}", str(error))
        if text and "{address}" not in text and "{local}" not in text:
            document.problem(f"{place}.{name}", "must ask for {address}, or for {local} and {domain}")


def _check_postgresql(document: Document, place: str, postgresql: Postgresql) -> None:
    for name, parameter in (("account_query", "address"), ("alias_query", "address"), ("domain_query", "domain")):
        text = getattr(postgresql, name)
        if (text or name == "account_query") and not re.search(rf"%\((?:local|{parameter})\)s", text):
            document.problem(f"{place}.{name}", f"must ask for %({parameter})s")
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        document.problem(place, "needs the package psycopg: pip install 'postroad[postgresql]'")
        return
    try:
        parts = conninfo_to_dict(postgresql.database)
    except ProgrammingError as error:
        document.problem(f"{place}.database", " ".join(str(error).split()))
        return
    hosts = str(parts.get("host") or parts.get("hostaddr") or "/").split(",")
    here = all(host.startswith(("/", "@")) or is_loopback(host) for host in hosts)
    if not here and parts.get("sslmode") not in ("verify-full", "verify-ca"):
        document.problem(f"{place}.database", "goes to another machine: say sslmode=verify-full")
