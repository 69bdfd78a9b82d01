"""TLS with the next server: what it must show, whether it did, and what failed in the words of RFC 8460."""

import ssl
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from engine.net.certificates import CertificateError
from engine.net.connection import Connection, ConnectionLost
from engine.net.tls import anchored_context
from engine.outbound.way import Demand
from engine.policies.results import ResultType
from engine.protocols.tlsa import Tlsa, end_entity, trust_anchors

Manner: TypeAlias = Literal["clear", "unverified", "verified", "dane"]
"""How a connection is begun."""

MANNERS: dict[str, tuple[Manner, ...]] = {
    "never": ("clear",),
    "opportunistic": ("unverified", "clear"),
    "require": ("unverified",),
    "testing": ("verified", "unverified", "clear"),
    "verify": ("verified",),
    "dane": ("dane",),
}
"""By the level of a demand: how a connection is begun, and how the next one is where TLS fails."""

_ANCHORS_KEPT = 1000

_HOSTNAME_MISMATCH = 62
_VERIFY_CODES: dict[int, ResultType] = {
    9: "certificate-expired",  # not valid yet: its time is another one
    10: "certificate-expired",
    _HOSTNAME_MISMATCH: "certificate-host-mismatch",
    64: "certificate-host-mismatch",  # of an IP address
}
"""OpenSSL's X509_V_ERR_…; all others say that nobody whom we trust vouches for it."""


class Failed(Exception):
    """TLS did not come about, or not as it must."""

    def __init__(self, result: ResultType, text: str) -> None:
        super().__init__(text)
        self.result = result


class Unanchored(Exception):
    """The server's own certificate fits no record. These authorities, in DER, do: it is to be verified by them, which
    takes another connection, for a certificate is verified while hands are shaken.
    """

    def __init__(self, anchors: bytes) -> None:
        super().__init__("an authority is named")
        self.anchors = anchors


@dataclass
class Contexts:
    """What is asked of servers. ``by`` gives the context that verifies, or one that does not."""

    by: Callable[[bool], ssl.SSLContext]
    _anchors: OrderedDict[tuple[Tlsa, ...], bytes] = field(
        default_factory=OrderedDict
    )  # that servers have shown before

    def anchors(self, records: tuple[Tlsa, ...]) -> bytes:
        """The authorities for these records that are known already; empty: none."""
        return self._anchors.get(records) or b"".join(trust_anchors(records, ()))

    def learn(self, records: tuple[Tlsa, ...], anchors: bytes) -> None:
        """Know them from now on, or (empty) no more."""
        self._anchors.pop(records, None)
        if anchors:
            self._anchors[records] = anchors
            if len(self._anchors) > _ANCHORS_KEPT:
                self._anchors.popitem(last=False)


def always(context: ssl.SSLContext) -> Contexts:
    """The one context, which verifies by itself."""
    return Contexts(lambda _: context)


async def shake(
    connection: Connection, contexts: Contexts, demand: Demand, host: str, *, manner: Manner, anchors: bytes = b""
) -> None:
    """Shake hands. Failed; Unanchored, where ``manner`` is "dane" and there are no ``anchors``."""
    name = demand.base or host.strip("[].")
    try:
        context = anchored_context(anchors) if anchors else contexts.by(manner == "verified")
        await connection.start_tls(context, server_side=False, hostname=name or None)
    except ConnectionLost as lost:
        result, text = failure(lost)
        raise Failed(result, f"No TLS with {host}: {text}") from lost
    except CertificateError as error:
        raise Failed("validation-failure", f"No TLS with {host}: {error}") from error
    except ValueError as error:  # the ssl module refuses the name of the host
        raise Failed("validation-failure", f"No TLS with a host of this name: {error}") from error
    if manner == "dane":
        _look(connection, demand, host, anchored=bool(anchors))


def _look(connection: Connection, demand: Demand, host: str, *, anchored: bool) -> None:
    """Hold what the server has shown against the records."""
    if anchored:
        if not any(is_for(shown, name) for shown in connection.shown_names for name in demand.names):
            text = f"The certificate of {host} is for {', '.join(connection.shown_names[:3]) or 'no host'}"
            raise Failed("certificate-host-mismatch", text)
        return
    chain = connection.shown
    if chain and end_entity(demand.tlsa, chain[0]):
        return
    anchors = b"".join(trust_anchors(demand.tlsa, chain))
    if anchors:
        raise Unanchored(anchors)
    raise Failed("validation-failure", f"The certificate of {host} fits none of its TLSA records")


def is_for(shown: str, name: str) -> bool:
    """Whether a name in a certificate stands for that of a host: a wildcard for its first label (RFC 9525 6.3)."""
    if shown == name:
        return True
    return shown.startswith("*.") and shown.count(".") > 1 and shown[2:] == name.partition(".")[2]


def failure(error: BaseException) -> tuple[ResultType, str]:
    """What a failed handshake is called, and why it failed."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            result = _VERIFY_CODES.get(cause.verify_code, "certificate-not-trusted")
            return result, f"its certificate: {cause.verify_message.rstrip('.')}"
    return "validation-failure", getattr(error, "strerror", None) or str(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
