"""A queue with many messages, put straight into the store of a server that does not run."""

import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from msgspec.structs import replace

from engine import Envelope, MessageId, Recipient, Session
from engine.message import TENANT, Octets
from engine.queue.store import HELD, QUARANTINED, WAITING, Record, Shard
from engine.storage.batch import committed

AT_ONCE = 10_000
DAYS = 3

_SESSION = Session("192.0.2.17", "mail.sender.example", "ESMTPS", "TLSv1.3 TLS_AES_256_GCM_SHA384")
_RECEIVED = (
    b"Received: from mail.sender.example (mail.sender.example [192.0.2.17])\r\n by mx.here.example with ESMTPS id "
    b"01J9ZK3V5Q8W2R7T4Y6N0BCDEF\r\n (TLSv1.3 TLS_AES_256_GCM_SHA384) for <x@y.example>;\r\n Sun, 29 Nov 2026 08:00:00 "
    b"+0000\r\n"
)
_CONTENT = Octets(b"Subject: waits\r\n\r\nhello\r\n")


def fill(
    data: Path, messages: int, *, shards: int = 2, now: float | None = None, seed: int = 1, later: float = 0.0
) -> None:
    """So many messages of the last days, for a thousand domains by a power law, of twenty tenants and 15,000 senders;
    some in lines, of a hundred one is held and one is parked. The same for the same seed, but for their ids. All are
    tried within two hours, ``later`` by so many seconds."""
    dice, now = random.Random(seed), time.time() if now is None else now
    for number in range(shards):
        with closing(Shard(data, number, map_size=2**36)) as shard:
            mine = range(number, messages, shards)
            for start in range(0, len(mine), AT_ONCE):
                with committed(shard.environment) as batch:
                    for one in mine[start : start + AT_ONCE]:
                        record = _record(one, now - DAYS * 86400 * (1 - one / messages), (now, later), dice)
                        shard.put_new(batch, record, _CONTENT)
                        if record.line:
                            shard.ensure_turn(batch, record.line, now + later + 3600, now)


def _record(number: int, arrived: float, times: tuple[float, float], dice: random.Random) -> Record:
    now, later = times
    domain = f"d{min(int(dice.paretovariate(0.5)), 1000):04d}.test"
    facts = {
        "spf.result": "pass",
        "dkim[0].domain": "sender.example",
        "scan.score": round(dice.uniform(-5, 15), 1),
        TENANT: f"t{number % 20}",
        "dmarc.result": "pass",
    }
    envelope = Envelope(
        f"user{number % 5000}@s{number % 300}.example",
        (Recipient(f"u{number}@{domain}"),),
        _SESSION,
        MappingProxyType(facts),
        _RECEIVED,
        arrived,
        dice.randrange(10),
    )
    reply = dice.choice(["451 4.7.1 Greylisted, come again", "421 4.7.0 Too many messages", "452 4.2.2 Mailbox full"])
    record = Record(
        MessageId.new(arrived), envelope, "inbound", len(_CONTENT), due=now + later + dice.uniform(60, 7200),
        decided=now, reason=f"{reply} (id {number:08d} at mx{number % 3}.{domain})", sites=(f"mx.{domain}",),
    )  # fmt: skip
    kind = dice.random()
    if kind < 0.01:
        return replace(record, state=HELD)
    if kind < 0.02:
        return replace(record, state=QUARANTINED)
    return replace(record, line=domain) if kind < 0.5 else replace(record, state=WAITING)


class Known(NamedTuple):
    """What is asked about a message that was put there."""

    id: bytes
    arrived: float
    attempts: int
    tenant: str
    score: float
    reason: str
    state: str
    line: str
    sender: str
    recipient: str

    @property
    def domain(self) -> str:
        return self.recipient.rpartition("@")[2]

    @property
    def name(self) -> str:
        return str(MessageId(self.id))


def known(data: Path, *, shards: int = 2) -> Iterator[Known]:
    """What was put there, as the store has it."""
    for number in range(shards):
        with closing(Shard(data, number, map_size=2**36, read_only=True)) as shard:
            yield from map(_known, shard.all_records())


def _known(record: Record) -> Known:
    envelope = record.envelope
    return Known(
        record.id, envelope.arrived, envelope.attempts, str(envelope.facts[TENANT]),
        float(str(envelope.facts["scan.score"])), record.reason, record.state, record.line, envelope.sender,
        envelope.recipients[0].address,
    )  # fmt: skip
