"""The parked message that a signed word is about, if that word still counts."""

from collections.abc import Iterable

from engine.config import Quarantine
from engine.quarantine.held import Held, find, may_release
from engine.quarantine.links import Link
from engine.queue.store import Shard


class NotParked(Exception):
    """It was let go on or deleted before, or is too old."""


class NotTheirs(Exception):
    """It is not for its recipients to let it go: the setting may be newer than the word."""


def meant(shards: Iterable[Shard], link: Link, settings: Quarantine) -> Held:
    """NotParked, NotTheirs."""
    one = find(shards, link.identity)
    if one is None or link.recipient not in one.to:
        raise NotParked(f"{link.identity}: it is not parked")
    if link.action == "release" and not may_release(one.record.reason, settings.release):
        raise NotTheirs(f"{link.identity}: it is not for its recipients to let it go")
    return one
