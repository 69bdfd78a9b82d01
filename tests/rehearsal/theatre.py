"""Configurations in a folder, and messages that are taken through them in this process."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from engine import Message, Session
from engine.config import Config, load
from engine.directory import Embedded
from engine.message import Octets
from engine.rehearsal import Asked, Rehearsal, Surroundings, rehearsal
from tests.support.messages import message
from tests.support.server import BASE, merged, toml

BOB, CAT = "bob@example.org", "cat@example.org"
FAR = "far@far.test"
STRANGER = Session(peer="192.0.2.7", helo="mail.far.test")

SETTINGS: dict[str, Any] = {"stage": {"resolve": {"smart_host": "192.0.2.1:25"}}}


def people(folder: Path) -> None:
    with Embedded.open(folder / "var" / "directory", ["example.org"]) as directory:
        for address in (BOB, CAT):
            directory.add_account(address, "correct horse battery")
        directory.add_alias("both@example.org", [BOB, FAR])


def configured(folder: Path, changes: dict[str, Any] | None = None, name: str = "pipeline", **files: str) -> Config:
    """``changes`` over the usual settings; ``files``: filters by name, as stages behind `accept`."""
    (folder / "filters").mkdir(exist_ok=True)
    for stage, source in files.items():
        (folder / "filters" / f"{stage}.py").write_text(source)
    own: dict[str, Any] = {
        "lane": {"inbound": {"stages": ["accept", *files, "queue", "route"]}},
        "stage": {stage: {"use": f"filters/{stage}.py"} for stage in files},
    }
    path = folder / f"{name}.toml"
    path.write_text(toml(merged(merged(merged(BASE, SETTINGS), own), changes or {})))
    return load(path)


@asynccontextmanager
async def opened(
    config: Config, *, offline: bool = False, troubles: list[str] | None = None
) -> AsyncIterator[Rehearsal]:
    """``troubles`` gets what stages could not do."""
    with closing(Surroundings(config.server.data, offline=offline)) as surroundings:
        with surroundings.hearing():
            async with rehearsal(config, surroundings) as found:
                yield found
        if troubles is not None:
            troubles += surroundings.troubles


def asked(*recipients: str, behind: bool = False, lane: str = "inbound", **envelope: Any) -> Asked:
    content = envelope.pop("content", None)
    found = message(*(recipients or (BOB,)), **{"content": content} if content else {})
    return Asked("it", with_envelope(found, session=STRANGER, **envelope), lane, behind_queue=behind)


def with_envelope(found: Message, **changes: Any) -> Message:
    return replace(found, envelope=replace(found.envelope, **changes))


def letter(subject: str) -> Octets:
    return Octets(f"From: a@sender.test\r\nSubject: {subject}\r\n\r\nhello\r\n".encode())


def digests(folder: Path) -> dict[str, str]:
    """Every file and what is in it, but for the tables of readers, which note who looks."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock.mdb"
    }
