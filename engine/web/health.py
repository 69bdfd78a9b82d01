"""Whether the server is ready for mail, and if not, why: what a load balancer and an operator want to know."""

import time
from collections.abc import Iterator

from engine.net.certificates import day
from engine.web.collecting import Collected


def reasons(collected: Collected) -> list[str]:
    """Why it is not ready, in words; empty: it is."""
    return [*_missing(collected), *_behind(collected), *_shards(collected)]


def warnings(collected: Collected) -> list[str]:
    """What will be wrong if nobody does something about it, in words; it is ready all the same."""
    late = [labels["certificate"] for _, labels, when in collected.values("postroad_certificate_late_seconds")
            if time.time() > when]  # fmt: skip
    ends = {labels["certificate"]: when for _, labels, when in collected.values("postroad_certificate_expiry_seconds")}
    return [_ending(name, ends.get(name, 0.0)) for name in late]


def _ending(name: str, when: float) -> str:
    if when > time.time():
        return f"the certificate of {name} expires on {day(when)}"
    return f"the certificate of {name} has expired on {day(when)}"


def _missing(collected: Collected) -> Iterator[str]:
    yield from (f"{worker} does not answer" for worker in collected.expected if worker not in collected.samples)


def _behind(collected: Collected) -> Iterator[str]:
    """Workers in which the newest revision is not in force yet."""
    revisions = {worker: value for worker, _, value in collected.values("postroad_revision")}
    newest = max(revisions.values(), default=0)
    for worker, revision in revisions.items():
        if revision < newest or not newest:
            yield f"{worker} has revision {revision:g} in force, not {newest:g}"


def _shards(collected: Collected) -> Iterator[str]:
    for _, labels, accepts in collected.values("postroad_queue_accepts"):
        if not accepts:
            yield f"shard {labels['shard']}: the disk has no more room than [queue] reserve"
    for _, labels, unwritten in collected.values("postroad_queue_unwritten"):
        if unwritten:
            yield f"shard {labels['shard']}: the store does not take changes"
