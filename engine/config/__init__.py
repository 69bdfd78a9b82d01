"""`pipeline.toml`: what it may say, and reading it.

``reading`` is the whole: it makes a ``document`` of the text and a value of each of its tables. ``tables`` are these
values; ``checks``, ``listeners``, ``certificates``, ``directories``, ``lanes`` and ``stages`` hold their rules.
"""

from engine.config.conversion import convert
from engine.config.egress import Egress, EgressPool, EgressSource, Family, WarmUp
from engine.config.errors import ConfigError, Problem, nearest
from engine.config.files import secrets_in
from engine.config.listeners import CHALLENGES, IMPLICIT_TLS, LISTENERS, READERS
from engine.config.reading import load, parse
from engine.config.smart_hosts import SmartHost
from engine.config.tables import (
    DIRECTORIES,
    NOWHERE,
    OPTIONAL,
    SECTIONS,
    Acme,
    Batv,
    Config,
    DeliveryReports,
    Dns,
    Domains,
    Elsewhere,
    Ldap,
    Login,
    Mailboxes,
    Oidc,
    Postgresql,
    ProxiedPort,
    Quarantine,
    Queue,
    Quota,
    Reports,
    Server,
    Shared,
    Sieve,
    Srs,
    Stage,
    Tls,
    UnixSocket,
    Verp,
)
from engine.config.tenants import Campaign, Tenant

__all__ = [
    "CHALLENGES",
    "DIRECTORIES",
    "IMPLICIT_TLS",
    "LISTENERS",
    "NOWHERE",
    "OPTIONAL",
    "READERS",
    "SECTIONS",
    "Acme",
    "Batv",
    "Campaign",
    "Config",
    "ConfigError",
    "DeliveryReports",
    "Dns",
    "Domains",
    "Egress",
    "EgressPool",
    "EgressSource",
    "Elsewhere",
    "Family",
    "Ldap",
    "Login",
    "Mailboxes",
    "Oidc",
    "Postgresql",
    "Problem",
    "ProxiedPort",
    "Quarantine",
    "Queue",
    "Quota",
    "Reports",
    "Server",
    "Shared",
    "Sieve",
    "SmartHost",
    "Srs",
    "Stage",
    "Tenant",
    "Tls",
    "UnixSocket",
    "Verp",
    "WarmUp",
    "convert",
    "load",
    "nearest",
    "parse",
    "secrets_in",
]
