"""Mail that waits in a queue for sites that are dead, put straight into the store of a server that does not run."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click
import trio

from engine import Envelope, MessageId, Recipient
from engine.config import Queue
from engine.message import Octets
from engine.net.zone import Zone
from engine.queue.store import Record, Shard, shard_numbers
from engine.storage.batch import Batch, committed

ORIGIN = "dead.test"
"""The domains of the sites are below it."""

_NETWORK = "127.2"
"""Where their addresses begin. Nobody listens there, so that every connection is refused at once."""

_CONTENT = Octets(b"Subject: A message that waits\r\n\r\n" + b"X" * 76 + b"\r\n" + b"X" * 1887 + b"\r\n")
"""2,000 octets, for which LMDB takes a page of 4 KiB: a million are 4 GiB."""

_AGE = 24 * 3600.0
"""Seconds since the first of the messages arrived; the others followed evenly."""

_ATTEMPTS = 3
"""Attempts that each message has behind it: after the next one it waits for hours, longer than any run."""

_OVER, _SPREAD = 60.0, 300.0
"""Seconds over which the turns of the sites are spread, and how many of them are over."""

_AT_ONCE = 5000
"""Messages that are committed together: some tenths of a second, after which Ctrl-C is heard."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """So many messages in the data folder of a server, in turn for each of so many sites."""

    data: Path
    messages: int
    sites: int = 1000

    def zone(self) -> Zone:
        """The DNS of the sites: each has a mail host, with an address of its own."""
        zone = Zone(ORIGIN)
        for number in range(self.sites):
            zone.set(f"d{number:04d}", "MX", f"10 mx.d{number:04d}")
            zone.set(f"mx.d{number:04d}", "A", f"{_NETWORK}.{number >> 8}.{number & 255}")
        return zone

    def domains(self) -> list[str]:
        """Those that mail waits for."""
        return [f"d{number:04d}.{ORIGIN}" for number in range(self.sites)]

    async def make(self) -> None:
        """Put the messages into shards as the server makes them, one a core; only once."""
        if self.data.exists():
            return
        shards = len(os.sched_getaffinity(0))
        count, told = 0, 0
        for number in range(shards):
            with self._shard(number) as shard:
                steps = self._put(shard, shards)
                while step := await trio.to_thread.run_sync(next, steps, 0):
                    count += step
                    if count - told >= self.messages / 10 or count == self.messages:
                        told = count
                        click.echo(f"{count:,} of {self.messages:,} messages put into the queue", err=True)

    def turn_anew(self) -> None:
        """Spread the turns of the sites about this moment: some are over, some come during a run, most later."""
        now = time.time() - _OVER
        for number in shard_numbers(self.data):
            with self._shard(number) as shard, committed(shard.environment) as batch:
                for place, domain in enumerate(self.domains()):
                    shard.set_turn(batch, domain, now + _SPREAD * place / self.sites, now)

    def _shard(self, number: int) -> closing[Shard]:
        return closing(Shard(self.data, number, map_size=Queue().map_size))

    def _put(self, shard: Shard, shards: int) -> Iterator[int]:
        first, domains = time.time() - _AGE, self.domains()
        mine = range(shard.number, self.messages, shards)
        for start in range(0, len(mine), _AT_ONCE):
            some = mine[start : start + _AT_ONCE]
            with committed(shard.environment) as batch:
                for number in some:
                    arrived = first + _AGE * number / self.messages
                    _waiting(shard, batch, f"u{number}", domains[number // shards % self.sites], arrived)
            yield len(some)


def _waiting(shard: Shard, batch: Batch, user: str, domain: str, arrived: float) -> None:
    """A message that stands in the line of its domain."""
    recipients = (Recipient(f"{user}@{domain}"),)
    envelope = Envelope("sender@source.test", recipients, arrived=arrived, attempts=_ATTEMPTS)
    record = Record(
        MessageId.new(arrived),
        envelope,
        "inbound",
        len(_CONTENT),
        due=arrived + Queue().expire,
        reason="refused",
        line=domain,
        warned=True,  # its sender was told of the delay, hours ago
    )
    shard.put_new(batch, record, _CONTENT)
