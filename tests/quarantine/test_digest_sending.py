"""Letters about parked mail: who gets which, when, and that a crash sends none twice."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as changed

from engine import Defer, Delivered, Message, MessageId, Reject, Verdict
from engine.config import Quarantine
from engine.directory import Embedded
from engine.message import Octets
from engine.quarantine.digest import DIGEST, MOST
from engine.quarantine.links import verify
from engine.quarantine.sending import Digests, Post, last_time, letter_id
from engine.queue.store import QUARANTINED, WAITING, Record, Shard
from engine.storage.batch import committed
from tests.support.messages import message
from tests.support.post import MAP_SIZE, Clock

EIGHT = time.mktime((2026, 1, 5, 8, 0, 0, 0, 0, -1))
HOUR, DAY = 3600.0, 86_400.0
BOB, CAT = "bob@example.org", "cat@example.org"


class Office:
    """The sender of the letters, with a directory, two shards, and a queue that is a list."""

    def __init__(self, folder: Path, secret: Path) -> None:
        self.settings: Quarantine | None = Quarantine(digest="08:00", secret_file=secret)
        self.directory = Embedded.open(folder / "directory", ["example.org"])
        self.shards = [Shard(folder, number, map_size=MAP_SIZE) for number in range(2)]
        self.clock = Clock(EIGHT + HOUR)
        self.sent: list[Message] = []
        self.verdict: Verdict = Delivered()
        self.queued: set[MessageId] = set()
        self._file = folder / "told.json"
        self.start()

    def start(self) -> None:
        async def submit(letter: Message) -> Verdict:
            self.sent.append(letter)
            return self.verdict

        post = Post(lambda: self.settings, lambda: self.shards, self.directory, submit, self.queued.__contains__)
        self.digests = Digests(post, self._file, self.clock)

    def park(self, *to: str, at: float = EIGHT - HOUR, shard: int = 0, **changes: object) -> Record:
        one = message(*to, content=b"From: Ann <ann@example.net>\r\nSubject: Hello\r\n\r\n")
        record = Record(one.id, one.envelope, "inbound", one.size, due=at, reason="spam", state=QUARANTINED)
        record = changed(record, **changes)
        with committed(self.shards[shard].environment) as batch:
            self.shards[shard].put_new(batch, record, Octets(b"".join(one.content.chunks())))
        return record

    async def told(self) -> dict[str, str]:
        """The letters that are sent now: to whom, and the text."""
        self.sent.clear()
        await self.digests.send()
        return {one.recipients[0]: b"".join(one.chunks()).decode() for one in self.sent}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    secret = tmp_path / "secret"
    secret.write_text("a secret\n")
    office = Office(tmp_path, secret)
    with closing(office.directory):
        office.directory.add_account(BOB)
        office.directory.add_account(CAT)
        yield office
        for shard in office.shards:
            shard.close()


async def test_each_is_told_once_of_their_own(office: Office) -> None:
    office.directory.add_alias("sales@example.org", ["both@example.org", "far@example.com"])
    office.directory.add_alias("both@example.org", [BOB, CAT])
    office.park(BOB)
    office.park("sales@example.org", shard=1)
    office.park("nobody@example.org", "far@example.com")
    office.park(BOB, state=WAITING)
    office.park(CAT, at=EIGHT + 1)  # for tomorrow
    told = await office.told()
    assert {to: text.count("Release:") for to, text in told.items()} == {BOB: 4, CAT: 2}  # in two parts
    assert all(
        one.sender == "" and one.fact(DIGEST) and one.envelope.recipients[0].notify == "NEVER" for one in office.sent
    )
    assert await office.told() == {}
    office.clock.now += DAY
    assert {to: text.count("Release:") for to, text in (await office.told()).items()} == {CAT: 2}
    office.clock.now += DAY
    assert await office.told() == {}


async def test_what_it_says_lets_a_message_go(office: Office) -> None:
    record = office.park("Bob@example.org")
    (text,) = (await office.told()).values()
    flat = text.replace("=\r\n", "")
    token = flat.partition("Release: ")[2].split()[0]
    link = verify(token, [b"a secret"], EIGHT)
    assert (link.action, link.identity, link.recipient) == ("release", record.id, "Bob@example.org")
    assert link.expires == EIGHT + 30 * DAY
    assert "Hello" in text
    assert "Ann <ann@example.net>" in text


async def test_a_virus_is_told_of_and_not_let_go(office: Office) -> None:
    office.park(BOB, reason="virus EICAR")
    (text,) = (await office.told()).values()
    assert ("Release:" in text, "Delete:" in text, "virus EICAR" in text) == (False, True, True)


async def test_no_letter_about_letters(office: Office) -> None:
    about = message(BOB).with_fact(DIGEST, True)
    office.park(BOB, envelope=about.envelope)
    assert await office.told() == {}


async def test_after_a_crash_a_letter_has_the_same_id(office: Office) -> None:
    """So whoever has it already, the queue or a mailbox, sees that."""
    office.park(BOB)
    office.park(CAT)
    office.verdict = Defer("not now")
    assert set(await office.told()) == {BOB, CAT}
    first = {one.recipients: one.id for one in office.sent}
    assert first[BOB,] == letter_id(office.directory.account(BOB).id, EIGHT)  # type: ignore[union-attr]
    office.start()
    office.verdict = Delivered()
    office.queued.add(first[CAT,])
    assert set(await office.told()) == {BOB}
    assert office.sent[0].id == first[BOB,]
    assert await office.told() == {}


async def test_who_could_not_be_told_is_told_later_and_the_others_not_again(office: Office) -> None:
    office.park(BOB)
    office.park(CAT)
    taken = office.verdict

    async def submit(letter: Message) -> Verdict:
        office.sent.append(letter)
        return Defer("full") if letter.recipients == (BOB,) else taken

    office.digests._post = replace(office.digests._post, submit=submit)
    assert set(await office.told()) == {BOB, CAT}
    assert set(await office.told()) == {BOB}
    taken = Reject("no")
    office.digests._post = replace(office.digests._post, submit=lambda letter: _say(office, letter))
    assert set(await office.told()) == {BOB}
    assert await office.told() == {}


async def _say(office: Office, letter: Message) -> Verdict:
    office.sent.append(letter)
    return Reject("no")


async def test_not_more_than_a_letter_holds(office: Office) -> None:
    for _ in range(MOST + 3):
        office.park(BOB)
    (text,) = (await office.told()).values()
    assert text.count("Reason:") == MOST
    assert "There are 3 more" in text


async def test_off_and_too_early(office: Office) -> None:
    office.park(BOB)
    assert office.settings is not None
    office.clock.now = EIGHT + 5  # what was parked just before may not be on the disk
    assert set(await office.told()) == set()
    office.clock.now = EIGHT + HOUR
    for settings in (None, replace(office.settings, digest="off"), replace(office.settings, secret_file=None)):
        office.settings = settings
        assert await office.told() == {}


async def test_a_clock_that_was_ahead_and_a_damaged_file(office: Office) -> None:
    office.clock.now += 365 * DAY
    await office.told()
    office.clock.now = EIGHT + HOUR + DAY
    office.park(BOB, at=EIGHT + 2 * HOUR)
    office.start()
    assert await office.told() == {}  # of that hour nobody knows whether it was told
    office.clock.now += DAY
    office.park(BOB, at=EIGHT + DAY + 2 * HOUR)
    assert set(await office.told()) == {BOB}
    office._file.write_text("{")
    office.start()
    assert set(await office.told()) == {BOB}


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (EIGHT, EIGHT),
        (EIGHT + 59, EIGHT),
        (EIGHT - 1, EIGHT - DAY),
        (EIGHT + DAY - 1, EIGHT),
        (EIGHT + DAY, EIGHT + DAY),
    ],
)
def test_the_last_time_of_a_clock(now: float, found: float) -> None:
    assert last_time("08:00", now) == found


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Pacific/Apia", "UTC"])
def test_every_day_has_one_whatever_the_zone(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        found = {last_time("08:00", 1_767_000_000 + hour * HOUR) for hour in range(24 * 366)}
        assert {time.strftime("%H:%M", time.localtime(one)) for one in found} == {"08:00"}
        assert len(found) in (366, 367)
    finally:
        monkeypatch.undo()
        time.tzset()
