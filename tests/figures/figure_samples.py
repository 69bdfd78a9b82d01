"""What workers measure, and stores full of figures, for tests."""

import random
from collections.abc import Mapping

from engine.figures.gathering import Gathered, Level
from engine.figures.store import FigureStore
from engine.observe.measures import Sample

STARTED = "postroad_process_start_time_seconds"
ARRIVALS = "postroad_arrivals_total"


def worker(started: float, **accepted: int) -> list[Sample]:
    """A worker that has accepted so much in each lane."""
    return [
        (STARTED, (), started),
        *((ARRIVALS, (("lane", lane), ("answer", "accepted")), count) for lane, count in accepted.items()),
        ("postroad_links_total", (("link", "whatever"),), 12.0),
    ]


def queue(shard: str, waiting: int, oldest: float) -> list[Sample]:
    return [
        ("postroad_queue_messages", (("shard", shard), ("state", "waiting")), waiting),
        ("postroad_queue_oldest_seconds", (("shard", shard),), oldest),
    ]


def gathered(counts: Mapping[str, int], **levels: float) -> Gathered:
    return Gathered(dict(counts), {name: Level(value, 1, value) for name, value in levels.items()})


def took(to: str, *heaps: int) -> dict[str, int]:
    """Buckets as histograms have them: each with all that took less."""
    bounds = ("0.1", "0.3", "1.0", "10.0", "3600.0")
    return {f"took/{to}/{bound}": heap for bound, heap in zip((*bounds, "+Inf"), (*heaps, heaps[-1]), strict=True)}


def filled(store: FigureStore, now: float, days: int, seed: int = 1) -> None:
    """So many days of a company's mail up to now, by half hours."""
    luck = random.Random(seed)
    for moment in range(int(now) - days * 86_400, int(now) - 1, 1800):
        hour, weekday = moment % 86_400 / 3600, moment // 86_400 % 7
        busy = max(0.06, 1 - abs(hour - 13) / 7) * (0.3 if weekday in (2, 3) else 1.0)
        much = int(900 * busy * luck.uniform(0.7, 1.3))
        junk, refused, parked = int(much * 0.16), int(much * luck.uniform(0.2, 0.5)), much // 60
        slow = luck.random() < 0.06
        counts = {
            "arrived/accepted/inbound": much, "arrived/accepted/submission": much // 3,
            "arrived/refused/inbound": refused, "door/at_recipient": much // 8,
**took("mailbox", much // 3, int(much * 0.8), int(much * 0.95), much, much),
            **took("server", 0, 0, much // 6, much // 3 - (much // 12 if slow else 0), much // 3),
            "became/deferred": much // (4 if slow else 40), "became/failed": much // 70,
            "scanned/clean": much - junk - parked, "scanned/junk": junk, "scanned/quarantined": parked,
            "scanned/refused": refused, "viruses": luck.choice([0, 0, 0, 1, 2]),
            "logins/wrong/imap": luck.randint(0, 9), "logins/banned/submission": luck.choice([0, 0, 14]),
            "domain/example.org/received": much - junk, "domain/example.org/junk": junk,
            "domain/example.org/sent": much // 3, "domain/example.org/returned": much // 90,
            "tls/sts/success": much // 9, "tls/tlsa/success": much // 20, "tls/no-policy-found/success": much // 5,
            "tls/sts/certificate-expired": much // 200 if slow else 0,
            "tls/tlsa/validation-failure": luck.choice([0, 0, 1]),
        }  # fmt: skip
        waits, oldest = (240 if slow else 12) * busy + luck.random() * 9, 14_000.0 if slow else 300 * luck.random()
        levels = {
            "queue/under-way": Level(waits, 1, float(int(waits))), "queue/parked": Level(30, 1, 30.0),
            "oldest": Level(oldest, 1, oldest),
        }  # fmt: skip
        end = min(moment + 1800, int(now))
        store.add(moment, end, Gathered({key: count for key, count in counts.items() if count}, levels), {}, 9000)
