"""A source that hangs up, holds back, renumbers and lies: nothing is lost, nothing is doubled, and all is told."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from engine.exchange.store import Store
from engine.mailbox.quota import Quota
from engine.migration import Choice, Login, Progress, Record, Run, Security, Server, Wishes
from engine.net.connection import Connection
from engine.storage.environment import StorageError
from tests.support.imap_source import PASSWORD, USER, Box, Source, serving

ACCOUNT = 5
LARGE = b"Subject: large\r\n\r\n" + b"A line of the large one.\r\n" * 12_000


def letters(count: int, start: int = 1) -> list[bytes]:
    return [b"Subject: %d\r\n\r\nHello\r\n" % number for number in range(start, start + count)]


@dataclass
class Mover:
    """Takes mail from a source into the account."""

    store: Store
    steps: list[str]
    login: Login = field(default_factory=lambda: Login(USER, lambda: PASSWORD))

    async def __call__(self, source: Source, **settings: Any) -> Progress:
        quota = settings.pop("quota", None)
        wishes = Wishes(**{"patience": 5.0, **settings})
        server = Server("127.0.0.1", source.port, Security.STARTTLS)
        run = Run(self.store, ACCOUNT, server, self.login, wishes)
        if quota is not None:

            async def asked() -> Quota:
                return Quota(*quota)

            run.quota = asked
        run.step = lambda done: self.steps.append(done.state)
        with (
            closing(Record(self.store.path, ACCOUNT, "source", self.store.mailboxes)) as run.record,
            trio.fail_after(60),
        ):
            return await run.run()

    def held(self, name: str = "INBOX") -> list[bytes]:
        """The contents of a mailbox, in the order in which they came."""
        found = self.store.mailboxes.folder(ACCOUNT, name)
        view = self.store.mailboxes.select(ACCOUNT, found.number) if found else None
        assert found is not None
        assert view is not None
        return [b"".join(self.store.mailboxes.chunks(ACCOUNT, uid, found.number)) for uid in view.uids]

    def flags(self, name: str = "INBOX") -> list[tuple[int, frozenset[str]]]:
        """System flags and keywords of each message."""
        found = self.store.mailboxes.folder(ACCOUNT, name)
        view = self.store.mailboxes.select(ACCOUNT, found.number) if found else None
        assert view is not None
        return [
            (flags, frozenset(word for bit, word in enumerate(view.keywords) if bits >> bit & 1))
            for flags, bits in zip(view.flags, view.bits, strict=True)
        ]


@pytest.fixture
def moved(store: Store) -> Mover:
    return Mover(store, [])


async def test_all_comes_once_and_only_what_is_new_comes_again(moved: Mover) -> None:
    source = Source(
        {"INBOX": Box().put(*letters(250), flags=r"\Seen $Forwarded \Recent"), "Work/2024": Box().put(LARGE)}
    )
    async with serving(source):
        done = await moved(source)
        assert (done.state, done.taken, done.before, done.left) == ("done", 251, 0, [])
        assert moved.held() == letters(250)
        assert moved.held("Work/2024") == [LARGE]
        assert set(moved.flags()) == {(1, frozenset({"$Forwarded"}))}
        source.boxes["INBOX"].put(*letters(3, 251))
        given = source.given
        again = await moved(source)
        assert (again.taken, again.before, source.given - given) == (3, 251, 3)
        assert moved.held() == letters(253)


async def test_what_a_source_says_of_the_day_is_kept(moved: Mover, store: Store) -> None:
    async with serving(Source({"INBOX": Box().put(*letters(1))})) as source:
        await moved(source)
    view = store.mailboxes.select(ACCOUNT, 1)
    assert view is not None
    assert list(view.received) == [1_594_953_865_000]


async def test_a_source_that_hangs_up_is_called_again(moved: Mover) -> None:
    source = Source({"INBOX": Box().put(*letters(100), LARGE, LARGE)}, hang_up_after=7)
    async with serving(source):
        done = await moved(source)
    assert (done.state, done.taken, done.total) == ("done", 102, 102)
    assert moved.held() == [*letters(100), LARGE, LARGE]
    assert "waiting" in moved.steps


async def test_a_source_that_holds_us_back_is_left_alone_for_a_while(moved: Mover) -> None:
    replies = [b"NO [LIMIT] later", b"NO [UNAVAILABLE] down", b"NO Too many simultaneous connections"]
    async with serving(Source({"INBOX": Box().put(*letters(2))}, sign_in=replies)) as source:
        done = await moved(source)
    assert (done.state, done.taken) == ("done", 2)
    assert moved.steps.count("waiting") == 3


async def test_patience_ends(moved: Mover) -> None:
    replies = [b"NO [LIMIT] later"] * 1000
    async with serving(Source({"INBOX": Box()}, sign_in=replies)) as source:
        done = await moved(source, patience=0.2)
    assert (done.state, done.why) == ("failed", "[LIMIT] later")


async def test_a_wrong_password_is_not_tried_again(moved: Mover) -> None:
    async with serving(Source({}, sign_in=[b"NO [AUTHENTICATIONFAILED] no"] * 5)) as source:
        done = await moved(source)
        assert (done.state, done.why) == ("refused", "[AUTHENTICATIONFAILED] no")
        assert len(source.sign_in) == 4


async def test_what_cannot_be_taken_is_told_message_by_message(moved: Mover) -> None:
    box = Box().put(*letters(6), LARGE, LARGE)
    box.messages[8].size = 10  # it lies
    source = Source({"INBOX": box}, refused={2, 5}, nil={3})
    async with serving(source):
        done = await moved(source, largest=100_000)
        told = {one.uid: one.why for one in done.left}
        assert (done.state, done.taken, sorted(told)) == ("done", 3, [2, 3, 5, 7, 8])
        assert told[2] == "the source does not give it: some could not be fetched"
        assert told[3] == "the source gives nothing of it"
        assert told[7] == told[8] == "it is larger than 100,000 octets"
        assert [one.size for one in done.left if one.uid > 6] == [len(LARGE)] * 2
        source.refused, source.nil = set(), set()
        again = await moved(source)
        assert (again.taken, again.left) == (5, [])
    assert Counter(moved.held()) == Counter([*letters(6), LARGE, LARGE])


async def test_a_full_account_is_told_and_goes_on_with_more_room(moved: Mover) -> None:
    async with serving(Source({"INBOX": Box().put(*letters(20))})) as source:
        done = await moved(source, quota=(0, 13))
        assert (done.state, done.taken) == ("full", 13)
        assert moved.held() == letters(13)
        again = await moved(source, quota=(0, 100))
        assert (again.state, again.taken, again.before) == ("done", 7, 13)
    assert moved.held() == letters(20)


async def test_a_folder_that_is_numbered_anew_doubles_nothing(moved: Mover) -> None:
    box = Box().put(*letters(10), letters(1)[0], LARGE)
    async with serving(Source({"INBOX": box})) as source:
        await moved(source)
        box.validity = 8
        box.messages = {uid + 100: one for uid, one in box.messages.items()}
        box.put(b"Subject: new\r\n\r\n")
        source.hang_up_after = 5
        done = await moved(source)
        assert (done.state, done.taken, done.total) == ("done", 1, 13)
        source.hang_up_after = 0
        assert (await moved(source)).taken == 0
    assert moved.held() == [*letters(10), letters(1)[0], LARGE, b"Subject: new\r\n\r\n"]


async def test_of_a_view_of_all_only_what_is_nowhere_else_comes(moved: Mover) -> None:
    boxes = {
        "All Mail": Box(attributes=r"\All").put(*letters(5)),
        "Starred": Box(attributes=r"\Flagged").put(*letters(1)),
        "INBOX": Box().put(*letters(3)),
    }
    async with serving(Source(boxes)) as source:
        done = await moved(source)
        assert (done.taken, moved.held(), moved.held("Archive")) == (5, letters(3), letters(2, 4))
        assert done.places == {"INBOX": "INBOX", "All Mail": "Archive"}
        assert (await moved(source)).taken == 0


@pytest.mark.parametrize("condstore", [False, True])
async def test_flags_follow_where_it_is_wanted(moved: Mover, *, condstore: bool) -> None:
    box = Box(modseq=9 if condstore else 0).put(*letters(3), flags=r"\Seen")
    async with serving(Source({"INBOX": box})) as source:
        await moved(source)
        box.messages[2].flags, box.messages[2].modseq = r"\Seen \Flagged Urgent", 12
        del box.messages[3]
        box.modseq = 12 if condstore else 0
        assert (await moved(source)).flags == 0
        done = await moved(source, flags=True)
        assert (done.taken, done.flags) == (0, 1)
        assert moved.flags() == [(1, frozenset()), (5, frozenset({"Urgent"})), (1, frozenset())]
        source.asked.clear()
        assert (await moved(source, flags=True)).flags == 0
        assert any("CHANGEDSINCE 12" in line for line in source.asked) is condstore


async def test_bare_line_ends_become_whole_ones(moved: Mover) -> None:
    long = LARGE.replace(b"\r\n", b"\n")
    async with serving(Source({"INBOX": Box().put(b"Subject: x\n\nno\r\nyes\n", long)})) as source:
        await moved(source)
    assert moved.held() == [b"Subject: x\r\n\r\nno\r\nyes\r\n", LARGE]


async def test_which_folders_come_can_be_said(moved: Mover) -> None:
    boxes = {name: Box().put(*letters(1)) for name in ("INBOX", "Lists/a", "Lists/b", "Lists/c")}
    async with serving(Source(boxes)) as source:
        done = await moved(source, choice=Choice(("Lists/*", "Nothing"), ("Lists/b",)), into="Old")
    assert done.places == {"Lists/a": "Old/Lists/a", "Lists/c": "Old/Lists/c"}
    assert done.notes == ["the source has no folder Nothing"]


JUNK: dict[str, Callable[[Source], None]] = {
    "an endless line": lambda source: source.junk.update(UID=b"* 1 FETCH (" + b"x" * 300_000),
    "an endless literal": lambda source: source.junk.update(UID=b"* 1 FETCH (UID 1 BODY[] {99999999999}\r\n"),
    "deep lists": lambda source: source.junk.update(UID=b"* 1 FETCH " + b"(" * 50_000 + b"\r\n"),
    "many folders": lambda source: source.junk.update(LIST=b'* LIST () "/" "a"\r\n' * 20_001),
    "another's answer": lambda source: source.junk.update(LIST=b"Q77 OK done\r\n"),
    "no IMAP at all": lambda source: source.junk.update(LIST=b"HTTP/1.1 200 OK\r\n\r\n"),
}


@pytest.mark.parametrize("kind", list(JUNK))
async def test_a_hostile_source_ends_in_a_failure_that_is_told(moved: Mover, kind: str) -> None:
    source = Source({"INBOX": Box().put(*letters(1))})
    JUNK[kind](source)
    async with serving(source):
        done = await moved(source, patience=0.1)
    assert done.state == "failed"
    assert done.why
    assert done.taken == 0


async def test_messages_that_nobody_asked_for_are_not_taken(moved: Mover) -> None:
    answer = b"* 1 FETCH (UID 1 RFC822.SIZE 30 BODY[] {3}\r\nabc)\r\n* 9 FETCH (UID 900 BODY[] {3}\r\nabc)\r\n"
    source = Source({"INBOX": Box().put(*letters(1))}, junk={"UID": answer * 3 + b"TAG OK done\r\n"})
    async with serving(source):
        done = await moved(source)
    assert (done.state, done.taken) == ("done", 1)
    assert moved.held() == [b"abc"]


async def test_no_password_is_said_where_others_can_listen(moved: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "is_loopback", False)
    async with serving(Source({})) as source:
        done = await moved(source)
    assert (done.state, done.why) == ("refused", "it offers no STARTTLS, and a password is not said in the clear")
    assert not any("AUTHENTICATE" in line or "LOGIN" in line for line in source.asked)


@pytest.mark.parametrize(
    ("capabilities", "settings", "said"),
    [
        ("IMAP4rev1 AUTH=PLAIN", {}, ["AUTHENTICATE PLAIN"]),
        ("IMAP4rev1", {}, [f'LOGIN "{USER}" "{PASSWORD}"']),
        ("IMAP4rev1 SASL-IR AUTH=OAUTHBEARER AUTH=XOAUTH2", {"token": True}, ["AUTHENTICATE OAUTHBEARER"]),
        ("IMAP4rev1 SASL-IR AUTH=XOAUTH2", {"token": True}, ["AUTHENTICATE XOAUTH2"]),
        ("IMAP4rev1 SASL-IR AUTH=PLAIN", {"master": "root"}, ["AUTHENTICATE PLAIN"]),
        ("IMAP4rev1 LOGINDISABLED", {}, []),
        ("IMAP4rev1 AUTH=PLAIN", {"token": True}, []),
    ],
)
async def test_the_best_login_is_taken(
    moved: Mover, capabilities: str, settings: dict[str, Any], said: list[str]
) -> None:
    moved.login = Login(USER, lambda: PASSWORD, **settings)
    async with serving(Source({"INBOX": Box()}, capabilities=capabilities)) as source:
        done = await moved(source)
    logins = [line.partition(" ")[2] for line in source.asked if "AUTH" in line.upper() or "LOGIN" in line]
    assert done.state == ("done" if said else "refused")
    assert len(logins) == len(said)
    assert all(login.startswith(begin) for login, begin in zip(logins, said, strict=True))


async def test_a_private_address_is_not_gone_to_for_strangers(store: Store) -> None:
    async with serving(Source({})) as source:
        server = Server("127.0.0.1", source.port, Security.STARTTLS, public_only=True)
        run = Run(store, ACCOUNT, server, Login(USER, lambda: PASSWORD))
        with closing(Record(store.path, ACCOUNT, "source", store.mailboxes)) as run.record:
            done = await run.run()
    assert (done.state, done.why) == ("refused", "127.0.0.1 is at no public address")
    assert source.asked == []


async def test_one_run_at_a_time(store: Store) -> None:
    with (
        closing(Record(store.path, ACCOUNT, "source", store.mailboxes)),
        pytest.raises(StorageError, match="another migration"),
    ):
        Record(store.path, ACCOUNT, "source", store.mailboxes)
