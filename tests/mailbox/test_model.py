"""The store beside a plain model: whatever is done to it, three views of it, crashes in between, and kill -9."""

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from mailbox_model import ENTRIES, INBOX, Mail, Model, state_of
from mailbox_samples import written

from engine.mailbox import Mailboxes, MailboxOwner, Place, Recipient
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
    DeleteAcl,
    Expunge,
    Move,
    Rename,
    SetAcl,
    SetMetadata,
    Store,
    Subscribe,
    Undelete,
)
from engine.mailbox.flags import DELETED, FLAGGED, SEEN, Mode
from tests.support.loop import Running

ANN = 1
NAMES = ["A", "A/B", "A/B/C", "B", "B/A", "INBOX", "INBOX/x", "Sent"]
KEYWORDS = ["$Forwarded", "$Junk", "work"]
START = 1_800_000_000.0

names = st.sampled_from(NAMES)
numbers = st.sampled_from([INBOX, INBOX, INBOX, 2, 2, 3, 7, 8])
uid_lists = st.lists(st.integers(1, 8), min_size=1, max_size=6).map(tuple)
flags = st.sampled_from([0, SEEN, DELETED, FLAGGED, SEEN | DELETED])
keywords = st.lists(st.sampled_from(KEYWORDS), unique=True, max_size=2).map(tuple)
on_names = st.one_of(
    st.builds(Create, account=st.just(ANN), name=names),
    st.builds(Delete, account=st.just(ANN), name=names),
    st.builds(Rename, account=st.just(ANN), name=names, to=names),
    st.builds(Subscribe, account=st.just(ANN), name=names, on=st.booleans()),
    st.builds(Undelete, account=st.just(ANN), since=st.integers(0, 30).map(lambda s: int((START + s) * 1000)),
              name=st.just("") | names),
)  # fmt: skip
on_messages = st.one_of(
    st.builds(Copy, account=st.just(ANN), mailbox=numbers, uids=uid_lists, to=numbers),
    st.builds(Move, account=st.just(ANN), mailbox=numbers, uids=uid_lists, to=numbers),
    st.builds(Expunge, account=st.just(ANN), mailbox=numbers, uids=uid_lists, deleted_only=st.booleans()),
    st.builds(
        Store, account=st.just(ANN), mailbox=numbers, uids=uid_lists, mode=st.sampled_from(Mode), flags=flags,
        keywords=keywords, unchanged_since=st.none() | st.integers(0, 40),
    ),
)  # fmt: skip
identifiers = st.sampled_from(["ben@example.org", "-ben@example.org", "anyone", "$sales@example.org"])
on_belongings = st.one_of(
    st.builds(
        SetAcl, account=st.just(ANN), mailbox=numbers, identifier=identifiers,
        operation=st.sampled_from(["", "+", "-"]), rights=st.sampled_from(["", "l", "lr", "lrsw", "kxa"]),
        owner=st.just("ann@example.org"),
    ),
    st.builds(DeleteAcl, account=st.just(ANN), mailbox=numbers, identifier=identifiers),
    st.builds(
        SetMetadata, account=st.just(ANN), mailbox=numbers,
        values=st.lists(
            st.tuples(st.sampled_from(ENTRIES), st.sampled_from([None, b"", b"x"])), min_size=1, max_size=2
        ).map(tuple),
    ),
)  # fmt: skip


class View:
    """What one session knows of a mailbox, brought up to date by what has changed alone."""

    def __init__(self, reader: Mailboxes, number: int) -> None:
        self.number = number
        self.whole(reader)

    def whole(self, reader: Mailboxes) -> None:
        view = reader.select(ANN, self.number)
        assert view is not None
        self.since = view.status.modseq
        self.mails = {
            uid: (view.flags[index], view.bits[index], view.modseqs[index]) for index, uid in enumerate(view.uids)
        }

    def refresh(self, reader: Mailboxes) -> None:
        changes = reader.changes(ANN, self.number, self.since)
        if changes is None:
            status = reader.status(ANN, self.number)
            assert status is not None
            assert status.lowest > self.since, "a full look was asked for without need"
            self.whole(reader)
            return
        for first, last in changes.vanished:
            for uid in range(first, last + 1):
                self.mails.pop(uid, None)
        news = changes.messages
        self.mails |= dict(zip(news.uids, zip(news.flags, news.bits, news.modseqs, strict=True), strict=True))
        self.since = changes.status.modseq


class Mailbox(RuleBasedStateMachine):
    """Commands in any order, to the store and to the model."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "mailbox"
        self.run, self.seconds, self.bodies = Running(), 0, 0
        self.validities: dict[int, int] = {}
        self.open()
        self.run(self.owner.change, Begin(account=ANN))
        self.model = Model()
        for number, count in ((INBOX, 8), (2, 4)):
            self.append(number, count, DELETED, ())
        self.views = {session: View(self.owner.reader, number) for session, number in enumerate((INBOX, INBOX, 2))}

    def open(self) -> None:
        async def opened() -> MailboxOwner:
            return MailboxOwner(self.path, keep_expunged=1e9, clock=lambda: START + self.seconds)

        self.owner = self.run(opened)

    def body(self) -> bytes:
        self.bodies += 1
        return b"body %d" % self.bodies

    @rule(command=on_names)
    def change_names(self, command: AnyCommand) -> None:
        self.command(command)

    @rule(command=on_messages)
    def change_messages(self, command: AnyCommand) -> None:
        self.command(command)

    @rule(command=on_messages)
    def change_more_messages(self, command: AnyCommand) -> None:
        self.command(command)

    @rule(command=on_belongings)
    def change_belongings(self, command: AnyCommand) -> None:
        self.command(command)

    def command(self, command: AnyCommand) -> None:
        self.same(self.run(self.owner.change, command), self.model.apply(command))

    @rule(number=numbers, count=st.integers(1, 3), flags=flags, keywords=keywords)
    def append(self, number: int, count: int, flags: int, keywords: tuple[str, ...]) -> None:
        messages = tuple(Appended(self.body(), flags=flags, keywords=keywords) for _ in range(count))
        self.command(Append(account=ANN, mailbox=number, messages=messages))

    @rule(name=names, flags=flags, keywords=keywords)
    def deliver(self, name: str, flags: int, keywords: tuple[str, ...]) -> None:
        body = self.body()
        recipient = Recipient("ann@example.org", (Place(name, flags, keywords),))
        self.run(self.owner.deliver, written(body), {ANN: recipient})
        self.model.deliver(name, body, flags, frozenset(keywords))

    @rule(session=st.integers(0, 2), number=numbers)
    def select(self, session: int, number: int) -> None:
        if number in self.model.boxes:
            self.views[session] = View(self.owner.reader, number)

    @rule(session=st.integers(0, 2))
    def look(self, session: int) -> None:
        view = self.views.get(session)
        if view is not None and view.number in self.model.boxes:
            view.refresh(self.owner.reader)
            mails = self.model.boxes[view.number].mails
            assert {uid: (flags, modseq) for uid, (flags, _, modseq) in view.mails.items()} == {
                uid: (mail.flags, mail.modseq) for uid, mail in mails.items()
            }

    @rule()
    def crash(self) -> None:
        """The process is gone, and with it all that was not committed; another one opens the store."""
        self.owner.writer._handed.put(None)  # the thread would keep LMDB's lock
        self.owner.writer._committer.join()
        self.owner._release()
        self.open()

    def same(self, answer: Answer, expected: Answer) -> None:
        assert msgspec.structs.replace(answer, since=0, modseq=0, uidvalidity=0, steps=()) == expected
        assert not answer.steps or answer.steps == ((len(answer.sources), answer.modseq),)
        assert answer.modseq in (0, self.model.modseq) or answer.mailbox

    @invariant()
    def agrees(self) -> None:
        self.seconds += 1
        self.model.now = int((START + self.seconds) * 1000)
        reader = self.owner.reader
        assert reader.verify() == []
        assert state_of(reader, ANN) == self.model.state()
        for folder in reader.folders(ANN):
            if folder.status is not None:
                validity = self.validities.setdefault(folder.number, folder.status.uidvalidity)
                assert validity == folder.status.uidvalidity
        assert len(set(self.validities.values())) == len(self.validities)

    def teardown(self) -> None:
        if hasattr(self, "owner"):
            self.run(self._close)
            self.run.end()
            self.folder.cleanup()

    async def _close(self) -> None:
        self.owner.close()


def test_the_store_does_what_the_model_does(monkeypatch) -> None:
    monkeypatch.setattr(change_log, "MOST", 4)
    monkeypatch.setattr(change_log, "AT_ONCE", 2)
    count = int(os.environ.get("MODEL_EXAMPLES", "15"))
    run_state_machine_as_test(
        Mailbox,
        settings=settings(
            max_examples=count, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def some(seed: int) -> list[AnyCommand]:
    """A long list of commands that mostly do something."""
    dice = random.Random(seed)
    found: list[AnyCommand] = [Begin(account=ANN)]
    for number in range(3000):
        uids = tuple(dice.randrange(1, 40) for _ in range(8))
        box = dice.choice([INBOX, INBOX, 2, 3, 7, 8])
        keywords = tuple(dice.sample(KEYWORDS, 1))
        found.append(
            dice.choice([
                Append(account=ANN, mailbox=box, messages=(Appended(b"body %d" % number, flags=9),) * 2),
                Append(account=ANN, mailbox=box, messages=(Appended(b"x" * 9000 + b"\r\nbody %d" % number),)),
                Store(account=ANN, mailbox=box, uids=uids, mode=Mode.ADD, flags=DELETED, keywords=keywords),
                Store(account=ANN, mailbox=box, uids=uids, mode=Mode.REPLACE, flags=SEEN),
                Expunge(account=ANN, mailbox=box, uids=uids),
                Copy(account=ANN, mailbox=box, uids=uids, to=INBOX),
                Move(account=ANN, mailbox=box, uids=uids, to=3),
                Create(account=ANN, name=dice.choice(NAMES)),
                Rename(account=ANN, name=dice.choice(NAMES), to=dice.choice(NAMES)),
                Subscribe(account=ANN, name=dice.choice(NAMES), on=dice.random() < 0.5),
                SetAcl(account=ANN, mailbox=box, identifier="anyone", rights=dice.choice(["", "l", "lr"])),
                SetMetadata(account=ANN, mailbox=box, values=((ENTRIES[0], dice.choice([None, b"x", b"y"])),)),
            ])
        )  # fmt: skip
    return found


OWNER = """
import os, sys
from pathlib import Path
import trio
sys.path.insert(0, sys.argv[2])
from test_model import some
from engine.mailbox import MailboxOwner

async def main():
    owner = MailboxOwner(Path(sys.argv[1]), keep_expunged=1e9)
    for command in some(int(sys.argv[3])):
        await owner.change(command)
        os.write(1, b"done\\n")

trio.run(main)
"""


@pytest.mark.parametrize("acknowledged", [1, 150, 400])
async def test_kill_9_leaves_what_was_answered_and_at_most_one_command_more(tmp_path: Path, acknowledged: int) -> None:
    path, seed = tmp_path / "mailbox", acknowledged
    arguments = [sys.executable, "-c", OWNER, str(path), str(Path(__file__).parent), str(seed)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledged)]
        process.kill()
        done = len(lines) + len(process.stdout.readlines())
    model, states = Model(), []
    first, *rest = some(seed)
    assert isinstance(first, Begin)
    for number, command in enumerate(rest[:done], 1):
        if number >= done:
            states.append(model_state(model))
        model.apply(command)
    states.append(model_state(model))
    with MailboxOwner(path) as owner:
        assert owner.reader.verify() == []
        assert state_of(owner.reader, ANN) in states


def model_state(model: Model) -> dict[str, Any]:
    """A copy, with bodies as ``state_of`` reads them."""
    state = model.state()
    boxes = {
        number: (
            uidnext,
            modseq,
            {
                uid: Mail(mail.body.rpartition(b"\r\n")[2], mail.flags, mail.keywords, mail.modseq)
                for uid, mail in mails.items()
            },
        )
        for number, (uidnext, modseq, mails) in state["boxes"].items()
    }
    copied = {what: {number: dict(found) for number, found in state[what].items()} for what in ("grants", "metadata")}
    return {**state, **copied, "subscribed": set(state["subscribed"]), "boxes": boxes}
