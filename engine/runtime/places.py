"""Who runs where: the processes that a configuration asks for, and the addresses of their links."""

import os
import zlib
from dataclasses import dataclass

from engine.config import CHALLENGES, METRICS, READERS, Config
from engine.config import WEB as PAGES
from engine.lanes import MAIL, QUEUE, Course, Leg

MAILBOXES, READING, INDEX, CERTIFICATES, WEB = "mailboxes", "readers", "index", "certificates", "web"

INDEXED = {"imap", "imaps", "web"}
"""Listeners whose clients ask for what the index has; those of POP3 never do."""


@dataclass(frozen=True, slots=True)
class Process:
    """One worker process. Its name stays when it is restarted; its life grows."""

    name: str
    place: str
    index: int = 0


def processes(config: Config) -> list[Process]:
    """Every worker that the configuration asks for. What messages end in comes first, what lets them in last."""
    found = [Process(MAILBOXES, MAILBOXES)]
    if any(name in READERS for name in config.listen):
        count = config.mailboxes.readers or len(os.sched_getaffinity(0))
        found += [Process(f"{READING}-{index}", READING, index) for index in range(count)]
    if INDEXED & config.listen.keys():
        found.append(Process(INDEX, INDEX))
    if config.acme:
        found.append(Process(CERTIFICATES, CERTIFICATES))
    if PAGES in config.listen:
        found += [Process(f"{WEB}-{index}" if index else WEB, WEB, index) for index in range(config.web.processes)]
    elif METRICS in config.listen:
        found.append(Process(WEB, WEB))
    for name, stage in config.stages.items():
        if stage.workers and not stage.spec.source:
            found += [Process(f"{name}-{index}", name, index) for index in range(stage.workers)]
    found += [Process(f"{MAIL}-{index}", MAIL, index) for index in range(mail_workers(config))]
    for name, stage in config.stages.items():
        if stage.workers and stage.spec.source:
            found += [Process(f"{name}-{index}", name, index) for index in range(stage.workers)]
    return found


def mail_workers(config: Config) -> int:
    """Mail workers, and so shards: as set, else one for each core; never fewer than there are shards with mail."""
    wanted = config.server.workers or len(os.sched_getaffinity(0))
    shards = [int(path.name) + 1 for path in (config.server.data / "queue").glob("*") if path.name.isdigit()]
    return max(wanted, *shards, 1)


def listeners(config: Config, place: str) -> list[str]:
    """Names of the listeners that the processes of a place serve."""
    if place == READING:
        return [name for name in config.listen if name in READERS]
    if place == CERTIFICATES:
        return [name for name in config.listen if name in CHALLENGES.values()]
    if place == WEB:
        return [name for name in config.listen if name in (METRICS, PAGES)]
    return [
        name
        for course in config.courses.values()
        if course.source and config.stages[course.source].place == place
        for name in course.listen
        if name in config.listen
    ]


def queue_leg(course: Course) -> Leg:
    """The leg behind the link that leads to `queue`: it is served by the owners of the shards."""
    return Leg(f"{course.lane}/{QUEUE}", (QUEUE,))


def askers(config: Config, leg: Leg) -> set[str]:
    """The places whose processes send messages to the leg."""
    places = set()
    for course in config.courses.values():
        if leg in course.before or (course.queued and leg == queue_leg(course)):
            places.add(config.stages[course.source].place if course.source else MAIL)
        if leg in course.after:
            places.add(MAIL)
    return places


def workers_of(config: Config, leg: Leg, asker: Process) -> list[str]:
    """Names of the processes that ``asker`` may send to: itself alone where it can, unless a key picks the worker."""
    names = [process.name for process in processes(config) if process.place == leg.place]
    return [asker.name] if asker.name in names and not leg.partition else names


def between(folder: str, process: str, life: int, name: str, revision: int = 0) -> str:
    """Endpoint of a leg, or of a service, for other processes of the host."""
    return f"ipc://{folder}/{process}.{life}.{zlib.crc32(name.encode()):08x}.{revision}"


def hosted(config: Config, place: str) -> list[Leg]:
    """The legs that the processes of a place serve; the ones to `queue` are the shards' owners' besides."""
    return [leg for course in config.courses.values() for leg in (*course.before, *course.after) if leg.place == place]
