"""A report on TLS as JSON (RFC 8460 4.4)."""

from collections.abc import Iterable
from typing import Any

import msgspec

from engine.reports.aggregate import Metadata
from engine.reports.counts import DAY, date
from engine.reports.sessions import SessionRow


def written(about: Metadata, domain: str, rows: Iterable[tuple[SessionRow, int]]) -> bytes:
    """The JSON."""
    policies: dict[tuple[Any, ...], list[tuple[SessionRow, int]]] = {}
    for row, count in rows:
        policies.setdefault((row.policy_type, row.policy, row.mx_patterns), []).append((row, count))
    day = date(about.begin // DAY)
    report = {
        "organization-name": about.org_name,
        "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
        "contact-info": about.contact or about.email,
        "report-id": about.identity,
        "policies": [_policy(domain, policies[key]) for key in sorted(policies)],
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def _policy(domain: str, rows: list[tuple[SessionRow, int]]) -> dict[str, Any]:
    first = rows[0][0]
    failed = sorted(((row, count) for row, count in rows if row.result), key=lambda one: (-one[1], one[0].result))
    policy: dict[str, Any] = {"policy-type": first.policy_type}
    if first.policy:
        policy["policy-string"] = first.policy
    policy["policy-domain"] = domain
    if first.mx_patterns:
        policy["mx-host"] = first.mx_patterns
    return {
        "policy": policy,
        "summary": {
            "total-successful-session-count": sum(count for row, count in rows if not row.result),
            "total-failure-session-count": sum(count for _, count in failed),
        },
        **({"failure-details": [_failure(row, count) for row, count in failed]} if failed else {}),
    }


def _failure(row: SessionRow, count: int) -> dict[str, Any]:
    """What is not known is left out."""
    told = {
        "result-type": row.result,
        "sending-mta-ip": row.sending_ip,
        "receiving-mx-hostname": row.mx_hostname,
        "receiving-mx-helo": row.mx_helo,
        "receiving-ip": row.receiving_ip,
        "failed-session-count": count,
        "failure-reason-code": row.reason,
    }
    return {key: value for key, value in told.items() if value}
