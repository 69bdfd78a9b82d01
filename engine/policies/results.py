"""What became of TLS with a server, in the words of RFC 8460 4.3, and who hears of it."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import Struct

from engine.observe.events import event
from engine.observe.measures import Counter

_SESSIONS = Counter(
    "postroad_tls_sessions_total",
    "Sessions with servers that we send to, by policy and result as RFC 8460 names them; or `success`.",
    ("policy", "result"),
)

PolicyType: TypeAlias = Literal["tlsa", "sts", "no-policy-found"]

ResultType: TypeAlias = Literal[
    "",
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
]
"""Empty: the session was as safe as it had to be."""


class TlsResult(Struct, frozen=True, gc=False):
    """One session, or one that did not come about, as it counts for one domain.

    A session that serves several domains is told for each of them, once.
    """

    policy_type: PolicyType
    domain: str  # that of the recipients, in A-labels
    policy: tuple[str, ...] = ()  # policy-string: the lines of an MTA-STS policy, or the TLSA records
    mx_patterns: tuple[str, ...] = ()  # mx-host of the policy: those of MTA-STS
    result: ResultType = ""
    reason: str = ""  # failure-reason-code, for people
    sending_ip: str = ""  # sending-mta-ip
    mx_hostname: str = ""  # receiving-mx-hostname
    mx_helo: str = ""  # receiving-mx-helo: what it called itself
    receiving_ip: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.result)


class TlsResults:
    """Hears of every session. What fails a policy becomes an event, for without one it is nothing special.

    Whoever counts for reports puts itself among the ``takers``.
    """

    def __init__(self) -> None:
        self.takers: list[Callable[[TlsResult], None]] = []

    def __call__(self, result: TlsResult) -> None:
        _SESSIONS.of(result.policy_type, result.result or "success").value += 1
        if result.failed and result.policy_type != "no-policy-found":
            event(
                "tls-failed", domain=result.domain, policy=result.policy_type, result=result.result,
                reason=result.reason or None, remote=result.mx_hostname or None, address=result.receiving_ip or None,
            )  # fmt: skip
        for taker in self.takers:
            taker(result)
