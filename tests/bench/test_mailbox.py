"""The workload `mailbox`: its mail, its clients, its table, and each line against the servers that are here."""

import os
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench import Failed, report
from bench.disks import Disk
from bench.mailbox import client, lines, stock, wire
from bench.mailbox.letters import IN_SUBJECT, IN_TEXT, found, letter
from bench.mailbox.lines import LINES, Bench, measured, picked
from bench.mailbox.stock import Stock
from bench.measure import Cell, Part, Run, Trial, Wanted
from bench.report import Origin, Setting
from bench.servers import all_servers
from bench.servers.base import Task
from bench.workloads.mailbox import Mailbox

SERVERS = {server.key: server for server in all_servers()}
SMALL = Mailbox(calm=3.0, idle=4, folders=3, small=2)
CELL = Cell(stored=60)
WANTED = Wanted(runs=1, seconds=0.1)


# -- the mail


def test_the_mail_is_always_the_same_and_no_two_messages_are_alike() -> None:
    contents = [letter(number, series=series).content for series in (0, 1) for number in range(200)]
    assert contents == [letter(number, series=series).content for series in (0, 1) for number in range(200)]
    assert len(set(contents)) == len(contents)
    assert min(map(len, contents)) < 2000
    assert max(map(len, contents)) > 50_000
    assert not any(b"\r\n.\r\n" in content or b"\n" in content.replace(b"\r\n", b"") for content in contents)
    assert sum(b"multipart/mixed" in content for content in contents) > 10


@pytest.mark.parametrize("word", [IN_SUBJECT, IN_TEXT])
def test_words_are_where_they_are_said_to_be(word: str) -> None:
    having = [number + 1 for number in range(1100) if word.encode() in letter(number).content]
    assert having == found(word, 1100)
    assert len(having) > 1


# -- the connection


@contextmanager
def speaking(*pieces: bytes) -> Iterator[int]:
    """A server that says these one after the other, each in a packet of its own as far as can be, and hangs up."""

    def speak() -> None:
        with listening.accept()[0] as session:
            session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                session.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        speaker = threading.Thread(target=speak)
        speaker.start()
        try:
            yield listening.getsockname()[1]
        finally:
            speaker.join()


ANSWER = b"* 1 FETCH (FLAGS ())\r\n* 2 FETCH (BODY[] {4}\r\nT9\r\n)\r\nT9 OK done\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_words_are_counted_however_an_answer_is_cut(size: int) -> None:
    pieces = [ANSWER[start : start + size] for start in range(0, len(ANSWER), size)]
    with speaking(*pieces) as port, wire.Connection(port) as connection:
        assert connection.tagged((b" FETCH (", b"BODY[]")) == (len(ANSWER), {b" FETCH (": 2, b"BODY[]": 1})


def test_an_answer_may_be_longer_than_the_buffer() -> None:
    long = b"* 1 FETCH (x)\r\n" * 5000 + b"T9 OK done\r\n"
    with speaking(long) as port, wire.Connection(port, 8192) as connection:
        assert connection.tagged((b" FETCH (",)) == (len(long), {b" FETCH (": 5000})


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"T9 NO not today\r\n", "refused: T9 NO not today"), (b"* 1 FETCH (x)\r\n", "hung up"), (b"T9 OK", "hung up")],
)
def test_what_is_no_answer_is_an_error(said: bytes, reason: str) -> None:
    with speaking(said) as port, wire.Connection(port) as connection, pytest.raises(Failed, match=reason):
        connection.tagged()


def test_answers_of_pop3_are_counted_by_their_ends() -> None:
    two = b"+OK 9\r\nSubject: x\r\n\r\nx\r\n.\r\n" * 2
    with speaking(two) as port, wire.Connection(port) as connection:
        assert connection.dotted(2).octets == len(two)
    with speaking(b"-ERR none\r\n") as port, wire.Connection(port) as connection, pytest.raises(Failed, match="-ERR"):
        connection.dotted(1)


# -- the table


async def _never(count: int) -> Run:
    raise AssertionError


def records(rounds: dict[str, Sequence[dict[str, Part]]]) -> list[report.Record]:
    setting = Setting("mailbox", "plain", "ext4", CELL, Origin("2026-01-31", "2 cores", "postroad bench mailbox"))
    return [
        report.record(setting, Trial(key, key.capitalize(), "", "", _never), number, Run(60, 1.0, parts=parts))
        for key, runs in rounds.items()
        for number, parts in enumerate(runs, 1)
    ]


def rows(**rounds: Sequence[Part]) -> dict[str, str]:
    shown = report.table(records({key: [{"a line": part} for part in parts] for key, parts in rounds.items()}))
    assert shown.title == "a mailbox of 60 messages, on plain: ext4"
    [row] = shown.rows
    return dict(zip(shown.columns, row, strict=True))


def test_each_line_is_compared_with_the_best_of_the_others_in_each_round() -> None:
    ours = [Part(100.0, 1.5, 0.2, floor=0.5), Part(300.0, 1.5, floor=0.5)]
    row = rows(postroad=ours, maildir=[Part(200.0), Part(400.0)], mdbox=[Part(50.0), Part(500.0)])
    assert row["Postroad"] == "200 (100–300)"
    assert row["Postroad ÷ the best"] == "0.55 (0.50–0.60)"
    assert row["floor"] == "0.5×: reached"
    assert row["CPU s: Postroad"] == "1.5"
    assert row["client"] == "20%"
    assert rows(postroad=[Part(99.0, floor=0.5)], mdbox=[Part(200.0)])["floor"] == "0.5×: MISSED"


def test_where_less_is_better() -> None:
    row = rows(postroad=[Part(80.0, most=100)], mdbox=[Part(160.0, most=100)])
    assert (row["Postroad ÷ the best"], row["floor"]) == ("2.00", "≤ 100: reached")
    assert rows(postroad=[Part(101.0, most=100)], mdbox=[Part(160.0, most=100)])["floor"] == "≤ 100: MISSED"


def test_a_line_that_failed_says_why() -> None:
    row = rows(postroad=[Part(failure="it has no IMAP", floor=1.0)], mdbox=[Part(160.0, floor=1.0)])
    assert (row["Postroad"], row["floor"]) == ("failed: it has no IMAP", "1×")


# -- the servers


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as name:
        Path(name).chmod(0o755)
        yield Disk("plain", Path(name), "for a test")


def present(key: str) -> str:
    missing = SERVERS[key].missing()
    if missing is not None:
        pytest.fail(missing) if os.environ.get("POSTROAD_NO_SKIPS") else pytest.skip(missing)
    return key


def test_lines_are_picked_by_words_of_their_names() -> None:
    assert picked(LINES, ()) == list(LINES)
    assert [line.names[0] for line in picked(LINES, ("append", "Copy"))] == [
        "APPEND, messages/s", "APPEND, 50 together, messages/s", "COPY, messages/s",
    ]  # fmt: skip
    with pytest.raises(Failed, match="no line of mailbox has 'fly' in its name: POP3 RETR"):
        picked(LINES, ("COPY", "fly"))


@pytest.mark.peer
@pytest.mark.parametrize("key", ["postroad", "dovecot-tuned", "dovecot-mdbox"])
async def test_every_line_has_a_figure_twice_on_the_same_mailboxes(key: str, disk: Disk) -> None:
    [trial] = await SMALL.trials([SERVERS[present(key)]], CELL, disk, WANTED)
    assert trial.count == CELL.stored
    for _ in range(2):  # nothing of the first run is in the way of the second
        run = await trial.run(CELL.stored)
        failures = {name: part.failure for name, part in run.parts.items() if part.failure}
        if key != "postroad":  # news may be lost on a session that Dovecot is just putting to sleep
            failures = {name: text for name, text in failures.items() if "know nothing of a message" not in text}
        assert failures == {}
        assert list(run.parts) == [name for line in LINES for name in line.names]
        assert run.parts["POP3 RETR, messages/s"].value > 0
        assert run.parts["POP3 RETR, messages/s"].client > 0


@pytest.mark.peer
async def test_a_wrong_answer_is_no_figure(disk: Disk) -> None:
    server = SERVERS[present("dovecot-mdbox")]
    [trial] = await SMALL.trials([server], CELL, disk, WANTED)
    await trial.run(CELL.stored)
    [folder] = disk.folder.iterdir()
    made = Stock(CELL.stored + 500, folders=2, small=2, in_folder=19)
    async with server.start(Task("mailbox", folder)) as running, client.started() as one, client.started() as other:
        bench = Bench(running, folder, made, stock.passwords_in(folder), [one, other], 0.1, 2, 0.0)
        checked = [line for line in LINES if line.names[0].startswith(("FETCH", "SELECT", "STATUS", "SEARCH", "STORE"))]
        parts = await measured(bench, [replace(line, floor=2.0) for line in checked])
    assert all(part.failure and part.floor == 2.0 for part in parts.values()), parts


async def test_a_client_tells_what_failed_and_goes_on() -> None:
    with speaking(b"* BYE\r\n") as port:
        async with client.started() as one:
            with pytest.raises(Failed, match="refused"):
                await one.ask(client.capabilities, port, "user", "password")
            assert await one.ask(client.awake) is None


def test_goals_are_those_that_were_set() -> None:
    floors = {name: line.floor for line in LINES for name in line.names}
    assert {name.split(",")[0] for name, floor in floors.items() if floor == 1.0} == {
        "STATUS of 200 folders", "LIST-STATUS of 200 folders", "SEARCH TEXT", "APPEND", "login",
    }  # fmt: skip
    assert lines.LINES[-1].most[0] == 100  # KiB of a session in IDLE
