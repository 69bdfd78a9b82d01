"""`[tls]` and `[acme]`: the certificates that there are, and those that an authority is asked for."""

import dataclasses

from engine.config.document import Document
from engine.config.files import check_readable
from engine.config.listeners import CHALLENGES
from engine.config.names import a_label
from engine.config.tables import NOWHERE, Acme, Tls

_PORTS = {"http-01": 80, "tls-alpn-01": 443}
"""Where an authority asks (RFC 8555 8.3, RFC 8737 3)."""


def read_tls(document: Document) -> Tls | None:
    if "tls" not in document.tables:
        return Tls() if "acme" in document.tables else None
    tls: Tls = document.section("tls", Tls)
    given = document.table("tls")
    for one, other in (("certificate", "key"), ("key", "certificate")):
        if one in given and other not in given:
            document.problem(f"tls.{other}", "is required")
    if not given.keys() & {"certificate", "key", "folder"} and "acme" not in document.tables:
        document.problem("tls", 'names nothing; write certificate = "…" and key = "…", or folder = "…"')
    for key in ("certificate", "key", "folder", "client_ca"):
        if (path := getattr(tls, key)) != NOWHERE:
            check_readable(document, f"tls.{key}", path)
    return tls


def read_acme(document: Document) -> Acme | None:
    if "acme" not in document.tables:
        return None
    acme: Acme = document.section("acme", Acme)
    if acme.challenge == "dns-01":
        if not acme.hook:
            document.problem(
                "acme.hook", 'is required for dns-01: the command that sets a record, such as ["/etc/dns-hook"]'
            )
    elif (listener := CHALLENGES[acme.challenge]) not in document.table("listen"):
        port = _PORTS[acme.challenge]
        document.problem("acme.challenge", f'is answered by a listener: write [listen] {listener} = "*:{port}"')
    if not acme.directory.startswith("https://"):
        document.problem("acme.directory", "must begin with https:// (RFC 8555 6.1)")
    return dataclasses.replace(acme, domains=tuple(_names(document, acme)))


def _names(document: Document, acme: Acme) -> list[str]:
    names = []
    for domain in acme.domains:
        bare = domain.removeprefix("*.")
        try:
            names.append(domain.removesuffix(bare) + a_label(bare))
        except ValueError as error:
            document.problem("acme.domains", str(error))
        if domain.startswith("*.") and acme.challenge != "dns-01":
            document.problem("acme.domains", f'{domain}: wildcards are proven by challenge = "dns-01" alone')
    return names
