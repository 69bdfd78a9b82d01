"""`pipeline.toml`: what it may say, and reading it.

``reading`` is the whole: it makes a ``document`` of the text and a value of each of its tables. ``tables`` are these
values; ``checks``, ``listeners``, ``certificates``, ``directories``, ``lanes`` and ``stages`` hold their
rules. ``shaping`` reads the ``rules`` of another file, that it names.
"""

from engine.config.advice import advice, noted
from engine.config.conversion import convert
from engine.config.egress import Egress, EgressPool, EgressSource, Family, WarmUp
from engine.config.errors import ConfigError, Problem, nearest
from engine.config.files import secrets_in
from engine.config.listeners import CHALLENGES, IMPLICIT_TLS, LISTENERS, READERS
from engine.config.reading import load, parse
from engine.config.rules import Place, Provider, Rule, Rules
from engine.config.smart_hosts import SmartHost
from engine.config.tables import (
    DIRECTORIES,
    NOWHERE,
    OPTIONAL,
    SECTIONS,
    Acme,
    Batv,
    Bounces,
    Config,
    DeliveryReports,
    Dns,
    Domains,
    Elsewhere,
    Fill,
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
    Shaping,
    Shared,
    Sieve,
    Srs,
    Stage,
    Tls,
    UnixSocket,
    Verp,
    Webhook,
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
    "Bounces",
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
    "Fill",
    "Ldap",
    "Login",
    "Mailboxes",
    "Oidc",
    "Place",
    "Postgresql",
    "Problem",
    "Provider",
    "ProxiedPort",
    "Quarantine",
    "Queue",
    "Quota",
    "Reports",
    "Rule",
    "Rules",
    "Server",
    "Shaping",
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
    "Webhook",
    "advice",
    "convert",
    "load",
    "nearest",
    "noted",
    "parse",
    "secrets_in",
]
