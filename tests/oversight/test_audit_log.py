"""The audit log: entries follow from each other, and whoever changes, removes or puts one in is found out."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from engine.operations.auditing import listed, verified
from engine.operations.operator import Operator
from engine.oversight import Chain, Oversight
from engine.oversight.entries import FIRST
from engine.oversight.store import FOLDER

ME = Operator("me")
NOW = 1_800_000_000.25


def filled(data: Path, count: int = 5) -> list[bytes]:
    with Oversight.open(data, clock=lambda: NOW) as log:
        for number in range(1, count + 1):
            log.write("searched", "auditor@example.org", ["ann@example.org"], query=f"word {number}")
        return list(log.lines())


def test_each_entry_holds_the_hash_of_the_one_before(tmp_path: Path) -> None:
    lines = filled(tmp_path)
    entries = [json.loads(line) for line in lines]
    assert [one["number"] for one in entries] == [1, 2, 3, 4, 5]
    befores = [FIRST, *(hashlib.sha256(line).hexdigest() for line in lines[:-1])]
    assert [one["before"] for one in entries] == befores
    assert entries[1]["details"] == {"query": "word 2"}
    assert entries[1]["time"] == "2027-01-15T08:00:00.250000Z"
    found = verified(lines, ME)
    assert (found.number, found.hash, found.problems) == (5, hashlib.sha256(lines[-1]).hexdigest(), ())


def test_it_goes_on_after_it_was_closed_and_by_several_who_have_it_open(tmp_path: Path) -> None:
    first = filled(tmp_path, 2)
    assert filled(tmp_path, 3)[:2] == first
    with Oversight.open(tmp_path) as log:
        assert log.tip()[0] == 5
        assert verified(log.lines(), ME).problems == ()
        assert [one.number for one in log.latest(2)] == [5, 4]
        assert [one.number for one in log.latest(9, before=3)] == [2, 1]
        assert log.latest(9, before=1) == []


def tampered(data: Path, change: Callable[["lmdb.Transaction[bytes]", object], None]) -> None:
    """Change the store past our code, as somebody could who is root."""
    with lmdb.open(str(data / FOLDER), max_dbs=4, map_size=2**30) as environment:
        database = environment.open_db(b"log")
        with environment.begin(write=True) as txn:
            change(txn, database)


def key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def another_word(txn, database) -> None:
    txn.put(key(3), txn.get(key(3), db=database).replace(b"word 3", b"word 8"), db=database)


def another_time(txn, database) -> None:
    txn.put(key(1), txn.get(key(1), db=database).replace(b"2027", b"2026"), db=database)


def taken_out(txn, database) -> None:
    txn.delete(key(2), db=database)


def taken_out_and_numbered_anew(txn, database) -> None:
    entries = [txn.get(key(number), db=database) for number in (3, 4, 5)]
    for number, octets in enumerate(entries, 2):
        txn.put(key(number), octets.replace(b'"number":%d' % (number + 1), b'"number":%d' % number), db=database)
    txn.delete(key(5), db=database)


def put_in(txn, database) -> None:
    txn.put(key(6), txn.get(key(5), db=database).replace(b'"number":5', b'"number":6'), db=database)


def no_json(txn, database) -> None:
    txn.put(key(4), b"{}", db=database)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (another_word, "entry 4 does not follow from the one before it"),
        (another_time, "entry 2 does not follow from the one before it"),
        (taken_out, "entry 2 is missing: 3 stands in its place"),
        (taken_out_and_numbered_anew, "entry 2 does not follow from the one before it"),
        (put_in, "entry 6 does not follow from the one before it"),
        (no_json, "entry 4 cannot be read"),
    ],
)
def test_what_was_tampered_with_is_found(tmp_path: Path, change, problem: str) -> None:
    filled(tmp_path)
    tampered(tmp_path, change)
    with Oversight.open(tmp_path) as log:
        problems = verified(log.lines(), ME).problems
    assert problems
    assert problems[0].startswith(problem)


def test_what_was_cut_off_at_the_end_is_found_by_who_has_seen_it(tmp_path: Path) -> None:
    filled(tmp_path)
    with Oversight.open(tmp_path) as log:
        seen = log.tip()
    tampered(tmp_path, lambda txn, database: txn.delete(key(5), db=database))
    with Oversight.open(tmp_path) as log:
        assert verified(log.lines(), ME).problems == ()
        (problem,) = verified(log.lines(), ME, seen).problems
        assert problem == "the log has 4 entries, and not the entry 5 any more that was seen"
        log.write("searched", "auditor@example.org", query="harmless")  # it takes the number of what has gone
        (problem,) = verified(log.lines(), ME, seen).problems
        assert problem == "entry 5 is another one than was seen"


def test_a_log_that_is_written_anew_is_found_by_who_has_seen_the_old_one(tmp_path: Path) -> None:
    old = filled(tmp_path / "old")
    chain = Chain()
    for line in old[:3]:
        chain.follow(line)
    with Oversight.open(tmp_path / "new") as log:
        for _ in range(5):
            log.write("searched", "nobody@example.org")
        assert verified(log.lines(), ME).problems == ()
        assert verified(log.lines(), ME, (chain.number, chain.hash)).problems == (
            "entry 3 is another one than was seen",
        )
    assert verified(old, ME, (chain.number, chain.hash.upper())).problems == ()


def test_entries_are_found_by_kind_and_by_whom_they_are_about(tmp_path: Path) -> None:
    filled(tmp_path, 300)
    with Oversight.open(tmp_path) as log:
        log.write("hold-begun", "boss", ["bob@example.org"])
        for number in range(250):
            log.write("searched", "x", ["ann@example.org"], number=number)
        assert [one.number for one in listed(log, ME, count=9, what="hold-begun")] == [301]
        assert [one.number for one in listed(log, ME, count=9, about="bob@example.org")] == [301]
        assert [one.number for one in listed(log, ME, count=3)] == [551, 550, 549]
        assert listed(log, ME, count=3, what="nothing") == []


def test_what_others_say_is_noted_when_it_changes(tmp_path: Path) -> None:
    with Oversight.open(tmp_path) as log:
        assert log.changed("retention", [], "retention-changed", "postroad") is None
        first = log.changed("retention", [{"keep": "30d"}], "retention-changed", "postroad", revision=3)
        assert first is not None
        assert first.details == {"from": None, "to": [{"keep": "30d"}], "revision": 3}
        assert log.changed("retention", [{"keep": "30d"}], "retention-changed", "postroad") is None
        gone = log.changed("retention", [], "retention-changed", "postroad")
        assert gone is not None
        assert gone.details == {"from": [{"keep": "30d"}], "to": []}
        assert log.tip()[0] == 2
