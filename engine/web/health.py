"""Whether the server is ready for mail, and if not, why: what a load balancer and an operator want to know."""

from collections.abc import Iterator

from engine.web.collecting import Collected


def reasons(collected: Collected) -> list[str]:
    """Why it is not ready, in words; empty: it is."""
    return [*_missing(collected), *_behind(collected), *_shards(collected)]


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
