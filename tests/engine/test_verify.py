"""`postroad queue verify`: a shard that agrees with itself, and each way in which it may not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine import MessageId
from engine.message import Octets
from engine.queue.content import CHUNK, FileContent, chunk_key
from engine.queue.store import HELD, QUARANTINED, Record, Shard, content_folder, digest, due_key, line_key, noted, pack
from engine.queue.verify import Verification
from engine.storage.batch import committed
from tests.support.messages import LETTER, message

Break = Callable[[Any, Callable[[str], Any], dict[str, Record]], None]


def stored(shard: Shard, data: Path) -> dict[str, Record]:
    """A message of each kind."""
    about = {name: message("b@rcpt.test") for name in ("due", "parked", "held", "large", "line", "long")}
    records = {name: Record(one.id, one.envelope, "inbound", len(LETTER), due=2000.0) for name, one in about.items()}
    records["parked"] = replace(records["parked"], state=QUARANTINED)
    records["held"] = replace(records["held"], state=HELD, back="rcpt.test")
    records["large"] = replace(records["large"], in_file=True)
    records["line"] = replace(records["line"], line="rcpt.test")
    records["long"] = replace(records["long"], size=2 * CHUNK + 1)
    file = content_folder(data) / str(records["large"].id)
    file.write_bytes(LETTER)
    with committed(shard.environment) as batch:
        for name, record in records.items():
            content = {"large": FileContent(file, len(LETTER)), "long": Octets(b"x" * record.size)}.get(name)
            shard.put_new(batch, record, content or Octets(LETTER))
        shard.set_turn(batch, "rcpt.test", 3000.0, 1000.0)
    return records


def problems(shard: Shard) -> list[str]:
    return list(Verification(shard).problems())


def test_a_shard_agrees_with_itself(shard: Shard, data: Path) -> None:
    stored(shard, data)
    verification = Verification(shard)
    assert list(verification.problems()) == []
    assert verification.messages == 6


def test_an_empty_one_too(shard: Shard) -> None:
    assert problems(shard) == []


BROKEN: list[tuple[str, str, Break]] = [
    ("due", "waits, and is not in the index", lambda t, db, r: t.delete(due_key(r["due"]), db=db("due"))),
    (
        "parked",
        "due has an entry for {}, which is not in the queue",
        lambda t, db, r: t.delete(r["due"].id, db=db("envelopes")),
    ),
    (
        "parked",
        "due has an entry for {} that should not be there",
        lambda t, db, r: t.put(due_key(r["parked"]), b"", db=db("due")),
    ),
    (
        "due",
        "due has an entry for {} that should not be there",
        lambda t, db, r: t.put(due_key(replace(r["due"], due=1.0)), b"", db=db("due")),
    ),
    (
        "held",
        "{} is held, and the index held says something else of it than its record",
        lambda t, db, r: t.put(due_key(r["held"]), noted(replace(r["held"], size=7)), db=db("held")),
    ),
    ("held", "{} is held, and is not in the index held", lambda t, db, r: t.delete(due_key(r["held"]), db=db("held"))),
    (
        "held",
        "due has an entry for {} that should not be there",
        lambda t, db, r: t.put(due_key(r["held"]), b"", db=db("due")),
    ),
    (
        "due",
        "held has an entry for {} that should not be there",
        lambda t, db, r: t.put(due_key(r["due"]), b"", db=db("held")),
    ),
    ("line", "{} does not stand in the line", lambda t, db, r: t.delete(line_key(r["line"]), db=db("lines"))),
    (
        "line",
        "{} stands in the line of rcpt.test, which has no turn",
        lambda t, db, r: t.delete(digest("rcpt.test"), db=db("lines")),
    ),
    ("line", "the turn of rcpt.test is not in the index", lambda t, db, r: t.drop(db("turns"), delete=False)),
    ("due", "there are 1 lines, and 2 turns", lambda t, db, r: t.put(b"x" * 16, b"", db=db("turns"))),
    (
        "due",
        "lines has an entry for {} that should not be there",
        lambda t, db, r: t.put(line_key(replace(r["due"], line="rcpt.test")), b"", db=db("lines")),
    ),
    ("due", "{} lacks chunk 0", lambda t, db, r: t.delete(chunk_key(r["due"].id, 0), db=db("content"))),
    ("long", "{} lacks chunk 1", lambda t, db, r: t.delete(chunk_key(r["long"].id, 1), db=db("content"))),
    (
        "long",
        "the content of {} has",
        lambda t, db, r: t.put(chunk_key(r["long"].id, 1), b"short", db=db("content")),
    ),
    (
        "due",
        "content has an entry for {} that should not be there",
        lambda t, db, r: t.put(chunk_key(r["due"].id, 1), b"more", db=db("content")),
    ),
    ("due", "the record of {} cannot be read", lambda t, db, r: t.put(r["due"].id, b"\xc1", db=db("envelopes"))),
    (
        "due",
        "{} has no recipient left",
        lambda t, db, r: t.put(
            r["due"].id, pack(replace(r["due"], envelope=replace(r["due"].envelope, recipients=()))), db=db("envelopes")
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "damage"), BROKEN, ids=[text for _, text, _ in BROKEN])
def test_each_contradiction_is_found(shard: Shard, data: Path, name: str, text: str, damage: Break) -> None:
    records = stored(shard, data)
    with shard.environment.begin(write=True) as transaction:
        damage(transaction, lambda name: shard.environment.open_db(name.encode(), txn=transaction), records)
    found = problems(shard)
    about = records["due"].id if text.startswith("due has an entry for {}, which") else records[name].id
    assert any(text.format(about) in problem for problem in found), found


@pytest.mark.parametrize(
    ("change", "text"), [(Path.unlink, "lost its file"), (lambda p: p.write_bytes(b""), "0 octets")]
)
def test_a_file_that_is_not_as_it_should_be(shard: Shard, data: Path, change: Callable[[Path], Any], text: str) -> None:
    record = stored(shard, data)["large"]
    change(content_folder(data) / str(record.id))
    [found] = problems(shard)
    assert text in found
    assert str(record.id) in found


def test_a_long_line_is_passed_over_at_once(shard: Shard, data: Path) -> None:
    records = [Record((one := message()).id, one.envelope, "inbound", len(LETTER), line="rcpt.test") for _ in range(50)]
    with committed(shard.environment) as batch:
        for record in records:
            shard.put_new(batch, record, Octets(LETTER))
        for domain in ("rcpt.test", "other.test"):
            shard.set_turn(batch, domain, 1.0, 1.0)
    assert problems(shard) == []
    assert len({MessageId(record.id) for record in records}) == 50
