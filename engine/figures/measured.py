"""Which measures are kept over time, and under which key: of the many that there are, those that charts are made of."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.observe.measures import Sample

Labels: TypeAlias = Mapping[str, str]

ARRIVED, TOOK, BECAME, DOOR, SCANNED, VIRUSES, LOGINS, DOMAIN, TLS = (
    "arrived", "took", "became", "door", "scanned", "viruses", "logins", "domain", "tls",
)  # fmt: skip
"""What keys of counts begin with."""

UNDER_WAY, PARKED, OLDEST = "queue/under-way", "queue/parked", "oldest"
"""The same of levels."""

COUNTS: Mapping[str, Callable[[Labels], str]] = {
    "postroad_arrivals_total": lambda of: f"{ARRIVED}/{of['answer']}/{of['lane']}",
    "postroad_delivery_seconds_bucket": lambda of: f"{TOOK}/{of['to']}/{of['le']}",
    "postroad_recipients_total": lambda of: f"{BECAME}/{of['outcome']}",
    "postroad_stage_refusals_total": lambda of: f"{DOOR}/{of['hook']}",
    "postroad_relay_refusals_total": lambda _: f"{DOOR}/relay",
    "postroad_scanned_total": lambda of: f"{SCANNED}/{of['result']}",
    "postroad_viruses_total": lambda _: VIRUSES,
    "postroad_logins_total": lambda of: f"{LOGINS}/{of['result']}/{of['protocol']}",
    "postroad_domain_recipients_total": lambda of: f"{DOMAIN}/{of['domain']}/{of['what']}",
    "postroad_tls_sessions_total": lambda of: f"{TLS}/{of['policy']}/{of['result']}",
}
"""Counters, and buckets of histograms, which only grow while their process lives."""

_PARKED = ("held", "quarantined")
"""States of messages that wait for somebody, and for no time."""

_STARTED = "postroad_process_start_time_seconds"
_QUEUE = "postroad_queue_messages"
_OLDEST = "postroad_queue_oldest_seconds"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one worker says. ``started``: when its process did, in Unix time; 0: it does not say."""

    started: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)


def measured(samples: Iterable[Sample]) -> Measured:
    """What is kept of the counts of a worker."""
    started, counts = 0.0, dict[str, int]()
    for name, labels, value in samples:
        if name == _STARTED:
            started = value
        elif (key := COUNTS.get(name)) is not None:
            whole = key(dict(labels))
            counts[whole] = counts.get(whole, 0) + int(value)
    return Measured(started, counts)


def levels(workers: Iterable[Iterable[Sample]]) -> dict[str, float]:
    """How much is under way now and how much is parked, in all shards, and how old the oldest is."""
    found: dict[str, float] = {}
    for samples in workers:
        for name, labels, value in samples:
            if name == _QUEUE:
                key = PARKED if dict(labels)["state"] in _PARKED else UNDER_WAY
                found[key] = found.get(key, 0.0) + value
            elif name == _OLDEST:
                found[OLDEST] = max(found.get(OLDEST, 0.0), value)
    return found
