"""A parked message in a shard that no server has."""

from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from engine.message import Envelope, MessageId, Octets, Recipient
from engine.queue.store import QUARANTINED, Record, Shard
from engine.storage.batch import committed

CONTENT = Octets(b"Subject: buy\r\n\r\nWatches, cheap\r\n")


def parked(data: Path, number: int, *recipients: str, content: bytes = CONTENT, reason: str = "spam") -> MessageId:
    """Its id. Those with an odd number are in the second shard, the others in the first."""
    octets = Octets(content)
    record = Record(
        MessageId.new(1.8e9 + number), Envelope("x@example.com", tuple(map(Recipient, recipients))), "inbound",
        len(octets), due=float(number), decided=0.0, reason=reason, sites=(),
    )  # fmt: skip
    with (
        closing(Shard(data, number % 2, map_size=2**26)) as shard,
        committed(shard.environment) as batch,
    ):
        shard.put_new(batch, replace(record, state=QUARANTINED), octets)
    return record.id
