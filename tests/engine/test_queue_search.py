"""Messages are found by a condition: as many as a plain look at every record finds, by whichever way."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine import Envelope, MessageId, Recipient, Session
from engine.condition.tree import All, Comparison, Constant, Either, Name, Node, Not
from engine.links import wire
from engine.message import TENANT, Octets
from engine.protocols.timing import UNTIMED, Timing
from engine.queue import search
from engine.queue.search import STATES, NotBriefly, Selection, briefly, found, how_many
from engine.queue.store import HELD, QUARANTINED, WAITING, Record, Shard, due_key, has_brief, pack
from engine.storage.batch import committed
from engine.units import Duration, Size
from tests.support.conditions import plainly
from tests.support.examples import examples
from tests.support.post import MAP_SIZE

NOW = 5000.0
SEVERAL = {"recipient", "domain", "site", "lane"}
ADDRESSES = ["ann@a.test", "ANN@A.test", "bob@sub.a.test", "İK@b.test", "ik@B.test"]
TEXTS: dict[str, list[str]] = {
    "sender": [*ADDRESSES, ""],
    "sender.domain": ["a.test", "B.test", ""],
    "recipient": ADDRESSES,
    "domain": ["a.test", "A.TEST", "b.test"],
    "site": ["mx.a.test", "MX.b.test:26", ""],
    "reply": ["451 4.7.1 Not now", "250 ok", ""],
    "lane": ["inbound", "remote"],
    "state": list(STATES),
    "line": ["a.test", "mx.a.test/Out-1", "MX.a.test/out-1", ""],
    "tenant": ["Acme", "acme", ""],
    "session.login": ["ann@a.test", ""],
    "scan.result": ["spam", "SPAM", "5"],
}
OTHERS: dict[str, st.SearchStrategy[Any]] = {
    "size": st.sampled_from([0, 1000, 5000]) | st.integers(0, 5).map(lambda kilobytes: Size(kilobytes * 1000)),
    "age": st.integers(0, 5).map(lambda seconds: Duration(seconds * 1000)),
    "attempts": st.integers(0, 3),
    "priority": st.integers(-2, 2),
    "scan.score": st.integers(0, 5) | st.just(4.5),
}


def some(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from(TEXTS[name])


def patterns(name: str) -> st.SearchStrategy[Constant]:
    cut = st.tuples(some(name), st.integers(0, 4), st.sampled_from(["*{}", "{}*", "*{}*", "?{}", "{}"]))
    return cut.map(lambda found: Constant(found[2].format(found[0][found[1] :])))


def about(name: str) -> st.SearchStrategy[Node]:
    """Comparisons with one name."""
    named = st.just(Name(name))
    if name in OTHERS:
        operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
        return st.builds(Comparison, operators, named, OTHERS[name].map(Constant))
    value = some(name).map(Constant)
    if name == "state":
        return st.builds(Comparison, st.sampled_from(["==", "!="]), named, value)
    return st.one_of(
        st.builds(Comparison, st.sampled_from(["==", "==", "!=", "in", "not in", "<"]), named, value),
        st.builds(Comparison, st.sampled_from(["==", "in"]), value, named),
        st.builds(Comparison, st.just("like"), named, patterns(name)),
    )


COMPARISONS = st.sampled_from([*TEXTS, *OTHERS]).flatmap(about)
CONDITIONS: st.SearchStrategy[Node] = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: All(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Either(tuple(parts))),
    ),
    max_leaves=4,
)
RECIPIENTS = st.lists(st.builds(Recipient, some("recipient"), lane=some("lane") | st.just("")), min_size=1, max_size=3)
FACTS = st.fixed_dictionaries(
    {}, optional={TENANT: some("tenant"), "scan.score": OTHERS["scan.score"], "scan.result": some("scan.result")}
)
ENVELOPES = st.builds(
    Envelope,
    some("sender"),
    RECIPIENTS.map(tuple),
    session=some("session.login").map(lambda login: Session("192.0.2.1", login=login)),
    facts=FACTS.map(MappingProxyType),
    arrived=st.integers(0, 5).map(lambda thousand: thousand * 1000.0),
    attempts=st.integers(0, 3),
    timing=st.just(UNTIMED) | st.integers(-2, 2).map(Timing),
)


def _stored_as(record: Record, line: str) -> Record:
    return replace(record, line=line) if record.state == WAITING else record


RECORDS = st.builds(
    _stored_as,
    st.builds(
        Record,
        st.integers(1, 2**20).map(lambda number: MessageId(number.to_bytes(16, "big"))),
        ENVELOPES,
        some("lane"),
        st.sampled_from([0, 1000, 2500, 5000]),
        in_file=st.just(True),
        state=st.sampled_from(STATES),
        due=st.just(NOW),
        reason=some("reply"),
        sites=st.lists(some("site").filter(bool), max_size=2, unique=True).map(tuple),
    ),
    some("line"),
)


@contextmanager
def shard_of(records: list[Record]) -> Iterator[Shard]:
    with tempfile.TemporaryDirectory() as folder:
        shard = Shard(Path(folder), 0, map_size=MAP_SIZE)
        with committed(shard.environment) as batch:
            for record in {record.id: record for record in records}.values():
                shard.put_new(batch, record, Octets(b""))
                if record.line:
                    shard.ensure_turn(batch, record.line, NOW, NOW)
        try:
            yield shard
        finally:
            shard.close()


def known_of(record: Record) -> Mapping[str, Any]:
    """All that can be said of a record, read from it whole."""
    envelope, addresses = record.envelope, [one.address for one in record.envelope.recipients]
    return {
        "sender": envelope.sender,
        "sender.domain": envelope.sender.partition("@")[2],
        "recipient": addresses,
        "domain": [address.partition("@")[2] for address in addresses],
        "site": record.sites,
        "size": record.size,
        "age": NOW - envelope.arrived,
        "attempts": envelope.attempts,
        "reply": record.reason,
        "lane": [record.lane, *(one.lane for one in envelope.recipients if one.lane)],
        "state": record.state,
        "line": record.line,
        "tenant": envelope.facts.get(TENANT, ""),
        "priority": envelope.timing.priority,
        "session.login": envelope.session.login,
        "scan.score": envelope.facts.get("scan.score"),
        "scan.result": envelope.facts.get("scan.result"),
    }


def ids(shard: Shard, selection: Selection) -> list[bytes]:
    return [identity for page in found(shard, selection) for identity, _ in page]


@examples(300)
@given(st.lists(RECORDS, max_size=8), CONDITIONS, st.sets(st.sampled_from(STATES), min_size=1))
def test_as_a_plain_look_at_every_record(records: list[Record], condition: Node, states: set[str]) -> None:
    selection = Selection.told([str(condition)], NOW, states)
    with shard_of(records) as shard:
        plain = [
            record.id
            for record in shard.all_records()
            if record.state in states and plainly(condition, known_of(record), SEVERAL)
        ]
        assert ids(shard, selection) == plain
        assert how_many(shard, selection) == len(plain)
        there = [record.id for record in shard.all_records()]
        named = Selection.told([*map(str, there[::2]), str(condition)], NOW, states)
        assert ids(shard, named) == [identity for identity in plain if identity in there[::2]]


@examples(50)
@given(st.lists(RECORDS, max_size=8), st.integers(1, 3))
def test_pages_lose_nothing(records: list[Record], page: int) -> None:
    before, search.PAGE = search.PAGE, page
    try:
        with shard_of(records) as shard:
            for text in ("True", "state == 'held'", "state == 'quarantined'", "line == 'mx.a.test/out-1'"):
                condition = Selection.told([text], NOW).condition
                assert condition is not None
                looked: list[int] = []
                pages = list(found(shard, Selection.told([text], NOW), told=looked.append))
                plain = [r.id for r in shard.all_records() if plainly(condition.tree, known_of(r), SEVERAL)]
                assert [identity for some in pages for identity, _ in some] == plain
                assert looked == sorted(looked)
    finally:
        search.PAGE = before


BRIEF = ["True", "attempts >= 2", "age > 2s and size > 1KB", "state == 'held'", "not (attempts == 1 or age < 3s)"]


@examples(100)
@given(st.lists(RECORDS, max_size=8, unique_by=lambda record: record.id), st.integers(1, 3), st.sampled_from(BRIEF))
def test_the_indexes_say_it_without_the_records(records: list[Record], page: int, text: str) -> None:
    before, search.PAGE = search.PAGE, page
    try:
        with shard_of(records) as shard, shard.briefs() as indexes:
            selection = Selection.told([text], NOW)
            condition = selection.condition
            assert selection.is_brief
            assert condition is not None
            by_briefs, by_records = set[bytes](), set[bytes]()
            for some, others, _ in briefly(indexes, selection):
                by_briefs |= {one.envelope.id for one in some}
                by_records |= set(others)
            plain = {r.id for r in shard.all_records() if plainly(condition.tree, known_of(r), SEVERAL)}
            assert by_briefs | by_records == plain
            assert by_records == {r.id for r in shard.all_records() if r.id in plain and not has_brief(r)}
    finally:
        search.PAGE = before


def test_where_most_have_no_brief_the_records_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "BARE", 1)
    selection = Selection.told(["size > 5B"], NOW)
    with shard_of([a_record(), a_record(), a_record(reason="451 no")]) as shard:
        with pytest.raises(NotBriefly), shard.briefs() as indexes:
            list(briefly(indexes, selection))
        assert how_many(shard, selection) == 3


def test_a_brief_that_cannot_be_read_is_passed_over() -> None:
    record = a_record(reason="451 no")
    with shard_of([record]) as shard:
        with committed(shard.environment) as batch:
            batch.put(shard.environment.open_db(b"due", txn=batch.transaction), due_key(record), bytes(8) + b"\xc1")
        assert how_many(shard, Selection.told(["size > 5B"], NOW)) == 1


@pytest.mark.parametrize(
    ("change", "is_brief"),
    [
        ({"reason": "451 no"}, True),
        ({"line": "b.test"}, True),
        ({"size": 9000}, False),
        ({"reason": "451 no", "due": NOW + 5}, True),
        ({"state": HELD}, True),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_what_becomes_of_a_message_stands_in_its_index_at_once(change: dict[str, Any], is_brief: bool) -> None:
    old = a_record()
    new = replace(old, **change)
    with shard_of([old]) as shard:
        for before, after in ((old, new), (new, replace(new, size=77)), (replace(new, size=77), old)):
            with committed(shard.environment) as batch:
                shard.replace(batch, before, after)
            with shard.briefs() as indexes:
                found = [(len(briefs), ids) for state in STATES for briefs, ids in indexes.pages(state, 9)]
            assert found == [(1, []) if has_brief(after) else (0, [after.id])]
            assert has_brief(new) is is_brief
            assert how_many(shard, Selection.told([f"size == {after.size}B"], NOW)) == 1


@examples(50)
@given(st.lists(RECORDS, max_size=8), st.integers(1, 3), st.sampled_from(["True", "size > 1KB", "state == 'held'"]))
def test_the_last_ones_first(records: list[Record], page: int, text: str) -> None:
    before, search.PAGE = search.PAGE, page
    try:
        with shard_of(records) as shard:
            selection = Selection.told([text], NOW)
            there = ids(shard, selection)
            for after in (b"", *there, b"\xff" * 16):
                backwards = [one for some in found(shard, selection, after=after, reverse=True) for one, _ in some]
                assert backwards == [one for one in reversed(there) if one > after]
    finally:
        search.PAGE = before


@given(st.lists(st.text("ab!B", max_size=6).map(str.encode), max_size=8), st.text("ab!", min_size=1, max_size=4))
def test_octets_are_found_in_single_records(records: list[bytes], needle: str) -> None:
    octets = needle.encode()
    plain = [place for place, record in enumerate(records) if octets in record.lower()]
    assert search.having(octets, [memoryview(record) for record in records]) == plain


def a_record(**changes: Any) -> Record:
    envelope = Envelope("ann@a.test", (Recipient("bob@b.test"),), arrived=1000.0)
    return replace(Record(MessageId.new(1000.0), envelope, "inbound", 10, in_file=True, due=NOW), **changes)


def rewrite(shard: Shard, record: Record, body: object) -> None:
    """Another record in its place, which no release of now would write."""
    with committed(shard.environment) as batch:
        envelopes = shard.environment.open_db(b"envelopes", txn=batch.transaction)
        batch.put(envelopes, record.id, msgpack.packb(body))


def test_what_an_earlier_release_has_stored() -> None:
    record = a_record(reason="451 no")
    with shard_of([record]) as shard:
        envelope, *rest = msgpack.unpackb(pack(record))
        rewrite(shard, record, [[*envelope[:11], []], *rest[:9]])
        text = "site != 'x' and priority == 0 and reply == '451 NO' and not (site or tenant)"
        assert ids(shard, Selection.told([text], NOW)) == [record.id]


def test_what_cannot_be_read_is_passed_over() -> None:
    record, other = a_record(), a_record()
    with shard_of([record, other]) as shard:
        rewrite(shard, record, [wire.pack_envelope(record.envelope), "inbound", "ten"])
        assert ids(shard, Selection.told(["size < 20B"], NOW)) == [other.id]


KNOWN = Record(
    MessageId.new(1000.0),
    Envelope(
        "Ann@a.test",
        (Recipient("Bob@B.test", lane="remote"),),
        session=Session("192.0.2.1", "mx.a.test", tls="TLSv1.3", login="ann@a.test", trusted=True),
        facts=MappingProxyType({TENANT: "Acme", "scan.score": 4.5, "scan.names": ["One", "Two"]}),
        arrived=1000.0,
        attempts=2,
        timing=Timing(priority=3),
    ),
    "inbound", 2500, in_file=True, due=NOW, reason="451 4.7.1 Not now", line="mx.b.test/out", sites=("mx.b.test",),
)  # fmt: skip
HOLDS = [
    "sender == 'ann@a.test'", "sender like 'ann@*'", "sender in ['x', 'ANN@A.TEST']", "'@a.' in sender",
    "sender.domain == 'a.test'", "sender.domain like '*.test'", "recipient == 'bob@b.test'", "recipient like '*@b.*'",
    "recipient in ['bob@b.test']", "domain == 'b.test'", "domain like '*.test'", "domain like 'B.TEST'",
    "domain in ['a.test', 'B.test']", "'b.te' in domain", "domain != 'a.test'", "domain not in ['a.test']", "domain",
    "site == 'mx.b.test'", "site like 'mx*'", "site", "size == 2500", "size > 2KB", "age == 4000s", "age < 2h",
    "attempts >= 2", "reply like '451*'", "'4.7.1' in reply", "lane == 'inbound'", "lane == 'remote'",
    "lane like 'rem*'",
    "state == 'waiting'", "line like 'mx.b.*'", "line == 'MX.b.test/out'", "tenant == 'acme'", "tenant like 'a*'",
    "priority > 0", "session.peer like '192.0.2.*'", "session.helo == 'MX.a.test'", "session.tls", "session.trusted",
    "session.login == 'ann@a.test'", "scan.score > 4", "'one' in scan.names", "scan.names like 't*'",
    "scan.absent == None",
]  # fmt: skip


@pytest.mark.parametrize("text", HOLDS)
def test_each_name_in_each_way(text: str) -> None:
    with shard_of([KNOWN]) as shard:
        assert ids(shard, Selection.told([text], NOW)) == [KNOWN.id]
        assert ids(shard, Selection.told([f"not ({text})"], NOW)) == []
        assert ids(shard, Selection.told([f"({text}) and size > 1KB"], NOW)) == [KNOWN.id]


def test_ids_and_conditions_can_be_told_apart() -> None:
    one, two = a_record(), a_record()
    selection = Selection.told([str(one.id), "size > 5B", str(two.id).lower(), "age < 2h or age > 1d"], NOW)
    assert selection.ids == (one.id, two.id)
    assert str(selection.condition and selection.condition.tree) == "size > 5B and (age < 2h or age > 1d)"
    assert selection.words == f"{one.id} {two.id} size > 5B and (age < 2h or age > 1d)"
    assert Selection.told(["line == 'A.test'"], NOW).line == "A.test"
    assert Selection.told(["line == 'a.test' and size > 5B"], NOW).line == ""
    assert Selection.told([], NOW).condition is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("domian == 'x'", "domian is not known at column 1; did you mean domain?"),
        ("sender == 'x' and qqqq", "known are sender, sender.domain, recipient, domain, site, size, age, attempts"),
        ("qqqq", "and facts, which have a dot in their names"),
        ("age > 5", "age is a duration: compare it with one, such as 90s, 2h or 5d (column 7)"),
        ("state == 'parked'", 'state is one of waiting, held, quarantined, not "parked" (column 10)'),
        ("size > 2h", "size is a size"),
        ("attempts > 10KB", "attempts is a number"),
    ],
)
def test_mistakes_are_told(text: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        Selection.told([text], NOW)
    assert told in str(caught.value)


def test_a_fact_without_a_dot_has_one_before_it() -> None:
    record = a_record()
    record = replace(record, envelope=replace(record.envelope, facts=MappingProxyType({"seen": True, "size": "big"})))
    with shard_of([record]) as shard:
        assert ids(shard, Selection.told(["fact.seen and fact.size == 'BIG'"], NOW)) == [record.id]


def test_each_state_is_found_by_its_index() -> None:
    records = [a_record(state=state) for state in (WAITING, HELD, QUARANTINED)]
    with shard_of(records) as shard:
        for record in records:
            looked: list[int] = []
            pages = found(shard, Selection.told([f"state == '{record.state}'"], NOW), told=looked.append)
            assert [identity for page in pages for identity, _ in page] == [record.id]
            assert looked == ([3] if record.state == WAITING else [1])
