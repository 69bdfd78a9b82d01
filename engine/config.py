"""Reading `pipeline.toml`: once, strictly, into typed values, with every mistake reported at once."""

import abc
import dataclasses
import difflib
import importlib.util
import ipaddress
import os
import re
import tomllib
import typing
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import idna
import msgspec

from engine.condition import Condition, parse_condition
from engine.lanes import MAIL, QUEUE, Course, Lane, Placing, plan
from engine.protocols.ldap_filter import BadFilter, parse_filter
from engine.protocols.sasl import MECHANISMS
from engine.stage import Spec, StageError, load_stage
from engine.units import Duration, Rate, Size

IMPLICIT_TLS = ("submissions", "pop3s", "imaps")
"""Listeners whose connections begin with the TLS handshake (RFC 8314)."""

NOWHERE = Path()
"""Stands for a path that was not given."""

SHORTEST_HANG = 3.0
"""Seconds: a worker may be held up for a moment without being lost."""

NO_LIMIT = Duration(float("inf"))
READERS = ("pop3", "pop3s", "imap", "imaps", "managesieve")
"""Listeners that the engine itself serves: the mailboxes' readers. All others belong to stages."""

CHALLENGES = {"http-01": "acme_http", "tls-alpn-01": "acme_tls"}
"""How an ACME authority finds out whose a name is, and the listener that answers it."""

LISTENERS = ("smtp", "submission", "submissions", "lmtp", *READERS, "web", *CHALLENGES.values())


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, what it is, and what to do."""

    line: int  # 0: the file as a whole
    place: str  # "[stage.accept] max_size"
    text: str


class ConfigError(Exception):
    """`pipeline.toml` cannot be used. ``problems`` holds every mistake that was found."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join(
            f"{self.path}{f':{problem.line}' if problem.line else ''}: "
            f"{f'{problem.place}: ' if problem.place else ''}{problem.text}"
            for problem in self.problems
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    hostname: str  # how we greet, and what our Received fields say; the name that our address has in DNS
    data: Path = Path("var")
    workers: int = 0  # mail workers, each with a shard of the queue; 0: one a core
    user: str = ""  # who to become once the ports are bound, when started as root
    hang: Duration = Duration("30s")  # without a sign of life, after which a worker is killed and replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Domains:
    local: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    certificate: Path = NOWHERE  # the default, with its key; without them what is in the folder must do
    key: Path = NOWHERE
    folder: Path = NOWHERE  # NAME/fullchain.pem and NAME/privkey.pem, chosen by the name that a client asks for
    client_ca: Path = NOWHERE  # authorities of the certificates by which people log in


@dataclass(frozen=True, slots=True, kw_only=True)
class Acme:
    domains: tuple[str, ...] = ()  # each gets a certificate of its own
    email: str = ""  # where the authority writes to
    directory: str = "https://acme-v02.api.letsencrypt.org/directory"  # Let's Encrypt: free, and trusted by all
    challenge: typing.Literal["http-01", "tls-alpn-01", "dns-01"] = "http-01"
    hook: tuple[str, ...] = ()  # the command that sets and removes DNS records for dns-01
    trust: Path = NOWHERE  # who vouches for the authority's own server, where the system does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    servers: tuple[str, ...] = ()
    timeout: Duration = Duration("5s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    inline: Size = Size("128 KiB")  # content up to this size lives in LMDB, larger content in a file of its own
    reserve: Size = Size("256 MB")  # free disk space below which no new mail is taken (RFC 5321 4.2.3: 452)
    map_size: Size = Size("64 GiB")  # address space of a shard: the largest it can grow to
    in_flight: int = 2000  # messages of a shard that are in memory at once; all others wait on disk; 0 holds all mail
    retry: tuple[Duration, ...] = (Duration("1m"), Duration("5m"), Duration("15m"), Duration("1h"))
    expire: Duration = Duration("5d")  # RFC 5321 4.5.4.1: give up after at least 4-5 days


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailboxes:
    plaintext_login: bool = False  # a password in the clear from beyond loopback; contract: never by default
    login_delay: Duration = Duration("0s")
    map_size: Size = Size("256 GiB")
    readers: int = 0  # processes that serve POP3 and IMAP; 0: one for each core
    keep_expunged: Duration = Duration("14d")  # what readers removed can be brought back for so long; 0: not at all
    full_text: bool = True  # the words of all mail in an index, by which IMAP's SEARCH finds texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    size: Size = Size(0)  # of an account for which nothing else is said; 0: as much as it likes
    messages: int = 0  # the same
    full: typing.Literal["defer", "reject"] = "defer"  # RFC 3463 3.3: a full mailbox is a persistent transient failure
    warn: tuple[int, ...] = (80, 95)  # per cent, at which an account is told
    tell_postmaster: bool = False  # when a mailbox is full


@dataclass(frozen=True, slots=True, kw_only=True)
class Sieve:
    before: tuple[Path, ...] = ()  # files of scripts that are run before each account's own
    after: tuple[Path, ...] = ()  # and behind it
    include: Path = NOWHERE  # the folder of NAME.sieve for `include :global`
    scripts: int = 32  # that an account may have
    script_size: Size = Size("256 KiB")  # of one
    total_size: Size = Size("1 MiB")  # of all scripts of an account
    redirects: int = 4  # that one message may make
    sends_per_day: int = 500  # recipients of what the scripts of an account redirect, answer and notify


Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    issuer: str
    audience: str  # whom a token must be for
    claim: str = "email"  # which says whose it is
    client_id: str = ""  # who asks the issuer about each token; empty: its signature is checked here
    client_secret_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    org_name: str  # who reports, for people
    email: str  # who may be asked about it; its domain is the one that reports
    contact: str = ""  # more about that, such as an address in the web
    lane: str = ""  # that reports go through; empty: "outbound" if that has a `queue`, else the first that has one


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A directory that another server keeps."""

    postmaster: str  # who gets the mail for a postmaster whom it does not know
    connections: int = 4  # of each process
    timeout: Duration = Duration("5s")  # for one question
    cache: int = 10_000  # answers that are remembered
    cache_for: Duration = Duration("1m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ldap(Elsewhere):
    base: str  # all people and groups are below it
    servers: tuple[str, ...] = ()  # the first one that answers is asked
    bind_dn: str = ""  # who we are to the server; empty: nobody
    bind_password_file: Path | None = None
    starttls: bool = True  # for "ldap://": only on this machine can one do without
    trust: Path = NOWHERE  # who vouches for the server, where the system does not
    account_filter: str = "(&(objectClass=inetOrgPerson)(mail={address}))"
    address_attribute: str = "mail"
    id_attribute: str = "entryUUID"  # never given to another entry (RFC 4530)
    send_as_attribute: str = ""  # other names in which an account may send
    quota_attribute: str = ""  # how much its mailbox may hold
    quota_messages_attribute: str = ""
    group_filter: str = ""
    member_attribute: str = "member"
    members: typing.Literal["dn", "address"] = "dn"  # what that attribute holds

    def bind_password(self) -> str:
        """What the file holds, empty without one. OSError."""
        return self.bind_password_file.read_text().rstrip("\n") if self.bind_password_file else ""

    @staticmethod
    def place(server: str) -> tuple[str, str, int]:
        """Scheme, host and port of ``ldap://…`` or ``ldaps://…``. ValueError."""
        found = urllib.parse.urlsplit(server)
        if found.scheme not in _LDAP_PORTS or not found.hostname or found.path.strip("/") or found.query:
            raise ValueError(f'{server!r} is no LDAP server; write it like "ldaps://ldap.example.org"')
        return found.scheme, found.hostname, found.port or _LDAP_PORTS[found.scheme]


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgresql(Elsewhere):
    database: str  # what libpq takes: "host=db.example.org dbname=mail user=postroad", or a URI
    password_file: Path | None = None
    scram: bool = False  # whether accounts have keys for it
    account_query: str = "SELECT id, address, password, scram, send_as FROM accounts WHERE address = %(address)s"
    alias_query: str = "SELECT target FROM aliases WHERE address = %(address)s"
    domain_query: str = "SELECT name FROM domains WHERE name = %(domain)s"

    def password(self) -> str:
        """What the file holds, empty without one. OSError."""
        return self.password_file.read_text().rstrip("\n") if self.password_file else ""


_LDAP_PORTS = {"ldap": 389, "ldaps": 636}


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    allow_networks: tuple[Network, ...] = ()  # whose guesses are not counted
    network_guesses: int = 10  # wrong ones from one network within the window; then it is kept out
    account_guesses: int = 50  # the same for one account, from networks that it is not known from
    window: Duration = Duration("1h")
    ban: Duration = Duration("1h")
    network_ipv4: int = 32  # prefix of what counts as one network
    network_ipv6: int = 64
    mechanisms: tuple[str, ...] = tuple(MECHANISMS)  # of SASL, that are offered where they can be


@dataclass(frozen=True, slots=True, kw_only=True)
class Srs:
    domain: str  # ours, at which bounces come back
    secret_file: Path  # one secret a line: the first one signs, all are good
    max_age: Duration = Duration("21d")  # as libsrs2 has it: a bounce comes within days


@dataclass(frozen=True, slots=True, kw_only=True)
class Batv:
    secret_file: Path  # as for SRS
    require: bool = False  # whether bounces without a tag are refused
    exempt: tuple[str, ...] = ()  # addresses and domains that get them all the same


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with its settings, and what the engine itself is to do about it."""

    spec: Spec
    settings: Mapping[str, Any]
    place: str = MAIL
    workers: int = 0  # processes of its own; 0: it runs inside the mail workers
    timeout: Duration = Duration("60s")
    on_error: str = "defer"
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The whole of `pipeline.toml`, checked."""

    path: Path
    text: str
    server: Server
    domains: Domains
    listen: Mapping[str, tuple[str, int]]
    tls: Tls | None
    acme: Acme | None
    dns: Dns
    queue: Queue
    mailboxes: Mailboxes
    quota: Quota
    sieve: Sieve
    login: Login
    oidc: Oidc | None
    reports: Reports | None
    directory: Elsewhere | None  # None: the embedded one
    srs: Srs | None
    batv: Batv | None
    lanes: tuple[Lane, ...]
    stages: Mapping[str, Stage]
    courses: Mapping[str, Course] = field(default_factory=dict)


_SECTIONS: dict[str, type] = {
    "server": Server, "domains": Domains, "dns": Dns, "queue": Queue, "mailboxes": Mailboxes, "quota": Quota,
    "sieve": Sieve, "login": Login,
}  # fmt: skip
_ACTED_ON = ("reports", "srs", "batv")
"""Tables that say what some stage is to do."""

DIRECTORIES: dict[str, type[Elsewhere]] = {"ldap": Ldap, "postgresql": Postgresql}
"""Where people may be kept but in our own store: `[directory.NAME]`, of which there is one."""

_ENGINE_HINTS: dict[str, Any] = {
    "workers": int,
    "timeout": Duration,
    "on_error": typing.Literal["defer", "skip", "reject", "quarantine"],
    "when": str,
}
_ENGINE_KEYS = ("use", *_ENGINE_HINTS)


def load(path: Path) -> Config:
    """Read the file. ConfigError with every mistake."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = (
            "; start in the folder that holds pipeline.toml, or say --config FILE"
            if isinstance(error, FileNotFoundError)
            else ""
        )
        raise ConfigError(path, [Problem(0, "", f"{reason}{hint}")]) from error
    return parse(text, path)


def parse(text: str, path: Path) -> Config:
    """Read ``text`` as the file at ``path``, whose folder all relative paths start from. ConfigError."""
    try:
        tables = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of too many digits
        message, line = _toml_error(str(error))
        raise ConfigError(path, [Problem(line, "", message)]) from error
    except RecursionError as error:
        raise ConfigError(path, [Problem(0, "", "is nested too deeply")]) from error
    reader = _Reader(tables, path, _lines(text))
    config = reader.read(text)
    if reader.problems:
        raise ConfigError(path, reader.problems)
    return config


def secrets_in(path: Path) -> tuple[bytes, ...]:
    """The secrets in a file, one a line. OSError."""
    return tuple(filter(None, map(bytes.strip, path.read_bytes().splitlines())))


def convert(value: object, kind: Any) -> Any:
    """``value`` from TOML as the annotated type ``kind``. ValueError with a text for people."""
    if typing.get_origin(kind) is typing.Literal and value not in typing.get_args(kind):
        raise ValueError(f"{value!r} is none of its values{nearest(str(value), map(str, typing.get_args(kind)))}")
    try:
        return msgspec.convert(value, _convertible(kind), strict=True, dec_hook=_decode)
    except msgspec.ValidationError as error:
        text = str(error)
        place = re.search(r" - at `\$(.*)`$", text)
        if place:
            text = text[: place.start()] + (f" at {place[1].strip('.')}" if place[1] else "")
        text = text.replace("Expected `array`", 'Expected a list, like ["…"]')
        raise ValueError(text) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """A suggestion for a mistyped name: "; did you mean …?", or the names there are."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, 1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(choices)}" if choices else ""


class _Network(abc.ABC):  # noqa: B024 - nobody makes one
    """Stands for "an IPv4 or an IPv6 network" where msgspec wants one type."""


_Network.register(ipaddress.IPv4Network)
_Network.register(ipaddress.IPv6Network)


def _convertible(kind: Any) -> Any:
    arguments = typing.get_args(kind)
    if set(arguments) == {ipaddress.IPv4Network, ipaddress.IPv6Network}:
        return _Network
    if typing.get_origin(kind) is tuple:
        return tuple[tuple(_convertible(argument) for argument in arguments)]  # type: ignore[misc]
    return kind


def _decode(kind: type, value: Any) -> Any:
    if kind in (Size, Duration):
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"Expected a {'size' if kind is Size else 'duration'}, got {value!r}")
        return kind(value)
    if kind is Rate:
        return Rate(_text(value))
    if isinstance(kind, type) and issubclass(kind, Path):
        return Path(_text(value))
    if kind is _Network:
        return ipaddress.ip_network(_text(value))
    raise NotImplementedError(f"a setting cannot have the type {kind}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got {value!r}")
    return value


class _Reader:
    """Walks the tables, gathering problems instead of stopping at the first."""

    def __init__(self, tables: dict[str, Any], path: Path, lines: Mapping[str, int]) -> None:
        self.tables = tables
        self.path = path
        self.lines = lines
        self.problems: list[Problem] = []

    def problem(self, key: str, text: str) -> None:
        line, at = 0, key
        while not line and at:
            line = self.lines.get(at, 0)
            at = at.rpartition(".")[0]
        section, _, name = key.rpartition(".")
        place = f"[{key}]" if key and (not section or self.is_table(key)) else f"[{section}] {name}" if section else ""
        problem = Problem(line, place, text)
        if problem not in self.problems:
            self.problems.append(problem)

    def has_problem(self, table: str) -> bool:
        """Whether there is one in that table or below it."""
        return any(problem.place.startswith((f"[{table}]", f"[{table}.")) for problem in self.problems)

    def is_table(self, key: str) -> bool:
        found: Any = self.tables
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return isinstance(found, dict)

    def read(self, text: str) -> Config:
        sections = {name: self.section(name, kind) for name, kind in _SECTIONS.items()}
        self.check_sections(
            sections["server"], sections["queue"], sections["domains"], sections["dns"], sections["mailboxes"]
        )
        self.check_login(sections["login"])
        self.check_quota(sections["quota"])
        self.check_sieve(sections["sieve"])
        lanes = self.lanes()
        stages = self.stages(lanes)
        self.top_level(stages)
        self.check_lanes(lanes, stages)
        config = Config(
            path=self.path,
            text=text,
            listen=self.listen(),
            tls=self.tls(),
            acme=self.acme(),
            oidc=self.section("oidc", Oidc) if "oidc" in self.tables else None,
            reports=self.reports(lanes),
            directory=self.directory(),
            srs=self.section("srs", Srs) if "srs" in self.tables else None,
            batv=self.section("batv", Batv) if "batv" in self.tables else None,
            lanes=lanes,
            stages=stages,
            **sections,
        )
        if self.problems:
            return config
        placing = {
            name: Placing(stage.place, stage.spec.source, stage.spec.effect, stage.spec.partition, stage.spec.listens)
            for name, stage in stages.items()
        }
        config = dataclasses.replace(config, courses=plan(lanes, placing))
        self.check_listeners(config)
        self.check_served(config)
        return self.with_paths(config)

    def section(self, name: str, kind: type, table: Mapping[str, Any] | None = None) -> Any:
        table = self.table(name) if table is None else table
        hints = typing.get_type_hints(kind)
        values = self.values(name, table, hints)
        for missing in self.missing(kind, values):
            if missing not in table:
                self.problem(f"{name}.{missing}", "is required")
            values[missing] = hints[missing]("localhost")  # stands in, so that reading goes on to the next mistake
        return kind(**values)

    def tls(self) -> Tls | None:
        if "tls" not in self.tables:
            return Tls() if "acme" in self.tables else None
        tls: Tls = self.section("tls", Tls)
        given = self.table("tls")
        for one, other in (("certificate", "key"), ("key", "certificate")):
            if one in given and other not in given:
                self.problem(f"tls.{other}", "is required")
        if not given.keys() & {"certificate", "key", "folder"} and "acme" not in self.tables:
            self.problem("tls", 'names nothing; write certificate = "…" and key = "…", or folder = "…"')
        return tls

    def directory(self) -> Elsewhere | None:
        tables = self.table("directory")
        for name in tables:
            if name not in DIRECTORIES:
                self.problem(f"directory.{name}", f"unknown table{nearest(name, DIRECTORIES)}")
        named = [name for name in DIRECTORIES if name in tables]
        if len(named) > 1:
            self.problem(f"directory.{named[1]}", f"there is one directory, and [directory.{named[0]}] names another")
        if not named:
            return None
        place = f"directory.{named[0]}"
        table = self.table(named[0], tables, place)
        found: Elsewhere = self.section(place, DIRECTORIES[named[0]], table)
        if "postmaster" in table:
            self.check_directory(place, found)
        return found

    def acme(self) -> Acme | None:
        if "acme" not in self.tables:
            return None
        acme: Acme = self.section("acme", Acme)
        by_dns = acme.challenge == "dns-01"
        if by_dns and not acme.hook:
            self.problem(
                "acme.hook", 'is required for dns-01: the command that sets a record, such as ["/etc/dns-hook"]'
            )
        if not by_dns and CHALLENGES[acme.challenge] not in self.table("listen"):
            port = {"http-01": 80, "tls-alpn-01": 443}[acme.challenge]
            listener = CHALLENGES[acme.challenge]
            self.problem("acme.challenge", f'is answered by a listener: write [listen] {listener} = "*:{port}"')
        if not acme.directory.startswith("https://"):
            self.problem("acme.directory", "must begin with https:// (RFC 8555 6.1)")
        domains = []
        for domain in acme.domains:
            try:
                bare = domain.removeprefix("*.")
                domains.append(domain.removesuffix(bare) + idna.encode(bare.rstrip("."), uts46=True).decode())
            except idna.IDNAError as error:
                self.problem("acme.domains", f"{domain!r} is no domain name: {error}")
            if domain.startswith("*.") and not by_dns:
                self.problem("acme.domains", f'{domain}: wildcards are proven by challenge = "dns-01" alone')
        return dataclasses.replace(acme, domains=tuple(domains))

    def reports(self, lanes: Iterable[Lane]) -> Reports | None:
        if "reports" not in self.tables:
            return None
        reports: Reports = self.section("reports", Reports)
        if not re.fullmatch(r"[^\s@<>()\[\],;:\"]+@[a-z0-9.-]+", reports.email) and "email" in self.table("reports"):
            self.problem("reports.email", f'{reports.email!r} is no address; write it like "postmaster@example.org"')
        queued = [lane.name for lane in lanes if QUEUE in lane.stages]
        if reports.lane and reports.lane not in queued:
            self.problem("reports.lane", f"no lane {reports.lane} has a `queue`{nearest(reports.lane, queued)}")
        usual = "outbound" if "outbound" in queued else next(iter(queued), "")
        return dataclasses.replace(reports, lane=reports.lane or usual)

    @staticmethod
    def missing(kind: type, values: Mapping[str, Any]) -> list[str]:
        return [
            f.name
            for f in dataclasses.fields(kind)
            if f.name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]

    def check_sections(self, server: Server, queue: Queue, domains: Domains, dns: Dns, mailboxes: Mailboxes) -> None:
        for domain in domains.local:
            self.check_domain("domains.local", domain)
        for address in dns.servers:
            try:
                _address(address if re.search(r"(\]|^[\d.]+):\d+$", address) else _with_port(address))
            except ValueError:
                self.problem(
                    "dns.servers", f'{address!r} is no address; write "127.0.0.1", "127.0.0.1:5353", "[::1]:53"'
                )
        if not re.fullmatch(r"[^\s@<>()\[\]]+", server.hostname):
            self.problem("server.hostname", f'{server.hostname!r} is no host name; write it like "mx.example.org"')
        if server.workers < 0:
            self.problem("server.workers", "must not be negative")
        if mailboxes.readers < 0:
            self.problem("mailboxes.readers", "must not be negative")
        if server.hang < SHORTEST_HANG:
            self.problem(
                "server.hang", f"must be at least {SHORTEST_HANG:g} seconds: a sign of life comes every second"
            )
        if queue.in_flight < 0:
            self.problem("queue.in_flight", "must not be negative; 0 holds all mail in the queue")
        if not queue.retry:
            self.problem("queue.retry", 'must name at least one pause, such as ["5m"]')

    def check_domain(self, key: str, domain: str) -> None:
        try:
            idna.encode(domain.rstrip("."), uts46=True)
        except idna.IDNAError as error:
            self.problem(key, f"{domain!r} is no domain name: {error}")

    def check_login(self, login: Login) -> None:
        for name in ("network_guesses", "account_guesses"):
            if getattr(login, name) < 1:
                self.problem(f"login.{name}", "must be at least 1")
        for name, bits in (("network_ipv4", 32), ("network_ipv6", 128)):
            if not 0 <= getattr(login, name) <= bits:
                self.problem(f"login.{name}", f"must be a number of bits from 0 to {bits}")
        for name in login.mechanisms:
            if name not in MECHANISMS:
                self.problem("login.mechanisms", f"there is no mechanism {name}{nearest(name, MECHANISMS)}")

    def check_quota(self, quota: Quota) -> None:
        if quota.messages < 0:
            self.problem("quota.messages", "must not be negative; 0: as many as it likes")
        if not all(1 <= share <= 100 for share in quota.warn):
            self.problem("quota.warn", "must be per cent, from 1 to 100")

    def values(self, place: str, table: Mapping[str, Any], hints: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for key, value in table.items():
            if key not in hints:
                self.problem(f"{place}.{key}", f"unknown key{nearest(key, hints)}")
                continue
            try:
                found[key] = convert(value, hints[key])
            except ValueError as error:
                self.problem(f"{place}.{key}", str(error))
        return found

    def table(self, name: str, within: Mapping[str, Any] | None = None, place: str = "") -> dict[str, Any]:
        value = (self.tables if within is None else within).get(name, {})
        if not isinstance(value, dict):
            self.problem(place or name, f"must be a table, [{place or name}]")
            return {}
        return value

    def listen(self) -> dict[str, tuple[str, int]]:
        found: dict[str, tuple[str, int]] = {}
        for name, value in self.table("listen").items():
            if name not in LISTENERS:
                self.problem(f"listen.{name}", f"unknown listener{nearest(name, LISTENERS)}")
                continue
            try:
                found[name] = _address(_text(value))
            except ValueError as error:
                self.problem(f"listen.{name}", str(error))
        for name, address in found.items():
            twin = next((other for other in found if other != name and found[other] == address and address[1]), "")
            if twin and twin < name:
                self.problem(f"listen.{name}", f"has the same address and port as {twin}")
        return found

    def lanes(self) -> tuple[Lane, ...]:
        lanes = []
        for name, table in self.table("lane").items():
            if not isinstance(table, dict):
                self.problem(f"lane.{name}", f'must be a table, [lane.{name}], with stages = ["…"]')
                continue
            values = self.values(f"lane.{name}", table, {"stages": tuple[str, ...], "listen": tuple[str, ...]})
            if not values.get("stages"):
                if "stages" not in table or table["stages"] == []:
                    self.problem(f"lane.{name}.stages", "a lane needs at least one stage")
                continue
            lanes.append(Lane(name, values["stages"], values.get("listen", ())))
        if self.tables.get("lane", {}) == {}:
            self.problem("lane", 'no lane; write at least [lane.inbound] stages = ["accept", "queue", "route"]')
        return tuple(lanes)

    def stages(self, lanes: Iterable[Lane]) -> dict[str, Stage]:
        tables = self.table("stage")
        used = dict.fromkeys(name for lane in lanes for name in lane.stages if name != QUEUE)
        if QUEUE in tables:
            self.problem(f"stage.{QUEUE}", "`queue` is the engine's own; its settings are in [queue]")
        for name in tables:
            if name not in used and name != QUEUE and not self.has_problem("lane"):  # else it may stand in that lane
                self.problem(f"stage.{name}", f"no lane has a stage of this name{nearest(name, used)}")
        found = {}
        for name in used:
            stage = self.stage(name, self.table(name, tables, f"stage.{name}"), lanes)
            if stage:
                found[name] = stage
        return found

    def stage(self, name: str, table: Mapping[str, Any], lanes: Iterable[Lane]) -> Stage | None:
        place = f"stage.{name}"
        use = table.get("use", "")
        if not isinstance(use, str):
            self.problem(f"{place}.use", 'write a path, "filters/name.py", or "package.module:name"')
            return None
        try:
            spec = load_stage(name, use, self.path.parent)
        except StageError as error:
            if use:
                self.problem(f"{place}.use", str(error))
                return None
            lane = next(lane.name for lane in lanes if name in lane.stages)
            text = str(error)
            if text == f"there is no module stages.{name}":
                known = {*_own_stages(), *self.table("stage"), QUEUE} - {name}
                hint = f', or say where it is: [stage.{name}] use = "filters/{name}.py"'
                text = f"no stage is named {name}{nearest(name, known)}{hint}"
            self.problem(f"lane.{lane}.stages", text)
            return None
        return self.bound(place, spec, table)

    def bound(self, place: str, spec: Spec, table: Mapping[str, Any]) -> Stage:
        filled = {setting: self.tables[top] for top, setting in spec.tables.items() if top in self.tables}
        own = {key: value for key, value in table.items() if key not in _ENGINE_KEYS}
        hints = {key: kind for key, kind in spec.settings.items() if key not in spec.tables.values()}
        for key in own:
            if key not in hints:
                self.problem(f"{place}.{key}", f"unknown setting{nearest(key, [*hints, *_ENGINE_KEYS])}")
        settings = self.values(place, {key: own[key] for key in own if key in hints}, hints)
        for top, setting in spec.tables.items():
            if top in self.tables:
                settings |= self.top_setting(top, setting, filled[setting], spec.settings[setting])
        for missing in sorted(spec.required - own.keys() - filled.keys()):
            top = next((top for top, setting in spec.tables.items() if setting == missing), "")
            if top:
                self.problem(top, f"is required by the stage {spec.name}: write at least one [[{top}]]")
            else:
                self.problem(f"{place}.{missing}", "is required")
        engine = self.values(place, {key: table[key] for key in _ENGINE_HINTS if key in table}, _ENGINE_HINTS)
        if "when" in engine:
            try:
                engine["when"] = parse_condition(engine["when"])
            except ValueError as error:
                self.problem(f"{place}.when", str(error))
        if spec.effect:
            engine.setdefault("timeout", NO_LIMIT)  # it may wait long for its turn, and times its own steps
        workers = engine.get("workers", 0)
        if workers < 0 or (workers and spec.home):
            why = (
                "must not be negative" if workers < 0 else f"{spec.name} runs where the {spec.home} are, in one process"
            )
            self.problem(f"{place}.workers", why)
        return Stage(spec, settings, place=spec.home or (spec.name if workers else MAIL), **engine)

    def top_setting(self, top: str, setting: str, value: Any, kind: Any) -> dict[str, Any]:
        try:
            return {setting: convert(value, kind)}
        except ValueError as error:
            match = re.search(r" at \[(\d+)\](.*)$", str(error))
            index = match[1] if match else "0"
            self.problem(f"{top}.{index}{match[2] if match else ''}", str(error)[: match.start() if match else None])
            return {}

    def top_level(self, stages: Mapping[str, Stage]) -> None:
        theirs = {table for stage in stages.values() for table in stage.spec.tables}
        known = {
            *_SECTIONS,
            "listen",
            "tls",
            "acme",
            "oidc",
            "reports",
            "directory",
            "srs",
            "batv",
            "lane",
            "stage",
            *theirs,
        }
        unsure = self.has_problem("lane") or self.has_problem("stage")  # a stage that was not found may know the table
        for name in self.tables:
            hint = nearest(name, known)
            if name not in known and ("did you mean" in hint or not unsure):
                self.problem(name, f"unknown table{hint}")

    def check_lanes(self, lanes: Iterable[Lane], stages: Mapping[str, Stage]) -> None:
        names = {lane.name for lane in lanes}
        for lane in lanes:
            self.check_lane(lane, list(lanes), stages)
            for listener in lane.listen:
                if listener not in self.table("listen"):
                    self.problem(
                        f"lane.{lane.name}.listen",
                        f"[listen] has no {listener}{nearest(listener, self.table('listen'))}",
                    )
        for name, stage in stages.items():
            self.check_settings(name, stage, names)

    def check_lane(self, lane: Lane, lanes: list[Lane], stages: Mapping[str, Stage]) -> None:
        place = f"lane.{lane.name}.stages"
        queued = lane.stages.index(QUEUE) if QUEUE in lane.stages else -1
        if lane.stages.count(QUEUE) > 1:
            self.problem(place, "a lane has one `queue`")
        for index, name in enumerate(lane.stages):
            if lane.stages.index(name) != index and name != QUEUE:
                self.problem(
                    place, f"{name} stands twice in the lane; give the second one a name and a [stage.NAME] use"
                )
            if name == QUEUE or name not in stages:
                continue
            spec = stages[name].spec
            elsewhere = next((other for other in lanes if other.name != lane.name and name in other.stages), None)
            if spec.source and elsewhere and lanes.index(elsewhere) < lanes.index(lane):
                self.problem(
                    place,
                    f"{name} lets mail into {elsewhere.name} already; give this one a name and a [stage.NAME] use",
                )
            if spec.source and index:
                self.problem(place, f"{name} lets mail in, so it must stand first")
            if spec.effect and index < queued:
                self.problem(place, f"{name} must stand behind `queue`: what it does must not be done twice")
        first = stages.get(lane.stages[0])
        if first and first.spec.source and queued < 0:
            self.problem(place, "mail comes in here but is never stored: put `queue` into the lane")
        if queued == len(lane.stages) - 1:
            self.problem(place, "nothing behind `queue` says where the mail goes; end with a stage such as `route`")

    def check_settings(self, name: str, stage: Stage, lanes: set[str]) -> None:
        """Let the stage look at its settings itself, and see that the lanes which it picks exist."""
        spec = stage.spec
        check: Callable[..., Iterable[str]] | None = getattr(spec.target, "check", None)
        if check is not None and spec.required <= stage.settings.keys():
            for text in check(**stage.settings):
                self.problem(next(iter(spec.tables), "") or f"stage.{name}", text)
        for top, setting in spec.tables.items():
            for index, rule in enumerate(stage.settings.get(setting, ())):
                lane = getattr(rule, "lane", None)
                if lane is not None and lane not in lanes:
                    self.problem(f"{top}.{index}.lane", f"there is no lane {lane}{nearest(lane, lanes)}")

    def check_listeners(self, config: Config) -> None:
        served = {name for course in config.courses.values() if course.source for name in course.listen}
        for name in config.listen:
            if name in CHALLENGES.values():
                if config.acme is None:
                    self.problem(f"listen.{name}", "answers an ACME authority; write [acme]")
            elif name not in served and name not in READERS:
                self.problem(f"listen.{name}", "nothing serves this listener: no lane begins with a stage that does")
            if name in IMPLICIT_TLS and config.tls is None:
                self.problem(
                    f"listen.{name}", "speaks TLS from the first octet, so it needs a certificate: write [tls]"
                )
        if not config.listen:
            self.problem("listen", 'no listener; write at least [listen] smtp = "127.0.0.1:2525"')

    def check_served(self, config: Config) -> None:
        """Find tables that say what a stage is to do which stands in no lane."""
        names = {name for lane in config.lanes for name in lane.stages}
        served = {table for name in names & config.stages.keys() for table in config.stages[name].spec.acts_on}
        for table in _ACTED_ON:
            if table in self.tables and table not in served:
                self.problem(table, "no lane has a stage that does what it says; see this table in docs/pipeline.md")

    def with_paths(self, config: Config) -> Config:
        base = self.path.parent
        tls = config.tls
        if tls:
            given = {key: base / path for key, path in dataclasses.asdict(tls).items() if path != NOWHERE}
            tls = Tls(**given)
            for key, path in given.items():
                self.check_readable(f"tls.{key}", path)
        acme = config.acme
        if acme and acme.trust != NOWHERE:
            acme = dataclasses.replace(acme, trust=base / acme.trust)
        oidc = config.oidc
        if oidc:
            self.check_oidc(oidc)
            if oidc.client_secret_file:
                secret = base / oidc.client_secret_file
                self.check_readable("oidc.client_secret_file", secret)
                oidc = dataclasses.replace(oidc, client_secret_file=secret)
        server = dataclasses.replace(config.server, data=base / config.server.data)
        sieve = self.sieve_with_paths(config.sieve)
        directory = self.directory_with_paths(config.directory)
        srs, batv = config.srs, config.batv
        if srs:
            self.check_domain("srs.domain", srs.domain)
            srs = dataclasses.replace(srs, secret_file=self.secret_file("srs", base / srs.secret_file))
        if batv:
            batv = dataclasses.replace(batv, secret_file=self.secret_file("batv", base / batv.secret_file))
        return dataclasses.replace(
            config, tls=tls, acme=acme, oidc=oidc, directory=directory, srs=srs, batv=batv, server=server, sieve=sieve
        )

    def check_sieve(self, sieve: Sieve) -> None:
        for name in ("scripts", "script_size", "total_size", "redirects", "sends_per_day"):
            if getattr(sieve, name) < 0:
                self.problem(f"sieve.{name}", "must not be negative")

    def sieve_with_paths(self, sieve: Sieve) -> Sieve:
        """With the files that it names, each of which can be read."""
        base = self.path.parent
        before, after = (tuple(base / path for path in paths) for paths in (sieve.before, sieve.after))
        for key, paths in (("before", before), ("after", after)):
            for path in paths:
                self.check_readable(f"sieve.{key}", path)
        include = sieve.include if sieve.include == NOWHERE else base / sieve.include
        if include != NOWHERE and not include.is_dir():
            self.problem("sieve.include", f"{include} is no folder")
        return dataclasses.replace(sieve, before=before, after=after, include=include)

    def directory_with_paths(self, directory: Elsewhere | None) -> Elsewhere | None:
        """With the files that it names, each of which can be read."""
        paths: dict[str, Any] = {
            key.name: self.path.parent / value
            for key in dataclasses.fields(directory or Domains)
            if isinstance(value := getattr(directory, key.name, None), Path) and value != NOWHERE
        }
        for key, path in paths.items():
            self.check_readable(f"directory.{key}", path)
        return dataclasses.replace(directory, **paths) if directory else None

    def check_directory(self, place: str, found: Elsewhere) -> None:
        for name, least in (("connections", 1), ("cache", 0)):
            if getattr(found, name) < least:
                self.problem(f"{place}.{name}", f"must be at least {least}")
        if found.timeout <= 0:
            self.problem(f"{place}.timeout", "must be more than nothing")
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", found.postmaster):
            self.problem(f"{place}.postmaster", f'{found.postmaster!r} is no address; write it like "ann@example.org"')
        if isinstance(found, Ldap):
            self.check_ldap(place, found)
        if isinstance(found, Postgresql):
            self.check_postgresql(place, found)

    def check_ldap(self, place: str, ldap: Ldap) -> None:
        if not ldap.servers:
            self.problem(f"{place}.servers", 'must name at least one, such as "ldaps://ldap.example.org"')
        for server in ldap.servers:
            try:
                scheme, host, _ = ldap.place(server)
            except ValueError as error:
                self.problem(f"{place}.servers", str(error))
                continue
            if scheme == "ldap" and not ldap.starttls and not _is_loopback(host):
                self.problem(f"{place}.starttls", f"must be true for {server}: passwords would travel in the clear")
        if bool(ldap.bind_dn) != bool(ldap.bind_password_file):
            self.problem(f"{place}.bind_dn", "goes together with bind_password_file")
        for name in ("account_filter", "group_filter"):
            text = getattr(ldap, name)
            try:
                parse_filter(text or "(a=*)")
            except BadFilter as error:
                self.problem(f"{place}.{name}", str(error))
            if text and "{address}" not in text and "{local}" not in text:
                self.problem(f"{place}.{name}", "must ask for {address}, or for {local} and {domain}")

    def check_postgresql(self, place: str, postgresql: Postgresql) -> None:
        for name, parameter in (("account_query", "address"), ("alias_query", "address"), ("domain_query", "domain")):
            text = getattr(postgresql, name)
            if (text or name == "account_query") and not re.search(rf"%\((?:local|{parameter})\)s", text):
                self.problem(f"{place}.{name}", f"must ask for %({parameter})s")
        try:
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict
        except ImportError:
            self.problem(place, "needs the package psycopg: pip install 'postroad[postgresql]'")
            return
        try:
            parts = conninfo_to_dict(postgresql.database)
        except ProgrammingError as error:
            self.problem(f"{place}.database", " ".join(str(error).split()))
            return
        hosts = str(parts.get("host") or parts.get("hostaddr") or "/").split(",")
        here = all(host.startswith(("/", "@")) or _is_loopback(host) for host in hosts)
        if not here and parts.get("sslmode") not in ("verify-full", "verify-ca"):
            self.problem(f"{place}.database", "goes to another machine: say sslmode=verify-full")

    def secret_file(self, section: str, path: Path) -> Path:
        """``path``, with a problem where it has no secrets."""
        try:
            if not secrets_in(path):
                self.problem(f"{section}.secret_file", f"there is no secret in {path}; write one a line")
        except OSError as error:
            self.problem(f"{section}.secret_file", f"cannot read {path}: {error.strerror}")
        return path

    def check_oidc(self, oidc: Oidc) -> None:
        if not re.match(r"https://|http://(127\.|\[::1\]|localhost[:/])", oidc.issuer):
            self.problem("oidc.issuer", f'{oidc.issuer!r} is no issuer; write it like "https://id.example.org"')
        if not oidc.audience:
            self.problem("oidc.audience", "must name whom a token is for: else any program's token would do")
        if bool(oidc.client_id) != bool(oidc.client_secret_file):
            self.problem("oidc.client_id", "goes together with client_secret_file")

    def check_readable(self, key: str, path: Path) -> None:
        if not os.access(path, os.R_OK):
            self.problem(key, f"cannot read {path}: {'permission denied' if path.exists() else 'no such file'}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own_stages() -> set[str]:
    found = importlib.util.find_spec("stages")
    folders = (found.submodule_search_locations if found else None) or ()
    return {
        path.stem
        for folder in folders
        for path in Path(folder).iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or path.is_dir())
    }


def _address(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[\d.]+|\*|localhost)):(?P<port>\d{1,5})", text)
    if not match or int(match["port"]) > 65535:
        raise ValueError(f'{text!r} is no address; write "127.0.0.1:2525", "[::1]:2525" or "*:25" for all')
    host = match["six"] or match["four"]
    if host == "*":
        return "::", int(match["port"])
    if host == "localhost":
        return "127.0.0.1", int(match["port"])
    ipaddress.ip_address(host)
    return host, int(match["port"])


def _with_port(address: str) -> str:
    return f"[{address.strip('[]')}]:53" if ":" in address else f"{address}:53"


def _toml_error(text: str) -> tuple[str, int]:
    match = re.search(r" \(at line (\d+), column (\d+)\)$", text)
    return (f"{text[: match.start()]} at column {match[2]}", int(match[1])) if match else (text, 0)


def _lines(text: str) -> dict[str, int]:
    """The line of every table and key, by dotted name; the tables of an array are numbered: "route.0.lane"."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[\s*([^\]]+?)\s*\]\]", line):
            name = header[1].replace('"', "")
            index = counts[name] = counts.get(name, -1) + 1
            lines.setdefault(name, number)
            section = f"{name}.{index}"
            lines[section] = number
        elif header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            section = header[1].replace('"', "")
            lines.setdefault(section, number)
        elif key := re.match(r"\s*([A-Za-z0-9_.\"-]+)\s*=", line):
            lines.setdefault(".".join(filter(None, (section, key[1].replace('"', "")))), number)
    return lines
