"""Three sessions on one account, of different kinds, beside a plain model of it: what each is told, and crashes."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from engine.imap import ImapLimits
from engine.mailbox import MailboxOwner
from engine.mailbox import log as change_log
from engine.mailbox.commands import (
    Answer,
    AnyCommand,
    Append,
    Appended,
    Begin,
    Copy,
    Create,
    Delete,
    Expunge,
    Move,
    Rename,
    Store,
)
from engine.mailbox.flags import SYSTEM, Mode
from tests.imap.imap_knowledge import Knowledge, Told, uid_set
from tests.imap.imap_serving import START, Client, Post
from tests.mailbox.mailbox_model import Mail, Model, state_of
from tests.support.loop import Running

ANN = 1
KINDS = ["", "CONDSTORE", "QRESYNC", "IMAP4rev2 UIDONLY", "QRESYNC UIDONLY"]

sessions = st.integers(0, 2)
names = st.sampled_from(["INBOX", "INBOX", "A", "A", "B"])
picks = st.lists(st.integers(0, 9), min_size=1, max_size=4)
flag_lists = st.lists(st.sampled_from([*SYSTEM, "work", "$Junk"]), unique=True, max_size=3)


class Session:
    """One client: its connection, what it knows of the selected mailbox, and what it has kept of each mailbox."""

    def __init__(self, client: Client, kind: str) -> None:
        self.client = client
        self.kind = kind
        self.knowledge: Knowledge | None = None
        self.name = ""
        self.box = 0
        self.kept: dict[int, tuple[int, dict[int, frozenset[str]]]] = {}  # UIDVALIDITY → MODSEQ, flags by UID

    @property
    def uid_only(self) -> bool:
        return "UIDONLY" in self.kind

    @property
    def told(self) -> list[Told]:
        return self.knowledge.messages if self.knowledge is not None else []

    def begins(self) -> Knowledge:
        """A mailbox is selected anew."""
        by_uid = "QRESYNC" in self.kind or self.uid_only
        condstore = "CONDSTORE" in self.kind or "QRESYNC" in self.kind
        self.knowledge = Knowledge(by_uid=by_uid, uid_only=self.uid_only, condstore=condstore)
        return self.knowledge


class Sessions(RuleBasedStateMachine):
    """Commands of the sessions in any order; each is done to the model too, as the session must mean it."""

    @initialize(kinds=st.tuples(*[st.sampled_from(KINDS)] * 3))
    def begin(self, kinds: tuple[str, str, str]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "mailbox"
        self.loop, self.bodies = Running(), 0
        self.open()
        self.loop(self.owner.change, Begin(account=ANN))
        self.model = Model()
        self.validities: dict[int, int] = {}
        self.change(Create(account=ANN, name="A"))
        self.sessions = [self.connected(kind) for kind in kinds]
        for session in (0, 1, 2):
            self.append(session, "INBOX", ["work"], 2)
            self.select(session, "INBOX")

    # The service.

    def open(self) -> None:
        self.owner, self.post, self.serving = self.loop(self.loop.nursery.start, self._serve)

    async def _serve(self, *, task_status: trio.TaskStatus[tuple[MailboxOwner, Post, trio.Nursery]]) -> None:
        owner = MailboxOwner(self.path, clock=lambda: START)
        async with trio.open_nursery() as nursery:
            task_status.started((owner, Post(owner, nursery, ImapLimits()), nursery))
            await trio.sleep_forever()

    async def _break_off(self) -> None:
        self.serving.cancel_scope.cancel()

    def connected(self, kind: str) -> Session:
        async def connect() -> Client:
            return await self.post.client(enables=kind)

        return Session(self.loop(connect), kind)

    def does(self, session: Session, command: str) -> str:
        """A command, whose responses the session takes in; how it ended."""
        responses = self.loop(self._ask, session, command)
        word = command.split(maxsplit=1)[0]
        if session.knowledge is None:
            return responses[-1].split()[0].decode()
        return session.knowledge.take(responses, word)

    async def _ask(self, session: Session, command: str) -> list[bytes]:
        with trio.fail_after(30):
            return await session.client.does(command)

    def change(self, command: AnyCommand) -> None:
        self.loop(self.owner.change, command)
        self.model.apply(command)

    # What the messages of a session are.

    def truth(self, session: Session) -> dict[int, Mail]:
        box = self.model.boxes.get(session.box)
        return box.mails if box is not None else {}

    def known(self, session: Session) -> tuple[int, ...]:
        """The messages that are there and the session was told of: what came since then is not meant by a command."""
        newest = max((message.uid for message in session.told if message.uid is not None), default=0)
        unknown = sum(message.uid is None for message in session.told)
        later = sorted(uid for uid in self.truth(session) if uid > newest)[:unknown]
        return tuple(uid for uid in self.truth(session) if uid <= newest or uid in later)

    def picked(self, session: Session, picks: Iterable[int]) -> list[int]:
        """UIDs of some of the messages that the session knows by UID."""
        known = [message.uid for message in session.told if message.uid is not None]
        return sorted({known[pick % len(known)] for pick in picks}) if known else []

    def named(self, session: Session, uids: Iterable[int], *, uid: bool) -> str:
        """A set of them, by UID or by number."""
        numbers = {message.uid: number for number, message in enumerate(session.told, 1)}
        return ",".join(str(one if uid else numbers[one]) for one in uids)

    # Rules.

    @rule(session=sessions, name=names, flags=flag_lists, count=st.integers(1, 2))
    def append(self, session: int, name: str, flags: list[str], count: int) -> None:
        box = self.model.names.get(name)
        bits, keywords = parted(flags)
        bodies = [b"body %d" % (self.bodies + one) for one in range(count)]
        self.bodies += count
        said = "".join(f" ({' '.join(flags)}) {{{len(body)}+}}\r\n{body.decode()}" for body in bodies)
        status = self.does(self.sessions[session], f"APPEND {name}{said}")
        assert (status == "OK") == (box is not None)
        if box is not None:
            messages = tuple(Appended(body, flags=bits, keywords=keywords) for body in bodies)
            self.model.apply(Append(account=ANN, mailbox=box.number, messages=messages))

    @rule(name=names)
    def deliver(self, name: str) -> None:
        self.loop(self.post.deliver, name)
        self.model.deliver(name, b"body\r\n", 0, frozenset())

    @rule(
        session=sessions, picks=picks, mode=st.sampled_from(Mode), flags=flag_lists, silent=st.booleans(),
        uid=st.booleans(), since=st.none() | st.integers(0, 5),
    )  # fmt: skip
    def store(
        self, session: int, picks: list[int], *, mode: Mode, flags: list[str], silent: bool, uid: bool,
        since: int | None,
    ) -> None:  # fmt: skip
        one = self.sessions[session]
        uid = uid or one.uid_only
        uids = self.picked(one, picks)
        if not uids or (not flags and mode is not Mode.REPLACE):
            return
        bits, keywords = parted(flags)
        unchanged = None if since is None else max(self.model.modseq - since, 0)
        there = [number for number in uids if number in self.truth(one)]
        before = {number: self.truth(one)[number].modseq for number in there}
        failed = [number for number in there if unchanged is not None and before[number] > unchanged]
        for message in one.told:
            if message.uid in there and message.uid not in failed and message.flags is not None and silent:
                message.flags = frozenset(mode_of_sets(mode, message.flags, frozenset(flags)))
        asked = self.named(one, uids, uid=uid)
        modifier = "" if unchanged is None else f"(UNCHANGEDSINCE {unchanged}) "
        operation = mode.value.replace("=", "") + "FLAGS" + (".SILENT" if silent else "")
        numbers = self.named(one, failed, uid=uid)
        command = f"STORE {asked} {modifier}{operation} ({' '.join(flags)})"
        status = self.does(one, f"UID {command}" if uid else command)
        if since is not None:
            one.knowledge.condstore = True
        if status == "OK":
            code = one.knowledge.code
            modified = uid_set(code.removeprefix("MODIFIED ")) if code.startswith("MODIFIED") else []
            assert modified == (uid_set(numbers) if numbers else [])
        else:
            assert not there, "a STORE was refused without a reason"
        self.model.apply(
            Store(
                account=ANN, mailbox=one.box, uids=tuple(uids), mode=mode, flags=bits, keywords=keywords,
                unchanged_since=unchanged,
            )
        )  # fmt: skip

    @rule(first=sessions, second=sessions, picks=picks, flags=flag_lists, others=flag_lists, mode=st.sampled_from(Mode))
    def store_the_same(
        self, first: int, second: int, picks: list[int], *, flags: list[str], others: list[str], mode: Mode
    ) -> None:
        """What another session did to the same messages is not hidden by what is done silently now."""
        self.store(first, picks, mode=Mode.ADD, flags=flags, silent=True, uid=True, since=None)
        self.store(second, picks, mode=mode, flags=others, silent=True, uid=False, since=None)
        self.noop(second, idles=False)

    @rule(session=sessions, other=sessions, picks=picks, uid=st.booleans())
    def expunge_behind_its_back(self, session: int, other: int, picks: list[int], uid: bool) -> None:
        """Numbers stay until it is told."""
        self.store(other, picks, mode=Mode.ADD, flags=["\\Deleted"], silent=True, uid=True, since=None)
        self.expunge(other)
        self.fetch(session, [0, 5, 9], uid=uid, seen=False)
        self.store(session, [1, 9], mode=Mode.ADD, flags=["work"], silent=False, uid=uid, since=None)
        self.search(session, "\\Seen", uid=uid, modseq=False)

    @rule(session=sessions)
    def expunge(self, session: int) -> None:
        self.removes(self.sessions[session], "EXPUNGE", ())

    @rule(session=sessions, picks=picks)
    def uid_expunge(self, session: int, picks: list[int]) -> None:
        one = self.sessions[session]
        uids = self.picked(one, picks)
        if uids:
            self.removes(one, f"UID EXPUNGE {self.named(one, uids, uid=True)}", tuple(uids))

    def removes(self, session: Session, command: str, uids: tuple[int, ...]) -> None:
        if session.knowledge is None:
            return
        if command == "EXPUNGE":
            uids = self.known(session)
        assert self.does(session, command) == "OK"
        self.model.apply(Expunge(account=ANN, mailbox=session.box, uids=uids))

    @rule(session=sessions, picks=picks, to=names, uid=st.booleans(), move=st.booleans())
    def copy(self, session: int, picks: list[int], to: str, uid: bool, move: bool) -> None:
        one = self.sessions[session]
        uid = uid or one.uid_only
        uids = self.picked(one, picks)
        box = self.model.names.get(to)
        if not uids:
            return
        command = f"{'MOVE' if move else 'COPY'} {self.named(one, uids, uid=uid)} {to}"
        status = self.does(one, f"UID {command}" if uid else command)
        if box is None:
            assert status == "NO"
            return
        expected = self.model.apply((Move if move else Copy)(
            account=ANN, mailbox=one.box, uids=tuple(uids), to=box.number))  # fmt: skip
        assert (status == "OK") == bool(expected.sources), (status, expected)
        if expected.sources:
            self.came(one.knowledge, expected)

    def came(self, knowledge: Knowledge | None, expected: Answer) -> None:
        assert knowledge is not None
        _, sources, uids = knowledge.copied.split()
        assert (uid_set(sources), uid_set(uids)) == ([*expected.sources], [*expected.uids])

    @rule(session=sessions, picks=picks, uid=st.booleans(), seen=st.booleans())
    def fetch(self, session: int, picks: list[int], uid: bool, seen: bool) -> None:
        one = self.sessions[session]
        uid = uid or one.uid_only
        uids = self.picked(one, picks)
        if not uids:
            return
        there = [number for number in uids if number in self.truth(one)]
        command = f"FETCH {self.named(one, uids, uid=uid)} (UID FLAGS MODSEQ{' BODY[1]' if seen else ''})"
        status = self.does(one, f"UID {command}" if uid else command)
        assert status == ("OK" if uid or len(there) == len(uids) else "NO")
        one.knowledge.condstore = True
        if seen:
            self.model.apply(
                Store(account=ANN, mailbox=one.box, uids=tuple(uids), mode=Mode.ADD, flags=SYSTEM["\\Seen"])
            )
        for message in one.told:
            if message.uid in there:
                mail = self.truth(one)[message.uid]
                assert (message.flags, message.modseq) == (flags_of(mail), mail.modseq)

    @rule(session=sessions, flag=st.sampled_from([*SYSTEM, "work"]), uid=st.booleans(), modseq=st.booleans())
    def search(self, session: int, flag: str, uid: bool, modseq: bool) -> None:
        one = self.sessions[session]
        if one.knowledge is None:
            return
        uid = uid or one.uid_only
        key = flag[1:].upper() if flag.startswith("\\") else f"KEYWORD {flag}"
        key += " MODSEQ 1" if modseq else ""
        matching = {number for number, mail in self.truth(one).items() if flag in flags_of(mail)}
        # Numbers as they were before EXPUNGE was told, which a UID SEARCH may tell behind its result.
        said = self.loop(self._ask, one, f"UID SEARCH {key}" if uid else f"SEARCH {key}")
        before = [message.uid for message in one.told]
        status = one.knowledge.take(said, "UID" if uid else "SEARCH")
        assert status == "OK"
        if uid:
            assert set(one.knowledge.found) == matching
            return
        assert len(one.knowledge.found) == len(matching)
        for number in one.knowledge.found:
            known = before[number - 1] if number <= len(before) else None
            assert known is None or known in matching

    @rule(session=sessions, idles=st.booleans())
    def noop(self, session: int, idles: bool) -> None:
        """After it the session knows all that there is to be known."""
        one = self.sessions[session]
        if idles:
            self.loop(self._idle, one)
        assert self.does(one, "NOOP") == "OK"
        if one.knowledge is None:
            return
        truth = self.truth(one)
        assert len(one.told) == len(truth)
        for place, uid in enumerate(sorted(truth)):
            message = one.told[place] if not one.uid_only else next((m for m in one.told if m.uid == uid), Told())
            assert message.uid in (None, uid)
            assert message.flags in (None, flags_of(truth[uid])), (uid, message.flags, truth[uid])
        if truth:
            items = "(UID FLAGS MODSEQ)" if one.knowledge.condstore else "(UID FLAGS)"
            assert self.does(one, f"UID FETCH 1:* {items}") == "OK"
        uids = [message.uid for message in one.told]
        assert (sorted(uids) if one.uid_only else uids) == sorted(truth)
        if one.box in self.model.boxes and one.knowledge.condstore:
            highest = max([one.knowledge.highest, *(message.modseq for message in one.told)])
            assert highest <= self.model.boxes[one.box].modseq
            flags = {message.uid: message.flags for message in one.told}
            one.kept[one.knowledge.validity] = highest, flags

    async def _idle(self, session: Session) -> None:
        tag = await session.client.begins(b"IDLE")
        assert (await session.client.hears()).startswith(b"+ ")
        await session.client.says(b"DONE\r\n")
        said = await session.client.ends(tag)
        if session.knowledge is not None:
            session.knowledge.take(said, "IDLE")

    @rule(session=sessions, name=names)
    def select(self, session: int, name: str) -> None:
        one = self.sessions[session]
        box = self.model.names.get(name)
        knowledge = one.begins()
        parameter = ""
        kept: dict[int, frozenset[str]] | None = None
        validity = self.validity_of(name)
        if "QRESYNC" in one.kind and validity in one.kept:
            modseq, kept = one.kept[validity]
            parameter = f" (QRESYNC ({validity} {modseq}))"
        status = self.does(one, f"SELECT {name}{parameter}")
        assert (status == "OK") == (box is not None)
        if box is None:
            one.knowledge, one.box = None, 0
            return
        one.box = box.number
        assert len(one.told) == len(box.mails)
        assert knowledge.highest == box.modseq
        assert self.validities.setdefault(box.number, knowledge.validity) == knowledge.validity
        if kept is not None:
            flags = {uid: flags for uid, flags in kept.items() if uid not in knowledge.earlier}
            flags |= {message.uid: message.flags for message in one.told if message.flags is not None}
            assert flags == {uid: flags_of(mail) for uid, mail in box.mails.items()}
            assert set(knowledge.earlier).isdisjoint(box.mails)
        self.noop(session, idles=False)

    def validity_of(self, name: str) -> int:
        box = self.model.names.get(name)
        return self.validities.get(box.number, 0) if box is not None else 0

    @rule(session=sessions, expunges=st.booleans())
    def leave(self, session: int, expunges: bool) -> None:
        one = self.sessions[session]
        if one.knowledge is None:
            return
        known = self.known(one)
        assert self.does(one, "CLOSE" if expunges else "UNSELECT") == "OK"
        if expunges:
            self.model.apply(Expunge(account=ANN, mailbox=one.box, uids=known))
        one.knowledge, one.box = None, 0

    @rule(session=sessions, command=st.sampled_from(["CREATE A", "CREATE B", "DELETE A", "DELETE B", "RENAME A B",
                                                     "RENAME B A", "RENAME INBOX B"]))  # fmt: skip
    def change_names(self, session: int, command: str) -> None:
        verb, name, *to = command.split()
        asked: AnyCommand
        match verb:
            case "CREATE":
                asked = Create(account=ANN, name=name)
            case "DELETE":
                asked = Delete(account=ANN, name=name)
            case _:
                asked = Rename(account=ANN, name=name, to=to[0])
        status = self.does(self.sessions[session], command)
        assert (status == "OK") == (self.model.apply(asked).problem is None)

    @rule(session=sessions, kind=st.sampled_from(KINDS))
    def reconnect(self, session: int, kind: str) -> None:
        kept = self.sessions[session].kept
        self.loop(self.sessions[session].client.stream.aclose)
        self.sessions[session] = self.connected(kind)
        self.sessions[session].kept = kept

    @rule()
    @precondition(lambda self: self.bodies % 3 == 0)
    def crash(self) -> None:
        """The process is gone, and with it all that was not committed; the sessions come again."""
        self.loop(self._break_off)
        self.owner.writer._handed.put(None)  # the thread would keep LMDB's lock
        self.owner.writer._committer.join()
        self.owner._release()
        self.open()
        for session, one in enumerate(self.sessions):
            name = next((name for name, box in self.model.names.items() if box and box.number == one.box), "")
            self.reconnect(session, one.kind)
            if name:
                self.select(session, name)

    @invariant()
    def the_store_agrees(self) -> None:
        if hasattr(self, "model"):
            state, model = state_of(self.owner.reader, ANN), self.model.state()
            assert state["names"] == model["names"]
            assert dict(map(bare, state["boxes"].items())) == dict(map(bare, model["boxes"].items()))

    def teardown(self) -> None:
        if hasattr(self, "owner"):
            self.loop(self._close)
            self.loop.end()
            self.folder.cleanup()

    async def _close(self) -> None:
        self.serving.cancel_scope.cancel()
        self.owner.close()


def bare(box: tuple[int, tuple[int, int, dict[int, Mail]]]) -> tuple[int, object]:
    """What is compared of a mailbox: all but the octets of its messages."""
    number, (uidnext, modseq, mails) = box
    return number, (uidnext, modseq, {uid: (mail.flags, mail.keywords, mail.modseq) for uid, mail in mails.items()})


def parted(flags: Iterable[str]) -> tuple[int, tuple[str, ...]]:
    bits = sum(SYSTEM[flag] for flag in flags if flag in SYSTEM)
    return bits, tuple(flag for flag in flags if flag not in SYSTEM)


def flags_of(mail: Mail) -> frozenset[str]:
    return frozenset(flag for flag, bit in SYSTEM.items() if mail.flags & bit) | mail.keywords


def mode_of_sets(mode: Mode, flags: frozenset[str], named: frozenset[str]) -> frozenset[str]:
    return {Mode.ADD: flags | named, Mode.REMOVE: flags - named, Mode.REPLACE: named}[mode]


def test_three_sessions_know_what_the_model_knows(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr(change_log, "MOST", 4)
    monkeypatch.setattr(change_log, "AT_ONCE", 3)
    count = int(os.environ.get("MODEL_EXAMPLES", "15"))
    run_machine(
        Sessions,
        settings=settings(
            max_examples=count,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink an example takes minutes
        ),
    )
    assert "given up" not in caplog.text
