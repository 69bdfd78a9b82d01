"""The history on disk: what was noted is found again by all its keys, goes by age and by size, and survives damage."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.history.entries import FORMAT, Arrived, Attempted, Born, Entry, Leg, Noted, Outcome, TurnedAway
from engine.history.notes import Notes
from engine.history.reading import History
from engine.history.shelf import SMALLEST, TURNED_AWAY, Shelf, Terms, places
from engine.history.slice import BLOCK, RUN, Slice, without_details
from engine.message import MessageId
from engine.storage.environment import StorageError

ANN, BOB = "ann@example.net", "bob@example.org"
ROOT = Path(__file__).parents[2]
MAP = 2**28
DAY = 86_400.0


def arrived(
    identity: MessageId | None = None, *, to: Sequence[str] = (BOB,), sender: str = ANN, header_id: str = ""
) -> Arrived:
    identity = identity or MessageId.new()
    return Arrived(identity, identity.time, identity.time, "accepted", "inbound", 1, sender, tuple(to), 100, header_id)


def attempted(identity: MessageId, to: str = BOB) -> Attempted:
    return Attempted(identity, identity.time + 1, identity.time, 1, 1, ANN, (), (Outcome(to, "delivered"),))


def turned_away(number: int = 0) -> TurnedAway:
    return TurnedAway(b"", time.time(), "192.0.2.1", "x", "", ANN, (f"u{number}@example.org",), "5.1.1", "no such user")


@pytest.fixture
def slice_(tmp_path: Path) -> Iterator[Slice]:
    with Slice(tmp_path / "slice", map_size=MAP) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "history"


def shelf(folder: Path, *, keep: float = DAY, size: int = 2**30, now: list[float] | None = None) -> Shelf:
    folder.mkdir(exist_ok=True)
    return Shelf(folder, "mail-0", Terms(keep, size), clock=lambda: now[0] if now else time.time())


def of(folder: Path, identity: MessageId) -> list[Entry]:
    with History(folder) as history:
        found = [one.entry for one in history.of(identity)]
        assert history.unreadable == []
    return list(found)


def about(folder: Path, text: str) -> list[Entry]:
    with History(folder) as history:
        return [one.entry for one in history.about(text)]


def test_what_was_noted_is_found_by_id_address_and_message_id(folder: Path) -> None:
    identity, other = MessageId.new(), MessageId.new()
    first, second = arrived(identity, to=(BOB, "Carl@Example.ORG"), header_id="<One@Example.net>"), attempted(identity)
    made = shelf(folder)
    made.put([first, arrived(other, to=("dora@example.org",), sender="eve@example.net")])
    made.put([second])
    made.close()
    assert of(folder, identity) == [first, second]
    assert about(folder, "carl@example.org") == [first]
    assert about(folder, BOB.upper()) == [second, first]  # the newest first
    assert about(folder, "<one@EXAMPLE.net>") == [first]
    assert [entry.id for entry in about(folder, "eve@example.net")] == [other]
    assert about(folder, "nobody@example.org") == []
    assert of(folder, MessageId.new()) == []


def test_a_child_is_found_by_its_parent_and_by_itself(folder: Path) -> None:
    parent, child = MessageId.new(), MessageId.new()
    born = Born(child, child.time, parent, "report", "", (ANN,), 50)
    made = shelf(folder)
    made.put([born])
    made.close()
    assert of(folder, parent) == of(folder, child) == about(folder, ANN) == [born]


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), min_size=1, max_size=200), max_size=12),
    st.integers(1, 3),
)
def test_every_entry_is_found_however_they_come(batches: list[list[tuple[int, int]]], every: int) -> None:
    # Whatever runs are joined, and whenever the process starts anew.
    import tempfile

    ids = [MessageId.new() for _ in range(31)]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "slice"
        made = Slice(path, map_size=MAP)
        wanted: dict[str, list[bytes]] = {}
        for number, batch in enumerate(batches):
            entries = [arrived(ids[which], to=(f"u{to}@example.org",)) for which, to in batch]
            for entry in entries:
                wanted.setdefault(entry.to[0], []).append(entry.id)
            made.put(entries)
            if number % every == 0:
                made.close()
                made = Slice(path, map_size=MAP)
        from engine.history.slice import digest_of

        for to, expected in wanted.items():
            blocks = made.find(digest_of(to))
            assert blocks == sorted(set(blocks), reverse=True)
            found = [entry for number in reversed(blocks) for entry in made.block(number)]
            assert [entry.id for entry in found if isinstance(entry, Arrived) and entry.to == (to,)] == expected
        made.close()


def test_short_runs_are_joined_and_blocks_are_bounded(slice_: Slice) -> None:
    count = RUN // 3
    entries = [arrived(to=(f"{number}@example.org",)) for number in range(count)]
    for entry in entries:
        slice_.put([entry])
    slice_.put(entries)
    assert slice_.count() == count + -(-count // BLOCK)
    with slice_._environment.begin() as transaction:
        runs = [len(run) // 10 for _, run in transaction.cursor(slice_._runs)]
    assert len(runs) <= 3
    assert max(runs) >= RUN


def test_what_is_too_large_or_cannot_be_written_is_left_out_and_nothing_else(slice_: Slice) -> None:
    huge = Leg(1.0, "inbound/0", (), [("scan", "changed", 1.0, {"scan.words": "x" * 2_000_000})])
    endless = Leg(1.0, "inbound/0", (), [("scan", "changed", 1.0, {"scan.number": 2**70})])
    plain = arrived()
    with_huge, with_endless = (replace(plain, legs=(leg,)) for leg in (huge, endless))
    strange = arrived(sender="half\ud800@example.org")
    slice_.put([plain, with_huge, with_endless, strange])
    found = slice_.block(0)
    assert [entry.id for entry in found[:3]] == [plain.id] * 3
    legs = [leg for entry in found[1:3] if isinstance(entry, Arrived) for leg in entry.legs]
    assert [leg.steps for leg in legs] == [[["scan", "changed", 1.0]]] * 2
    assert len(found) == 3
    assert without_details(plain) is plain


def test_slices_go_by_age(folder: Path) -> None:
    now = [time.time()]
    made = shelf(folder, keep=32 * 3600, now=now)
    for _ in range(4):
        made.put([arrived()])
        now[0] += 3601
    starts = sorted(place.started for place in places(folder))
    assert len(starts) == 4
    oldest = min(places(folder))
    os.utime(oldest.path / "data.mdb", (now[0] - 33 * 3600,) * 2)
    made.tidy()
    assert sorted(place.started for place in places(folder)) == starts[1:]
    made.close()


def test_an_idle_process_keeps_nothing_that_is_too_old(folder: Path) -> None:
    now = [time.time()]
    made = shelf(folder, now=now)
    made.put([arrived()])
    made.close()
    now[0] += DAY + 1
    shelf(folder, now=now).tidy()
    assert list(places(folder)) == []


def test_slices_go_by_size_the_oldest_first_and_never_one_that_is_written(folder: Path) -> None:
    size = 8 * SMALLEST
    made, other = shelf(folder, size=size), Shelf(folder, "mailboxes", Terms(DAY, size))
    other.put([arrived()])
    for _ in range(60):
        made.put([arrived(header_id=f"<{os.urandom(200).hex()}>") for _ in range(200)])
    found = sorted(places(folder))
    assert sum(place.size()[0] for place in found) <= size + 2 * SMALLEST
    assert any(place.worker == "mailboxes" for place in found)  # its only one
    assert len(found) > 4
    assert found[-1].worker == "mail-0"
    made.close()
    other.close()


def test_a_restart_goes_on_with_the_slice_and_a_damaged_one_is_renewed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = arrived()
    for entry in (first, arrived()):
        made = shelf(folder)
        made.put([entry])
        made.close()
    (place,) = places(folder)
    assert of(folder, MessageId(first.id)) == [first]
    (place.path / "data.mdb").write_bytes(os.urandom(8192))
    with History(folder) as history:
        assert history.of(first.id) == []
        assert len(history.unreadable) == 1
    made = shelf(folder)
    last = arrived()
    made.put([last])
    made.close()
    assert "history-renewed" in capfd.readouterr().err
    assert of(folder, MessageId(last.id)) == [last]
    assert not place.path.exists()


def test_a_slice_whose_end_is_missing_is_damaged(folder: Path) -> None:
    made = shelf(folder)
    made.put([arrived(header_id=f"<{os.urandom(200).hex()}>") for _ in range(20_000)])
    made.close()
    (place,) = places(folder)
    os.truncate(place.path / "data.mdb", place.size()[0] // 2)
    with pytest.raises(StorageError, match="its end is missing"):
        Slice(place.path, map_size=MAP, read_only=True)


def test_a_damaged_block_hides_no_other_one(folder: Path) -> None:
    identity = MessageId.new()
    made = shelf(folder)
    made.put([arrived(identity)])
    made.put([attempted(identity)])
    assert made._slice is not None
    with made._slice._environment.begin(write=True) as transaction:
        transaction.put(b"\0\0\0\0", b"no block of ours", db=made._slice._blocks)
    made.close()
    with History(folder) as history:
        assert [one.entry for one in history.of(identity)] == [attempted(identity)]
        assert "damaged" in history.unreadable[0]


def test_what_another_release_wrote_is_left_alone(folder: Path) -> None:
    made = shelf(folder)
    made.put([arrived()])
    assert made._slice is not None
    with made._slice._environment.begin(write=True) as transaction:
        transaction.put(b"format", str(FORMAT + 1).encode())
    made.close()
    (old,) = places(folder)
    made = shelf(folder)
    last = arrived()
    made.put([last])
    made.close()
    assert old in list(places(folder))
    with History(folder) as history:
        assert [one.entry for one in history.of(last.id)] == [last]


def test_who_tries_out_names_does_not_drive_out_what_there_is_about_mail(folder: Path) -> None:
    made = shelf(folder)

    def told() -> int:
        assert made._slice is not None  # LMDB does not open it twice in one process
        entries = [entry for number in range(made._slice.count()) for entry in made._slice.block(number)]
        return sum(isinstance(entry, TurnedAway) for entry in entries)

    made.put([turned_away(number) for number in range(TURNED_AWAY + 500)])
    assert told() == TURNED_AWAY
    made.put([arrived(sender="eve@example.net") for _ in range(100)])
    made.put([turned_away(number) for number in range(500)])
    assert told() == TURNED_AWAY + 100
    made.close()


def test_nothing_is_noted_where_the_disk_has_no_room_left(folder: Path) -> None:
    folder.mkdir()
    made = Shelf(folder, "mail-0", Terms(DAY, 2**30, reserve=2**62))
    with pytest.raises(StorageError, match="reserve"):
        made.put([arrived()])
    assert list(places(folder)) == []


def test_processes_write_beside_each_other_and_are_read_together(folder: Path) -> None:
    identity = MessageId.new()
    one, two = shelf(folder), Shelf(folder, "mailboxes", Terms(DAY, 2**30))
    one.put([arrived(identity)])
    two.put([Noted(identity, identity.time + 0.5, "parked")])
    one.put([attempted(identity)])
    one.close()
    two.close()
    with History(folder) as history:
        assert [(type(told.entry), told.worker) for told in history.of(identity)] == [
            (Arrived, "mail-0"), (Noted, "mailboxes"), (Attempted, "mail-0"),
        ]  # fmt: skip
        assert [told.worker for told in islice(history.about(BOB), 1)] == ["mail-0"]


def test_notes_are_written_by_a_thread_and_at_the_end(folder: Path) -> None:
    folder.mkdir()
    notes = Notes()
    assert not notes.on
    notes.use(folder, "mail-0", Terms(DAY, 2**30), refusals=False)
    assert (notes.on, notes.refusals) == (True, False)
    entries = [arrived() for _ in range(100)]
    for entry in entries:
        notes(entry)
    notes.close()
    assert not notes.on
    assert all(of(folder, MessageId(entry.id)) == [entry] for entry in entries)
    notes.use(folder, "mail-0", Terms(DAY, 2**30))
    last = arrived()
    notes(last)
    notes.use(folder, "mail-0", Terms(DAY, 2**30), on=False)
    assert (notes.on, notes.refusals) == (False, False)
    notes.close()
    assert of(folder, MessageId(last.id)) == [last]


def test_notes_that_cannot_be_written_are_told_of_and_hold_up_nobody(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder.write_text("in the way")
    notes = Notes()
    notes.use(folder, "mail-0", Terms(DAY, 2**30))
    notes(arrived())
    notes.close()
    assert "history-not-noted" in capfd.readouterr().err


def test_what_was_committed_outlives_a_killed_process(folder: Path) -> None:
    folder.mkdir()
    program = """
import sys
from pathlib import Path
from engine.history.shelf import Shelf, Terms
from engine.message import MessageId
from tests.history.test_history_store import arrived

made = Shelf(Path(sys.argv[1]), "mail-0", Terms(86400, 2**30))
while True:
    one = arrived()
    made.put([one])
    print(MessageId(one.id), flush=True)
"""
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        ids = [process.stdout.readline().strip() for _ in range(50)]
        process.send_signal(signal.SIGKILL)
    made = shelf(folder)
    made.put([arrived()])
    made.close()
    assert len(list(places(folder))) == 1
    assert all(len(of(folder, MessageId.parse(one))) == 1 for one in ids)
