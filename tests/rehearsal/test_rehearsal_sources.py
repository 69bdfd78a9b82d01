"""Where the messages of a rehearsal come from, and with which envelope they begin."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from engine import Envelope, Message, MessageId, Recipient, Session
from engine.message import JOURNAL, Octets
from engine.oversight.journaling import reports
from engine.queue.store import QUARANTINED, Record, Shard
from engine.rehearsal import Told, parked, queued, told
from engine.rehearsal.archive import reported
from engine.rehearsal.sources import as_it_came
from engine.storage.batch import Batch

PREPENDED = (
    b"X-Tag: a stage's\r\n"
    b"Authentication-Results: mx.example.org; none\r\n"
    b"Received: from mail.far.test ([192.0.2.7])\r\n\tby mx.example.org with ESMTP id 1;\r\n\tnow\r\n"
    b"Message-ID: <made@mx.example.org>\r\n"
)
ENVELOPE = Envelope(
    "a@far.test",
    (Recipient("bob@example.org", lane="local"),),
    Session(peer="192.0.2.7"),
    facts={"quarantine.reason": "odd", "scan.score": 7, "door.early_talker": True},
    prepended=PREPENDED,
    left_out=((0, 10),),
    attempts=3,
)
LETTER = b"From: Ann <ann@far.test>\r\nTo: Bob <bob@example.org>, cat@example.org\r\nCc: x\r\n\r\nhello\r\n"


def test_what_stages_did_before_is_taken_back() -> None:
    found = as_it_came(Message(MessageId.new(), ENVELOPE, Octets(LETTER)))
    envelope = found.envelope
    assert envelope.prepended == PREPENDED[PREPENDED.index(b"Received:") :]
    assert dict(envelope.facts) == {"door.early_talker": True}
    assert (envelope.left_out, envelope.attempts, envelope.recipients[0].lane) == ((), 0, "")
    assert (envelope.session, envelope.sender) == (ENVELOPE.session, ENVELOPE.sender)


def test_what_waits_and_what_is_parked(tmp_path: Path) -> None:
    with closing(Shard(tmp_path, 0, map_size=2**24)) as shard:
        records = [
            Record(MessageId.new(), ENVELOPE, "inbound", len(LETTER), due=1.0),
            Record(MessageId.new(), ENVELOPE, "inbound", len(LETTER), state=QUARANTINED, due=1.0, reason="odd"),
        ]
        with shard.environment.begin(write=True) as transaction:
            batch = Batch(transaction)
            for record in records:
                shard.put_new(batch, record, Octets(LETTER))
            batch.flush()
    with closing(Shard(tmp_path, 0, map_size=2**24, read_only=True)) as shard:
        [waits], [held] = list(queued([shard])), list(parked([shard]))
    assert (waits.where, waits.behind_queue, waits.message.envelope.attempts) == (str(records[0].id), True, 3)
    assert (held.where, held.behind_queue, dict(held.message.envelope.facts)) == (
        str(records[1].id), False, {"door.early_talker": True},
    )  # fmt: skip
    assert bytes(held.message.content) == LETTER


@pytest.mark.parametrize(
    ("beside", "options", "expected"),
    [
        (None, Told(), ("ann@far.test", ("bob@example.org", "cat@example.org"), Session())),
        (
            {"sender": "", "recipients": ["x@here.test"], "peer": "192.0.2.7"},
            Told(),
            ("", ("x@here.test",), Session(peer="192.0.2.7")),
        ),
        (
            {"sender": "eve@far.test", "peer": "192.0.2.7"},
            Told(sender="", login="bob@example.org"),
            (
                "",
                ("bob@example.org", "cat@example.org"),
                Session(peer="192.0.2.7", login="bob@example.org", trusted=True),
            ),
        ),
    ],
)
def test_files(tmp_path: Path, beside: dict[str, object] | None, options: Told, expected: tuple[object, ...]) -> None:
    (tmp_path / "one.eml").write_bytes(LETTER)
    if beside is not None:
        (tmp_path / "one.json").write_text(json.dumps(beside))
    [found] = told(tmp_path, options, lambda where, why: pytest.fail(f"{where}: {why}"))
    message = found.message
    assert (message.sender, message.recipients, message.session) == expected
    assert b"".join(message.chunks()) == LETTER
    assert not found.behind_queue


def test_return_path_and_delivered_to_say_more_than_from_and_to(tmp_path: Path) -> None:
    (tmp_path / "one.eml").write_bytes(b"Return-Path: <>\r\nDelivered-To: cat@example.org\r\n" + LETTER)
    [found] = told(tmp_path, Told(), lambda *_: None)
    assert (found.message.sender, found.message.recipients) == ("", ("cat@example.org",))


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(b"From: ann@far.test\r\n\r\nfor nobody\r\n")
    (tmp_path / "b.eml").write_bytes(LETTER)
    (tmp_path / "b.json").write_text('{"sendr": "x"}')
    said: dict[str, str] = {}
    assert list(told(tmp_path, Told(), said.__setitem__)) == []
    assert said[str(tmp_path / "a.eml")] == "it names no recipient; say one by --recipient"
    assert "unknown field `sendr`" in said[str(tmp_path / "b.eml")]


@pytest.mark.parametrize("octets", [LETTER, LETTER.replace(b"hello", "xin chào".encode())], ids=["ascii", "8bit"])
def test_a_journal_report_stands_for_the_message_in_it(octets: bytes) -> None:
    session = Session(peer="192.0.2.7", login="a@far.test", tls="TLSv1.3", trusted=True)
    recipients = tuple(map(Recipient, ("bob@example.org", "hidden@example.org")))
    body = "7BIT" if octets.isascii() else "8BITMIME"
    about = Message(MessageId.new(), Envelope("a@far.test", recipients, session, body=body), Octets(octets))
    note = [{"to": "journal@example.org", "from": "postmaster@example.org", "rules": ["all"]}]
    (report,) = reports(about.with_fact(JOURNAL, note), "mx.example.org", 1_800_000_000.0)
    whole = Octets(b"".join(report.chunks()))
    found = reported(whole)
    assert found is not None
    name, message, said = found
    assert (name, message) == (str(about.id), octets)
    assert (said.sender, said.recipients) == ("a@far.test", ("bob@example.org", "hidden@example.org"))
    assert (said.peer, said.login, said.tls) == ("192.0.2.7", "a@far.test", "TLSv1.3")


REPORT = (
    b"X-MS-Journal-Report:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
)


@pytest.mark.parametrize(
    "octets",
    [LETTER, b"X-MS-Journal-Report:\r\n" + LETTER, REPORT + b"Sender: x@y.test\r\n--b--\r\n"],
    ids=["a letter", "one that only says so", "no message in it"],
)
def test_what_is_no_journal_report(octets: bytes) -> None:
    assert reported(Octets(octets)) is None


def test_a_report_of_exchange() -> None:
    lines = (
        b"Sender: a@far.test\r\nSubject: x\r\nTo: bob@example.org, Forwarded: carl@example.org\r\n"
        b"Bcc: <dora@example.org>\r\n"
    )
    whole = REPORT + lines + b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + LETTER + b"\r\n--b--\r\n"
    found = reported(Octets(whole))
    assert found is not None
    name, message, said = found
    assert (name, message, said.sender) == ("", LETTER, "a@far.test")
    assert said.recipients == ("bob@example.org", "dora@example.org")
