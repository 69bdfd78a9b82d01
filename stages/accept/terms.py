"""What a session is held to: the settings of the stage, and what follows from them."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from email.utils import formatdate
from typing import Any, Literal

from engine import Duration, Envelope, Message, MessageId, Rate, Recipient, Size
from engine import Session as Facts
from engine.deadline import Watch
from engine.directory import Directory, asked, may_send_as, may_send_on_behalf
from engine.login import Logins, Rates, Sender
from engine.message import Content as MessageContent
from engine.net.connection import Connection
from engine.net.names import Hostname
from engine.net.targets import Network, address_of, network_of
from engine.net.tls import ServerTls
from engine.protocols.smtp_replies import TEXT_LIMIT
from engine.protocols.smtp_server import SmtpServer
from engine.protocols.timing import LONGEST_BY, Offers
from engine.runtime.door import Door
from stages.accept.newcomers import Newcomers, Tarpit

_AT_LEAST_ONE = ("max_size", "max_recipients", "max_connections", "max_connections_per_network", "max_errors")

_RATES = (
    "account_messages", "account_recipients", "network_messages", "network_recipients", "network_unknown_recipients",
)  # fmt: skip

_LONGEST_WAIT = 60.0
"""Seconds that a client may be made to wait: they bear minutes (RFC 5321 4.5.3.2), but people look at some of them."""

_TARPIT_SHARE = 4
"""What part of all connections may be held up at once: all others are there for the good."""


class _Dates:
    """RFC 5322 dates, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def of(self, moment: float) -> str:
        second = int(moment)
        if second != self._second:
            self._second = second
            self._text = formatdate(second, localtime=True)
        return self._text


@dataclass
class Terms:
    """The services and settings of the stage."""

    door: Door
    directory: Directory
    logins: Logins
    rates: Rates
    hostname: Hostname
    tls: ServerTls
    watch: Watch
    _: KW_ONLY
    # "lmtp": LHLO, and a reply for each recipient behind the content, so that its client need not write bounces.
    protocol: Literal["smtp", "lmtp"] = "smtp"
    # Who may connect. Empty: everybody by SMTP, and by LMTP, which is no protocol for the open (RFC 2033 5), this
    # machine alone.
    clients: tuple[Network, ...] = ()
    # Clients that may send to any domain, as if they had logged in. None by default: no open relay.
    relay_networks: tuple[Network, ...] = ()
    # Octets of a message: what large providers take.
    max_size: Size = Size("50 MB")
    # RFC 5321 4.5.3.1.8 asks for at least 100; lists send many at once.
    max_recipients: int = 1000
    # Connections at once, in this worker: each costs some 30 KB.
    max_connections: int = 4000
    # Connections at once from one network, so that nobody can take all; relay_networks are exempt.
    max_connections_per_network: int = 100
    # What counts as one network: an IPv4 address, an IPv6 site.
    network_ipv4: int = 32
    network_ipv6: int = 64
    # Wrong commands and refused recipients of one session before it is closed: guessers and broken software.
    max_errors: int = 20
    # RFC 5321 4.5.3.2.7: a server waits at least 5 minutes for a command.
    command_timeout: Duration = Duration("5m")
    # From MAIL to the last octet of content, however slowly it trickles.
    message_timeout: Duration = Duration("1h")
    # A login only under TLS, and only where accounts are.
    auth: bool = True
    # "required": this is where people with an account submit their mail (RFC 6409), and nobody else does.
    login: Literal["offered", "required"] = "offered"
    # Where a login is required: "own" lets an account send and write in its own name, in that of aliases and groups
    # that lead to it, and in those that it was granted; "envelope" does not look at who wrote (From).
    senders: Literal["own", "envelope", "any"] = "own"
    # What an account may send: far more than people do, and little for who has stolen a password.
    account_messages: tuple[Rate, ...] = ()
    account_recipients: tuple[Rate, ...] = (Rate("1000/1h"), Rate("5000/1d"))
    # The same for each network of clients that have not logged in, and are not in relay_networks.
    network_messages: tuple[Rate, ...] = ()
    network_recipients: tuple[Rate, ...] = ()
    # Recipients that there are not, of such a network; one with more is refused all for a while: it tries names out.
    network_unknown_recipients: tuple[Rate, ...] = ()
    # How long the greeting of a client that is not known yet is late: software that sends spam does not wait for it.
    greet_delay: Duration = Duration(0)
    # A first line of the greeting, "220-…", that comes at once: it makes more of them speak.
    greet_teaser: str = ""
    # Clients that speak before the greeting, or before the reply to HELO or EHLO (RFC 2920 3.1).
    early_talker: Literal["refuse", "note"] = "refuse"
    # How long the reply to an error waits at most: of each further one in a session twice as long.
    tarpit: Duration = Duration(0)
    # Errors of a session that are answered at once.
    tarpit_after: int = 5
    # Clients, which `clients` must name, are filters that had the mail from us: what they say by XFORWARD is believed.
    xforward: bool = False
    # Whether a message may come with REQUIRETLS, under TLS: the promise that it goes on under verified TLS alone.
    requiretls: bool = True
    # To whom MT-PRIORITY (RFC 6710) and DELIVERBY (RFC 2852) are offered: clients that may send anywhere.
    priority: Literal["trusted", "nobody"] = "trusted"
    deliver_by: Literal["trusted", "nobody"] = "trusted"
    # How long they may have a message held at most (RFC 4865); 0: not at all.
    future_release: Duration = Duration("30d")
    # A bare CR or LF in content: refused, for it is how mail is smuggled (RFC 5321 2.3.8).
    bare_newlines: Literal["refuse", "accept"] = "refuse"
    draining: bool = field(default=False, init=False)  # no new work: the server stops
    _offers: Offers = field(init=False, repr=False)
    _dates: _Dates = field(default_factory=_Dates, init=False, repr=False)
    newcomers: Newcomers = field(init=False, repr=False)
    pit: Tarpit = field(init=False, repr=False)

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        yield from (f"{name} must be at least 1" for name in _AT_LEAST_ONE if settings.get(name, 1) < 1)
        for name, bits in (("network_ipv4", 32), ("network_ipv6", 128)):
            if not 0 <= settings.get(name, 0) <= bits:
                yield f"{name} must be a number of bits from 0 to {bits}"
        if settings.get("login") == "required" and not settings.get("auth", True):
            yield 'login = "required" lets nobody in where auth is false'
        if settings.get("xforward") and not settings.get("clients"):
            yield "xforward believes whoever connects: name the filters in clients"
        for name in _RATES:
            rates = settings.get(name, ())
            if len({rate.period for rate in rates}) < len(rates):
                yield f"{name} has two rates over the same time"
        for name in ("greet_delay", "tarpit"):
            if settings.get(name, 0) > _LONGEST_WAIT:
                yield f"{name} must be at most {_LONGEST_WAIT:g} seconds: clients give up"
        teaser = settings.get("greet_teaser", "")
        if not (teaser.isascii() and teaser.isprintable() and len(teaser) <= TEXT_LIMIT):
            yield "greet_teaser must be one line of ASCII"
        if settings.get("future_release", 0) > LONGEST_BY:
            yield "future_release has at most nine digits of seconds (RFC 4865 4)"
        if settings.get("tarpit_after", 0) < 0:
            yield "tarpit_after must not be negative"

    def __post_init__(self) -> None:
        self._offers = Offers(self.priority == "trusted", int(self.future_release), self.deliver_by == "trusted")
        self.newcomers = Newcomers(self.greet_delay)
        self.pit = Tarpit(self.tarpit, self.tarpit_after, max(1, self.max_connections // _TARPIT_SHARE))

    @property
    def people(self) -> bool:
        """Whether all clients are people with an account, who may have a certificate that shows it."""
        return self.login == "required"

    def trusts(self, peer: str) -> bool:
        """Whether that client may send to any domain, as if it had logged in."""
        return bool(self.relay_networks) and _within(peer, self.relay_networks)

    def admits(self, peer: str) -> bool:
        """Whether that client may connect at all."""
        if self.clients:
            return _within(peer, self.clients)
        return self.protocol == "smtp" or address_of(peer).is_loopback

    def conversation(self, connection: Connection, *, trusted: bool) -> SmtpServer:
        conversation = SmtpServer(
            hostname=self.hostname,
            size_limit=self.max_size,
            recipients_limit=self.max_recipients,
            errors_limit=self.max_errors,
            starttls=self.tls.context is not None,
            auth=self.logins.mechanisms if self.auth else (),
            tls_active=bool(connection.tls),
            channel=connection.channel,
            bare_newlines=self.bare_newlines,
            lmtp=self.protocol == "lmtp",
            xforward=self.xforward,
            requiretls=self.requiretls,
            timing=self._offers,
            trusted=trusted,
        )
        conversation.login = connection.login
        return conversation

    async def may_send_as(self, account: str, sender: str) -> bool:
        """Whether the account may send in this name. The null sender is nobody's: reports have it."""
        if not sender or self.senders == "any":
            return True
        return await asked(self.directory, may_send_as, self.directory, account, sender)

    async def may_send_on_behalf(self, account: str, author: str) -> bool:
        """Whether the account may send what that author wrote, if the message says who has sent it."""
        return await asked(self.directory, may_send_on_behalf, self.directory, account, author)

    def counted(self, session: Facts) -> Sender | None:
        """Who is counted for what comes in this session; None where nobody's mail is limited."""
        if session.login:
            sender = Sender("account", session.login, self.account_messages, self.account_recipients)
        elif session.trusted:
            return None
        else:
            network = network_of(session.peer, self.network_ipv4, self.network_ipv6)
            sender = Sender("network", network, self.network_messages, self.network_recipients)
        return sender if sender.messages or sender.recipients else None

    def prober(self, session: Facts) -> Sender | None:
        """Who is counted for recipients that there are not; None where nobody is."""
        if session.trusted or not self.network_unknown_recipients:
            return None
        network = network_of(session.peer, self.network_ipv4, self.network_ipv6)
        return Sender("network", network, unknown=self.network_unknown_recipients)

    def lacking(self, content: MessageContent, identity: MessageId, arrived: float) -> bytes:
        """The fields that a submitted message should have and has not (RFC 6409 8.2, 8.3)."""
        if self.login != "required":
            return b""
        given = Message(identity, Envelope("", ()), content)
        fields = {"Date": self._dates.of(arrived), "Message-ID": f"<{identity}@{self.hostname}>"}
        return "".join(f"{name}: {value}\r\n" for name, value in fields.items() if given.header(name) is None).encode()

    def received(
        self, session: Facts, recipients: tuple[Recipient, ...], identity: MessageId, arrived: float, priority: int = 0
    ) -> bytes:
        """The trace header field that we add (RFC 5321 4.4; for the priority RFC 6710 7)."""
        urgent = f"\r\n\tpriority {priority}" if priority else ""
        by_login = " (authenticated)" if session.login else ""
        tls = f"\r\n\t(using {session.tls})" if session.tls else ""
        one = f"\r\n\tfor <{recipients[0].address}>" if len(recipients) == 1 else ""
        literal = f"IPv6:{session.peer}" if ":" in session.peer else session.peer
        return (
            f"Received: from {session.helo} ([{literal}]){by_login}{tls}\r\n"
            f"\tby {self.hostname} with {session.protocol} id {identity}{one}{urgent};"
            f"\r\n\t{self._dates.of(arrived)}\r\n"
        ).encode()


def _within(peer: str, networks: tuple[Network, ...]) -> bool:
    address = address_of(peer)
    return any(address in network for network in networks)
