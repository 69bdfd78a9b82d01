"""`[web.oidc.NAME]`: a provider (OpenID Connect) at which people sign in to the pages, and who they are here then."""

import dataclasses
import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.config.document import Document
from engine.config.egress import named
from engine.config.files import check_readable, check_secrets, secrets_in
from engine.config.names import a_label
from engine.units import Duration

EMAIL = "email"
"""The claim that counts only where the provider has verified it (OpenID Connect Core 5.1)."""

_ISSUER = re.compile(r"https://[^\s/?#@]+(/[^\s?#]*)?|http://(127\.0\.0\.1|\[::1\]|localhost)(:\d{1,5})?(/[^\s?#]*)?")
"""In the clear on this machine alone (OpenID Connect Core 2: no query, no fragment)."""

_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""A scope (RFC 6749 3.3)."""

_ROLE = re.compile(r"owner|auditor|(administrator|helpdesk)@[^\s@]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProvider:
    """One provider. Its redirect URI is ORIGIN/sign-in/with/NAME/back."""

    issuer: str
    client_id: str  # what it knows us by
    label: str = ""  # what people read on the button; empty: the name of the table
    client_secret_file: Path | None = None  # read each time that it is shown
    client_secret_env: str = ""  # the variable that has it; neither: we are a public client (RFC 6749 2.1)
    scopes: tuple[str, ...] = ("openid", "email")
    claim: str = EMAIL  # which says whose address it is
    domains: tuple[str, ...] = ()  # whose accounts it may let in; empty: all that are local
    create: bool = False  # whether somebody without an account gets one
    acr: tuple[str, ...] = ()  # asked for, the best first; each stands for the second factor
    amr: tuple[str, ...] = ()  # ways to prove who one is, each of which stands for the second factor
    groups_claim: str = "groups"
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by group
    lifetime: Duration = Duration("12h")  # of a session, after which the provider is asked anew
    trust: Path | None = None  # who vouches for its server, where the system does not

    def secret(self) -> str:
        """That of the client; empty: there is none. OSError."""
        if self.client_secret_env:
            if not (found := os.environ.get(self.client_secret_env, "")):
                raise OSError(errno.ENOENT, f"there is no variable {self.client_secret_env}")
            return found
        if self.client_secret_file is None:
            return ""
        return next(iter(secrets_in(self.client_secret_file)), b"").decode("utf-8", "replace")

    def roles_of(self, groups: tuple[str, ...]) -> tuple[str, ...]:
        """What the members of these may do."""
        return tuple(dict.fromkeys(role for group in groups for role in self.roles.get(group, ())))


def read_providers(document: Document, table: Mapping[str, object]) -> dict[str, OidcProvider]:
    """Those in ``table``, `[web.oidc]`. Mistakes are noted in the document."""
    found: dict[str, OidcProvider] = {}
    for name, provider in named(document, "web.oidc", table, OidcProvider):
        _check(document, f"web.oidc.{name}", provider)
        roles = {group: tuple(map(_normal, given)) for group, given in provider.roles.items()}
        found[name] = dataclasses.replace(provider, roles=roles)
    return found


def _normal(role: str) -> str:
    """A role as it compares: its domain as an A-label."""
    name, at, domain = role.partition("@")
    try:
        return f"{name}{at}{a_label(domain.lower())}" if at else name
    except ValueError:
        return role  # of which there is a mistake already


def _check(document: Document, place: str, provider: OidcProvider) -> None:
    if not _ISSUER.fullmatch(provider.issuer):
        document.problem(f"{place}.issuer", f'{provider.issuer!r} is no issuer; write it like "https://id.example.org"')
    if not provider.client_id:
        document.problem(f"{place}.client_id", "must be what the provider knows us by")
    if not provider.claim:
        document.problem(f"{place}.claim", "must name the claim that has the address")
    if provider.lifetime <= 0:
        document.problem(f"{place}.lifetime", "must be more than nothing")
    _check_secret(document, place, provider)
    _check_trust(document, place, provider)
    _check_scopes(document, place, provider)
    for domain in provider.domains:
        try:
            a_label(domain)
        except ValueError as error:
            document.problem(f"{place}.domains", str(error))
    for group, roles in provider.roles.items():
        for role in roles:
            if not _ROLE.fullmatch(role) or not _is_domain(role.partition("@")[2]):
                text = f'{role!r} is no role; write "owner", "auditor", "administrator@example.org", "helpdesk@…"'
                document.problem(f"{place}.roles.{group}", text)


def _is_domain(text: str) -> bool:
    try:
        return not text or bool(a_label(text))
    except ValueError:
        return False


def _check_secret(document: Document, place: str, provider: OidcProvider) -> None:
    if provider.client_secret_file is not None:
        check_secrets(document, f"{place}.client_secret_file", provider.client_secret_file)
        if provider.client_secret_env:
            document.problem(f"{place}.client_secret_env", "there is a client_secret_file too; write one of them")


def _check_trust(document: Document, place: str, provider: OidcProvider) -> None:
    if provider.trust is not None:
        check_readable(document, f"{place}.trust", provider.trust)


def _check_scopes(document: Document, place: str, provider: OidcProvider) -> None:
    if "openid" not in provider.scopes:
        document.problem(f"{place}.scopes", 'must have "openid" among them')
    for key in ("scopes", "acr"):
        for text in getattr(provider, key):
            if not _TOKEN.fullmatch(text):
                document.problem(f"{place}.{key}", f"{text!r} has characters that cannot be there")
