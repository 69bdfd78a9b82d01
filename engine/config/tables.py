"""What `pipeline.toml` says: a value for each of its tables, with the defaults."""

import ipaddress
import re
import typing
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from engine.condition import When
from engine.config.egress import Egress
from engine.config.open import TABLES, Open
from engine.config.oversight import Journal, Oversight, Retention
from engine.config.rules import Rules
from engine.config.sign_in import OidcProvider
from engine.config.smart_hosts import SmartHost
from engine.config.tenants import Tenant
from engine.lanes import MAIL, Course, Lane
from engine.protocols.sasl import USUAL
from engine.stage import Spec
from engine.units import Duration, Size
from engine.wording import Languages

NOWHERE = Path()
"""Stands for a path that was not given."""

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

_SHARED = ("redis", "rediss", "valkey", "valkeys")
_SHARED_PORT = 6379
_LDAP_PORTS = {"ldap": 389, "ldaps": 636}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    hostname: str  # how we greet, and what our Received fields say; the name that our address has in DNS
    data: Path = Path("var")
    workers: int = 0  # mail workers, each with a shard of the queue; 0: one a core
    user: str = ""  # who to become once the ports are bound, when started as root
    hang: Duration = Duration("30s")  # without a sign of life, after which a worker is killed and replaced
    opening: Duration = Duration("1m")  # that a stage may take to open, before a start or a reload is given up
    keep_revisions: int = 100  # configurations that one can go back to
    canary: float = 0.0  # per cent of the mail that comes in on which a reload tries a change first; 0: none


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
class Log:
    stderr: bool = True  # JSON lines on standard error; on a terminal, lines for a person
    file: Path = NOWHERE  # the same lines in a file, which `postroad log` reads
    file_size: Size = Size("100 MB")  # from which on another one is begun
    files: int = 10  # older ones that are kept
    journald: bool = False  # the systemd journal, with a field for each of the most wanted values
    syslog: str = ""  # a server: the path of its socket, or udp:HOST:PORT
    addresses: Literal["plain", "hashed"] = "plain"  # hashed: nobody can tell whose they are


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    inline: Size = Size("128 KiB")  # content up to this size lives in LMDB, larger content in a file of its own
    reserve: Size = Size("256 MB")  # free disk space below which no new mail is taken (RFC 5321 4.2.3: 452)
    map_size: Size = Size("64 GiB")  # address space of a shard: the largest it can grow to
    in_flight: int = 2000  # messages of a shard that are in memory at once; all others wait on disk; 0 holds all mail
    retry: tuple[Duration, ...] = (Duration("1m"), Duration("5m"), Duration("15m"), Duration("1h"))
    expire: Duration = Duration("5d")  # RFC 5321 4.5.4.1: give up after at least 4-5 days
    delay_warning: Duration = Duration("4h")  # the age at which a sender is told that its message is late; 0: never


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is kept of messages, so that they can be explained."""

    keep: Duration = Duration("7d")
    size: Size = Size("1 GB")  # of all of it; then the oldest goes first
    level: Literal["all", "mail", "off"] = "all"  # "mail": not of what was refused before it was taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is kept of the server's measures, so that they can be seen over time."""

    keep: Duration = Duration("53w")  # by the hour; by the minute it is a day, by ten minutes two weeks; 0: nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    file: Path = NOWHERE  # of rules about how much mail goes to which sites
    providers: bool = True  # whether those that come with Postroad, about large providers, hold below them


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailboxes:
    plaintext_login: bool = False  # a password in the clear from beyond loopback; contract: never by default
    login_delay: Duration = Duration("0s")
    map_size: Size = Size("256 GiB")
    readers: int = 0  # processes that serve POP3 and IMAP; 0: one for each core
    max_connections: int = 10_000  # at once, of each of these processes: an idle one costs some 30 KB
    max_connections_per_network: int = 2000  # the same from one network, as [login] has it: an office, or a webmail
    keep_expunged: Duration = Duration("14d")  # what readers removed can be brought back for so long; 0: not at all
    full_text: bool = True  # the words of all mail in an index, by which IMAP's SEARCH finds texts
    learn_junk: Literal["nobody", "account", "server"] = "account"  # for whom moves in and out of Junk are learnt
    rspamd_controller: str = ""  # its URL: it learns the same; empty: there is none
    rspamd_password_file: Path | None = None


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
    kinds: tuple[typing.Literal["dmarc", "tls"], ...] = ("dmarc", "tls")
    allow_networks: tuple[Network, ...] = ()  # that are not public, and have pages to which reports may be posted


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    expire: Duration = Duration("30d")  # after which parked mail is deleted; 0: never
    release: tuple[str, ...] = (
        "spam*",
        "rspamd says *",
    )  # reasons, with * and ?, of mail that its recipients may let go
    digest: str = "off"  # when people are told what was parked for them: a time of day here, "08:00"
    digest_from: str = ""  # who tells them; empty: the postmaster of their domain
    lane: str = ""  # that digests go through; empty: "outbound" if that has a `queue`, else the first that has one
    url: str = ""  # of the page that links lead to; empty: the digest has codes for `postroad quarantine`
    secret_file: Path | None = None  # one secret a line: the first one signs, all are good


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounces:
    patterns: Path = NOWHERE  # a file of patterns that count before ours
    log: bool = True  # whether there is a log of what was not delivered
    deferrals: bool = True  # whether it has attempts too that are made again
    keep: Duration = Duration("30d")  # how long; the day that it was written counts
    log_size: Size = Size("4 GB")  # of all its files together; then the oldest go first


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where events are posted to. ``name`` is that of its table."""

    name: str = ""
    url: str
    secret_file: Path  # one secret a line, each of which signs
    events: tuple[str, ...] = (
        "failed", "deferred", "returned", "complaint", "unsubscribed", "suppressed", "action", "lifted",
    )  # fmt: skip
    classes: tuple[str, ...] = ()  # of replies, where an event has one; empty: all
    tenants: tuple[str, ...] = ()  # the same of whose mail it is
    most: int = 100_000  # events that wait; what comes then is dropped
    batch: int = 100  # events of one request at most
    timeout: Duration = Duration("10s")
    retry: tuple[Duration, ...] = (Duration("1s"), Duration("5s"), Duration("30s"), Duration("2m"), Duration("10m"))
    keep: Duration = Duration("3d")  # how long an event waits at most
    trust: Path = NOWHERE  # who vouches for the server, where the system does not

    @property
    def place(self) -> tuple[str, int, bool, str]:
        """Host, port, whether under TLS, and what is asked for. ValueError."""
        found = urllib.parse.urlsplit(self.url)
        if found.scheme not in ("http", "https") or not found.hostname or found.username or found.fragment:
            raise ValueError(f'{self.url!r} is no place to post to; write it like "https://hooks.example.org/mail"')
        under_tls = found.scheme == "https"
        target = (found.path or "/") + (f"?{found.query}" if found.query else "")
        return found.hostname, found.port or (443 if under_tls else 80), under_tls, target


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """When a recipient goes onto the suppression list, for what its server says of it. ``name`` is the class."""

    name: str = ""
    after: int = 1  # times that it was said; 0: never
    within: Duration = Duration("30d")
    keep: Duration = Duration("26w")  # how long it stays; 0: for ever


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    allow_networks: tuple[Network, ...] = ()  # whose guesses are not counted
    network_guesses: int = 10  # wrong ones from one network within the window; then it is kept out
    account_guesses: int = 50  # the same for one account, from networks that it is not known from
    window: Duration = Duration("1h")
    ban: Duration = Duration("1h")
    network_ipv4: int = 32  # prefix of what counts as one network
    network_ipv6: int = 64
    mechanisms: tuple[str, ...] = USUAL  # of SASL, that are offered where they can be


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verp:
    address: str  # ours, to which what comes back and is no report goes; the others are made of it
    secret_file: Path  # as for SRS
    senders: tuple[str, ...] = ()  # addresses and domains whose mail goes out so
    tenants: tuple[str, ...] = ()
    lists: bool = False  # whatever says that it is of a list (List-Id)
    keep: bool = False  # whether reports that were read go to the address as well
    max_age: Duration = Duration("21d")  # as for SRS


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReports:
    """What senders are told about their mail."""

    words: Path = NOWHERE  # a folder of words in languages of our own: NAME.toml
    language: str = "en"  # where nothing says another one
    follow_message: bool = True  # whether the message may say which
    domains: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of senders, by language
    return_whole: Size = Size("64 KiB")  # up to which RET=FULL brings all of a message back


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    url: str  # where several nodes keep what they remember: "redis://host:6379/0", "rediss://" under TLS
    password_file: Path | None = None

    @property
    def place(self) -> tuple[str, int, str, int]:
        """Host, port, user and number of the database. ValueError."""
        found = urllib.parse.urlsplit(self.url)
        number = found.path.strip("/") or "0"
        if found.scheme not in _SHARED or not found.hostname or not number.isdigit() or found.password:
            raise ValueError(f'{self.url!r} is no Valkey or Redis; write it like "redis://user@127.0.0.1:6379/0"')
        return found.hostname, found.port or _SHARED_PORT, urllib.parse.unquote(found.username or ""), int(number)

    @property
    def under_tls(self) -> bool:
        return urllib.parse.urlsplit(self.url).scheme in ("rediss", "valkeys")

    def password(self) -> str:
        """What the file holds, empty without one. OSError."""
        return self.password_file.read_text().rstrip("\n") if self.password_file else ""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with its settings, and what the engine itself is to do about it."""

    spec: Spec
    settings: Mapping[str, Any]
    place: str = MAIL
    workers: int = 0  # processes of its own; 0: it runs inside the mail workers
    timeout: Duration = Duration("60s")
    on_error: str = "defer"
    when: When | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    token_file: Path = NOWHERE  # tokens, one a line, of which whoever asks shows one; without it, nobody needs one


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Where the way of messages is told to, as traces of OpenTelemetry."""

    endpoint: str  # of OTLP over HTTP, without /v1/traces
    share: float = 100.0  # per cent of the messages
    headers_file: Path = NOWHERE  # "Name: value", one a line: a token
    attributes: dict[str, str] = field(default_factory=dict)  # of the resource that all spans are of
    timeout: Duration = Duration("10s")
    trust: Path = NOWHERE  # who vouches for the collector, where the system does not

    @property
    def in_the_clear(self) -> str:
        """The host to which spans go without TLS; empty under it. ValueError."""
        try:
            found = urllib.parse.urlsplit(self.endpoint)
            plain = not (found.username or found.password or found.query or found.fragment or found.port == 0)
        except ValueError:
            plain = False
        if not plain or found.scheme not in ("http", "https") or not found.hostname:
            raise ValueError('is no collector; write it like "http://127.0.0.1:4318"')  # it may have a password
        return found.hostname if found.scheme == "http" else ""

    def headers(self) -> dict[str, str]:
        """What the file holds. OSError, or ValueError for a line that is no header field."""
        lines = self.headers_file.read_text().splitlines() if self.headers_file != NOWHERE else ()
        return dict(map(_field, filter(None, map(str.strip, lines))))


def _field(line: str) -> tuple[str, str]:
    found = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([!-~](?:[ \t!-~]*[!-~])?)", line)  # RFC 9110 5.5, 5.6.2
    if found is None:
        raise ValueError('it has a line that is not "Name: value"')  # which may be a secret: it is not shown
    return found[1], found[2]


@dataclass(frozen=True, slots=True)
class Web:
    """The pages for people, and the API."""

    processes: int = 1  # that serve them
    origin: str = ""  # where people find them; empty: https at the server's host name
    idle: Duration = Duration("12h")  # without a request, after which one must sign in again
    lifetime: Duration = Duration("30d")  # after which one must in any case
    max_connections: int = 1000  # at once, of each process
    max_connections_per_network: int = 200  # the same from one network, as [login] has it
    edit_code: bool = False  # whether owners may edit the code of filters in the pages: then they are the server's user
    colleagues: bool = True  # propose the accounts of a domain to those who write there
    oidc: Mapping[str, OidcProvider] = field(default_factory=dict)  # at which people sign in, by name


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A listener that is no port. It counts when it is bound: not again by a reload that keeps its path."""

    socket: str = ""  # its path
    mode: str = "0660"
    group: str = ""  # that of the process, if empty


@dataclass(frozen=True, slots=True)
class ProxiedPort:
    """A listener that stands behind a proxy."""

    address: str = ""
    proxy_networks: tuple[
        Network, ...
    ] = ()  # clients that begin with the PROXY protocol; all others speak for themselves


@dataclass(frozen=True, slots=True)
class Basis:
    """The tables that say where things are kept, and how: enough to look at them, and to change them. No stage is
    needed for it, so that a command starts in a fraction of the time."""

    path: Path
    server: Server
    domains: Domains
    dns: Dns
    log: Log
    queue: Queue
    history: History
    figures: Figures
    mailboxes: Mailboxes
    quota: Quota
    login: Login
    oversight: Oversight
    directory: Elsewhere | None  # None: the embedded one
    shared: Shared | None


@dataclass(frozen=True, slots=True)
class Config(Basis):
    """The whole of `pipeline.toml`, checked."""

    text: str
    files: Mapping[str, str]  # others that it names and that were read with it: their texts, by path
    listen: Mapping[str, tuple[str, int]]  # of a Unix socket, its path and 0
    sockets: Mapping[str, UnixSocket]
    proxied: Mapping[str, tuple[Network, ...]]  # listeners where these clients begin with the PROXY protocol
    tls: Tls | None
    acme: Acme | None
    shaping: Shaping
    rules: Rules  # what its file says
    sieve: Sieve
    metrics: Metrics
    traces: Traces | None
    web: Web
    open: Open  # what the listener `web` has for everybody
    retention: Mapping[str, Retention]
    journals: Mapping[str, Journal]
    oidc: Oidc | None
    reports: Reports | None
    quarantine: Quarantine | None  # None: parked mail stays until an operator decides
    srs: Srs | None
    batv: Batv | None
    verp: Verp | None
    delivery_reports: DeliveryReports
    languages: Languages  # that these are in
    egress: Egress
    tenants: Mapping[str, Tenant]
    smart_hosts: Mapping[str, SmartHost]
    bounces: Bounces
    webhooks: tuple[Webhook, ...]
    suppression: Mapping[str, Fill] | None  # None: nobody is put onto the list but by hand
    lanes: tuple[Lane, ...]
    stages: Mapping[str, Stage]
    courses: Mapping[str, Course] = field(default_factory=dict)


SECTIONS: dict[str, type] = {
    "server": Server, "domains": Domains, "dns": Dns, "log": Log, "queue": Queue, "mailboxes": Mailboxes,
    "quota": Quota, "sieve": Sieve, "login": Login, "delivery_reports": DeliveryReports, "bounces": Bounces,
    "shaping": Shaping, "metrics": Metrics, "history": History, "figures": Figures,
    "web": Web, "oversight": Oversight,
}  # fmt: skip
"""Tables of which nothing need be written: all their keys have defaults, but for the host name."""

OPTIONAL: dict[str, type] = {
    "tls": Tls, "acme": Acme, "oidc": Oidc, "reports": Reports, "quarantine": Quarantine,
    "srs": Srs, "batv": Batv, "verp": Verp, "shared": Shared, "traces": Traces, **TABLES,
}  # fmt: skip
"""Tables without which there is no such thing."""

BASIC = (
    "server", "domains", "dns", "log", "queue", "history", "figures", "mailboxes", "quota", "login", "oversight",
)  # fmt: skip
"""Those of the former that belong to the basis."""

DIRECTORIES: dict[str, type[Elsewhere]] = {"ldap": Ldap, "postgresql": Postgresql}
"""Where people may be kept but in our own store: `[directory.NAME]`, of which there is one."""

NAMED = ("egress", "tenant", "smart_host", "retention", "journal")
"""Tables that have tables with names of the operator's."""
