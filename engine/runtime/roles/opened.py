"""What pipeline.toml names, opened; what cannot be is told as a mistake in it."""

from engine.abuse.valkey import Valkey
from engine.bounces import BadPatterns, Classifier, classifier
from engine.config import NOWHERE, Config, ConfigError, Problem
from engine.directory import Directory, Invalid, open_directory, valid_domain
from engine.egress import Plan, Unusable
from engine.net.dns import Resolver
from engine.observe.events import event
from engine.return_path import ReturnPaths
from engine.spam.controller import Controller


def directory_of(config: Config) -> Directory:
    """The directory that the configuration names, open. ConfigError for files that cannot be used; Unavailable."""
    try:
        return open_directory(config)
    except (Invalid, OSError) as error:
        raise ConfigError(config.path, [Problem(0, "[directory]", str(error))]) from error


def resolver_of(config: Config) -> Resolver:
    try:
        return Resolver(config.dns.servers, timeout=config.dns.timeout)
    except ValueError as error:
        raise ConfigError(config.path, [Problem(0, "[dns] servers", str(error))]) from error


def return_paths_of(config: Config) -> ReturnPaths:
    try:
        return ReturnPaths.of(config)
    except OSError as error:
        text = f"cannot read {error.filename}: {error.strerror}"
        raise ConfigError(config.path, [Problem(0, "secret_file", text)]) from error


def plan_of(config: Config) -> Plan:
    try:
        return Plan.of(config)
    except Unusable as error:
        section, _, key = error.place.rpartition(".")
        raise ConfigError(config.path, [Problem(0, f"[{section}] {key}", str(error))]) from error


def shared_of(config: Config, opened: Valkey | None) -> Valkey | None:
    """What is open already, if it is the same."""
    if config.shared is None or (opened is not None and opened.settings == config.shared):
        return opened if config.shared else None
    try:
        return Valkey(config.shared)
    except OSError as error:
        text = f"cannot read {error.filename}: {error.strerror}"
        raise ConfigError(config.path, [Problem(0, "[shared] password_file", text)]) from error


def controller_of(config: Config) -> Controller | None:
    """That of rspamd, if it is to learn what people say is spam."""
    url = config.mailboxes.rspamd_controller
    return Controller(url, config.mailboxes.rspamd_password_file) if url else None


def check_local_domains(config: Config) -> tuple[str, ...]:
    try:
        return tuple(map(valid_domain, config.domains.local))
    except Invalid as error:
        raise ConfigError(config.path, [Problem(0, "[domains] local", str(error))]) from error


def classifier_of(config: Config) -> Classifier | None:
    """What gives replies their class; None: the file was changed since it was checked, and the old one goes on."""
    patterns = config.bounces.patterns
    try:
        return classifier(patterns if patterns != NOWHERE else None)
    except (BadPatterns, OSError) as error:
        event("bounces-not-noted", why=f"the old patterns stay: {error}")
        return None
