"""Reads reports on TLS (RFC 8460 4.4), whoever wrote them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.reports.unpacked import Unreadable

JSON_LIMIT = 8 * 2**20
"""Octets of one report: in memory it takes some times as much."""

POLICIES = 1000
"""Policies of one report that are read."""

FAILURES = 10_000
"""Kinds of failure of all its policies together."""

LINES = 200
"""Lines of a policy, and patterns for its hosts."""

LONGEST = 255
"""Characters of a value that are kept."""

_COUNT = re.compile(r"[0-9]{1,12}", re.ASCII)


class Failure(msgspec.Struct, frozen=True):
    """Sessions that failed in the same way, as RFC 8460 4.4 names its keys."""

    result: str
    count: int
    sending_ip: str = ""
    mx_hostname: str = ""
    mx_helo: str = ""
    receiving_ip: str = ""
    reason: str = ""
    information: str = ""


class Policy(msgspec.Struct, frozen=True):
    """What became of sessions that one policy holds for."""

    domain: str
    type: str
    lines: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()
    succeeded: int = 0
    failed: int = 0
    failures: tuple[Failure, ...] = ()


class TlsReport(msgspec.Struct, frozen=True):
    """What one sender says about the servers of one domain, or several. Times are Unix times in seconds."""

    org_name: str
    contact: str
    identity: str
    begin: int
    end: int
    policies: tuple[Policy, ...]

    @property
    def domains(self) -> list[str]:
        return list(dict.fromkeys(policy.domain for policy in self.policies))

    @property
    def succeeded(self) -> int:
        return sum(policy.succeeded for policy in self.policies)

    @property
    def failed(self) -> int:
        return sum(policy.failed for policy in self.policies)


def parse(octets: bytes) -> TlsReport:
    """The report in a JSON document. Unreadable."""
    if len(octets) > JSON_LIMIT:
        raise Unreadable(f"it has more than {JSON_LIMIT // 2**20} MiB of JSON")
    try:
        said = msgspec.json.decode(octets.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"its JSON is broken: {error}") from error
    policies, between = (said.get("policies"), said.get("date-range")) if isinstance(said, dict) else (None, None)
    if not isinstance(policies, list) or not isinstance(between, dict):
        raise Unreadable("it is no report on TLS: policies or date-range is missing")
    if len(policies) > POLICIES:
        raise Unreadable(f"it has more than {POLICIES} policies")
    reading = _Reading()
    return TlsReport(
        org_name=_text(said, "organization-name"),
        contact=_text(said, "contact-info"),
        identity=_text(said, "report-id"),
        begin=_time(between, "start-datetime"),
        end=_time(between, "end-datetime"),
        policies=tuple(reading.policy(one) for one in policies if isinstance(one, dict)),
    )


class _Reading:
    """One report, and how many failures more may be in it."""

    def __init__(self) -> None:
        self._left = FAILURES

    def policy(self, said: dict[str, Any]) -> Policy:
        policy, summary = (_object(said, key) for key in ("policy", "summary"))
        failures = tuple(self._failures(said.get("failure-details")))
        return Policy(
            domain=_text(policy, "policy-domain").lower().rstrip("."),
            type=_text(policy, "policy-type").lower(),
            lines=tuple(_texts(policy, "policy-string")),
            mx=tuple(_texts(policy, "mx-host") or _texts(policy, "mx-host-pattern")),  # as drafts had it
            succeeded=_count(summary, "total-successful-session-count"),
            failed=_count(summary, "total-failure-session-count"),
            failures=failures,
        )

    def _failures(self, said: Any) -> Iterator[Failure]:
        for one in said if isinstance(said, list) else [said]:
            if not isinstance(one, dict):
                continue
            self._left -= 1
            if self._left < 0:
                raise Unreadable(f"it has more than {FAILURES} kinds of failure")
            yield Failure(
                result=_text(one, "result-type").lower(),
                count=_count(one, "failed-session-count"),
                sending_ip=_text(one, "sending-mta-ip"),
                mx_hostname=_text(one, "receiving-mx-hostname").lower().rstrip("."),
                mx_helo=_text(one, "receiving-mx-helo"),
                receiving_ip=_text(one, "receiving-ip"),
                reason=_text(one, "failure-reason-code"),
                information=_text(one, "additional-information"),
            )


def _object(said: dict[str, Any], key: str) -> dict[str, Any]:
    found = said.get(key)
    return found if isinstance(found, dict) else {}


def _text(said: dict[str, Any], key: str) -> str:
    """On one line, and nothing that a terminal would obey; empty where it is absent, or no text."""
    return _printable(said.get(key))


def _texts(said: dict[str, Any], key: str) -> list[str]:
    """Some write one text where there should be several."""
    found = said.get(key)
    several = found if isinstance(found, list) else [found]
    return [text for text in map(_printable, several[:LINES]) if text]


def _printable(value: Any) -> str:
    if not isinstance(value, str):
        return str(value)[:LONGEST] if isinstance(value, int) and not isinstance(value, bool) else ""
    words = " ".join(value[: 4 * LONGEST].split())[:LONGEST]
    return "".join(character if character.isprintable() else "?" for character in words)


def _count(said: dict[str, Any], key: str) -> int:
    """A number, which some write as a text. Unreadable."""
    found = said.get(key, 0)
    if found is None:
        return 0
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not _COUNT.fullmatch(str(found)):
        raise Unreadable(f"{_printable(str(found))!r} stands where there should be a number")
    return int(found)


def _time(said: dict[str, Any], key: str) -> int:
    """A moment by RFC 3339, which is one of UTC where it does not say. Unreadable."""
    text = _text(said, key)
    try:
        found = datetime.fromisoformat(text)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise Unreadable(f"{text!r} stands where there should be a time") from None
