"""The MTA's side of the milter protocol, against octets that are written out here."""

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.milter import (
    PROCEED,
    READY,
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    Client,
    Decision,
    DeleteRecipient,
    InsertHeader,
    MilterClient,
    MilterError,
    Path,
    Refusal,
    ReplaceBody,
    Transaction,
)
from engine.protocols.milter.client import CHANGES_MOST, State

EVERYTHING = 0x1FF
SILENT = 0xDF080
"""All SMFIP_NR_… bits that there are steps for, but UNKNOWN's."""


def packet(code: bytes, data: bytes = b"") -> bytes:
    return struct.pack("!I", 1 + len(data)) + code + data


def terms(options: int = 0, *, version: int = 6, actions: int = EVERYTHING, lists: bytes = b"") -> bytes:
    return packet(b"O", struct.pack("!III", version, actions, options) + lists)


CLIENT = Client("client.test", "192.0.2.1", "helo.test", {"j": "mx.test"})
OTHER = Client("other.test", "2001:db8::1", "other", {"j": "mx.test"})
FIELDS = [(b"From", b" a@b"), (b"Subject", b"  two\r\n lines")]


def letter(client: Client = CLIENT, *recipients: str) -> Transaction:
    to = [Path(one, macros={"{rcpt_addr}": one}) for one in recipients or ("b@rcpt.test",)]
    return Transaction(client, Path("a@sender.test", ("BODY=8BITMIME",)), to, FIELDS, {"i": "ID"})


def packets(octets: bytes) -> Iterator[tuple[bytes, bytes]]:
    while octets:
        (length,) = struct.unpack_from("!I", octets)
        yield octets[4:5], octets[5 : 4 + length]
        octets = octets[4 + length :]


def codes(octets: bytes) -> bytes:
    return b"".join(code for code, _ in packets(octets) if code != b"D")


def agreed(answer: bytes = terms()) -> MilterClient:
    client = MilterClient()
    assert list(packets(client.outgoing())) == [(b"O", struct.pack("!III", 6, 0x1FF, 0x1FF7FF))]
    assert client.next_event() is None
    client.receive(answer)
    assert client.next_event() is READY
    return client


def at_the_end(options: int = SILENT, **other: Any) -> MilterClient:
    """A client that has told all of a message, to a milter that owes the last answer alone."""
    client = agreed(terms(options, **other))
    client.begin(letter())
    assert client.next_event() is PROCEED
    client.body(b"hello\r\n")
    assert client.next_event() is PROCEED
    client.end()
    client.outgoing()
    return client


def test_tells_a_message_step_by_step() -> None:
    client = agreed(terms(SILENT))
    client.begin(letter(CLIENT, "b@rcpt.test", "c@rcpt.test"))
    assert list(packets(client.outgoing())) == [
        (b"D", b"Cj\0mx.test\0"),
        (b"C", b"client.test\x004\0\x00192.0.2.1\0"),
        (b"H", b"helo.test\0"),
        (b"D", b"Mi\0ID\0"),
        (b"M", b"<a@sender.test>\0BODY=8BITMIME\0"),
        (b"D", b"Ri\0ID\0{rcpt_addr}\0b@rcpt.test\0"),
        (b"R", b"<b@rcpt.test>\0"),
        (b"D", b"Ri\0ID\0{rcpt_addr}\0c@rcpt.test\0"),
        (b"R", b"<c@rcpt.test>\0"),
        (b"D", b"Ti\0ID\0"),
        (b"T", b""),
        (b"L", b"From\0a@b\0"),
        (b"L", b"Subject\0two\n lines\0"),
        (b"D", b"Ni\0ID\0"),
        (b"N", b""),
    ]
    assert client.next_event() is PROCEED
    client.body(b"hello\r\n")
    client.end()
    assert list(packets(client.outgoing())) == [(b"B", b"hello\r\n"), (b"D", b"Ei\0ID\0"), (b"E", b"")]


def test_the_value_of_a_field_may_begin_with_its_blank() -> None:
    client = agreed(terms(0x100000 | SILENT))
    client.begin(letter())
    assert [data for code, data in packets(client.outgoing()) if code == b"L"] == [
        b"From\0 a@b\0",
        b"Subject\0  two\n lines\0",
    ]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (0x01, b"HMRTLLN"), (0x02, b"CMRTLLN"), (0x04, b"CHRTLLN"), (0x08, b"CHMTLLN"), (0x200, b"CHMRLLN"),
        (0x20, b"CHMRTN"), (0x40, b"CHMRTLL"), (0x10, b"CHMRTLLN"), (0x26F, b"C"[:0]),
    ],
)  # fmt: skip
def test_steps_that_it_does_not_want_are_left_out_but_for_their_macros(option: int, told: bytes) -> None:
    client = agreed(terms(option | SILENT))
    client.begin(letter())
    octets = client.outgoing()
    assert codes(octets) == told
    assert [data[:1] for code, data in packets(octets) if code == b"D"] == [b"C", b"M", b"R", b"T", b"N"]
    assert client.wants_body is (option != 0x10)


def test_a_field_that_is_too_long_for_a_packet_is_cut() -> None:
    client = agreed(terms(SILENT))
    client.begin(Transaction(CLIENT, Path("a@b"), [Path("b@c")], [(b"X", b"y" * 70000), (b"z" * 70000, b"")]))
    (field,) = [data for code, data in packets(client.outgoing()) if code == b"L"]
    assert len(field) < 65535
    assert field.startswith(b"X\0yyy")
    assert field.endswith(b"y\0")


@pytest.mark.parametrize("version", [2, 3])
def test_old_milters_are_not_told_of_data(version: int) -> None:
    client = agreed(terms(version=version))
    client.begin(letter())
    assert codes(client.outgoing()) == b"CHMRLLN"


def test_a_milter_may_choose_its_macros() -> None:
    lists = struct.pack("!I", 2) + b"{mail_addr} i\0" + struct.pack("!I", 5) + b"j\0"
    client = agreed(terms(SILENT, lists=lists))
    client.begin(Transaction(CLIENT, Path("a@b"), [Path("b@c")], [], {"i": "ID", "{mail_addr}": "a@b"}))
    client.end()
    told = {data[:1]: data[1:] for code, data in packets(client.outgoing()) if code == b"D"}
    assert told[b"M"] == b"{mail_addr}\0a@b\0i\0ID\0"
    assert told[b"E"] == b"j\0mx.test\0"
    assert told[b"R"] == b"i\0ID\0"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (packet(b"c"), "the answer b'c' to the step NEGOTIATE"),
        (packet(b"O", b"\0\0"), "too short"),
        (terms(version=1), "version 1"),
        (terms(version=7), "version 7"),
        (terms(actions=0x200), "actions that were not offered: 0x200"),
        (terms(0x800), "options that were not offered: 0x800"),
        (terms(lists=b"\0\0\0\x07j\0"), "a list of macros"),
        (terms(lists=b"\0\0\0\x01j"), "a list of macros"),
        (struct.pack("!I", 0), "an answer of 0 octets"),
        (struct.pack("!I", 0xFFFFFFFF), "an answer of 4294967295 octets"),
        (b"HTTP/1.1 400 Bad Request\r\n", "an answer of"),
    ],
)
def test_terms_that_cannot_be_kept(answer: bytes, why: str) -> None:
    client = MilterClient()
    client.receive(answer)
    with pytest.raises(MilterError, match=why):
        client.next_event()


ANSWERS = [
    (b"h", b"X-A\0one\n two\0", AddHeader("X-A", "one\n two")),
    (b"h", b"X-A\0\xff\0", AddHeader("X-A", "\udcff")),
    (b"i", b"\0\0\0\x01X-B\0 two\0", InsertHeader(1, "X-B", " two")),
    (b"m", b"\0\0\0\x02X-C\0\0", ChangeHeader(2, "X-C", "")),
    (b"e", b"<new@sender.test>\0", ChangeSender("<new@sender.test>")),
    (b"e", b"<new@sender.test>\0SIZE=1\0", ChangeSender("<new@sender.test>", "SIZE=1")),
    (b"+", b"<more@rcpt.test>\0", AddRecipient("<more@rcpt.test>")),
    (b"2", b"<more@rcpt.test>\0NOTIFY=NEVER\0", AddRecipient("<more@rcpt.test>", "NOTIFY=NEVER")),
    (b"-", b"<b@rcpt.test>\0", DeleteRecipient("<b@rcpt.test>")),
    (b"b", b"another\r\n", ReplaceBody(b"another\r\n")),
]


@pytest.mark.parametrize(("code", "data", "change"), ANSWERS, ids=lambda value: None)
def test_every_change_whole_and_byte_by_byte(code: bytes, data: bytes, change: object) -> None:
    octets = packet(b"p") + packet(code, data) + packet(b"p") + packet(b"q", b"look\nhere\0") + packet(b"c")
    whole, bit = at_the_end(), at_the_end()
    whole.receive(octets)
    expected = Decision("pass", changes=(change,), quarantine="look here")  # type: ignore[arg-type]
    assert whole.next_event() == expected
    for octet in octets[:-1]:
        bit.receive(bytes([octet]))
        assert bit.next_event() is None
    bit.receive(octets[-1:])
    assert bit.next_event() == expected


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (packet(b"r"), Refusal(True, "5.7.1", "Command rejected")),
        (packet(b"t"), Refusal(False, "4.7.1", "Service unavailable, please try again later")),
        (packet(b"f"), Refusal(False, "4.7.1", "Service unavailable, please try again later")),
        (packet(b"4"), Refusal(False, "4.7.1", "Service unavailable, please try again later")),
        (packet(b"y", b"554 5.7.1 Spam, 100%% sure\0"), Refusal(True, "5.7.1", "Spam, 100% sure")),
        (packet(b"y", b"451 4.7.1 Later\0"), Refusal(False, "4.7.1", "Later")),
        (packet(b"y", b"550 No\0"), Refusal(True, "", "No")),
        (packet(b"y", b"550-5.7.1 One\r\n550 5.7.1 two\0"), Refusal(True, "5.7.1", "One two")),
        (packet(b"y", "550 5.7.1 N\u00e9\u2028\x07\0".encode()), Refusal(True, "5.7.1", "N\u00e9 ?")),
    ],
)
def test_refusals(answer: bytes, refusal: Refusal) -> None:
    client = at_the_end()
    client.receive(answer)
    assert client.next_event() == Decision("refuse", refusal=refusal)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (packet(b"y", b"250 2.0.0 Fine\0"), "is no reply"),
        (packet(b"y", b"550 5.7.1 No"), "is no reply"),
        (packet(b"y", b"550 4.7.1 Perhaps\0"), "contradict each other"),
        (packet(b"y", b"550-5.7.1 One\n451 4.7.1 two\0"), "is no reply"),
        (packet(b"y", b"550 5.7.1 One\0more\0"), "is no reply"),
        (packet(b"s"), "the answer b's' to the step END"),
        (packet(b"O"), "the answer b'O' to the step END"),
        (packet(b"?"), "the answer b'\\?' to the step END"),
        (packet(b"h", b"X-A\0no end"), "does not end"),
        (packet(b"h", b"X-A\0"), "a header field is none"),
        (packet(b"h", b"X A\0v\0"), "a header field is none"),
        (packet(b"h", b"X-A\0v\0more\0"), "a header field is none"),
        (packet(b"h", b"X" * 101 + b"\0v\0"), "a header field is none"),
        (packet(b"i", b"\0\0"), "too short"),
        (packet(b"-", b"<a@b>\0X=Y\0"), "has parameters"),
        (packet(b"+", b"<a@b>\0X\0Y\0"), "more than an address"),
        (packet(b"q", b"no end"), "does not end"),
        (struct.pack("!I", 2**20 + 1), "an answer of 1048577 octets"),
    ],
)
def test_a_broken_answer_is_one_clear_error(answer: bytes, why: str) -> None:
    client = at_the_end()
    client.receive(answer)
    with pytest.raises(MilterError, match=why):
        client.next_event()


@pytest.mark.parametrize(
    ("code", "data"), [*((code, data) for code, data, _ in ANSWERS), (b"q", b"why\0")], ids=lambda value: None
)
def test_a_change_must_have_been_announced(code: bytes, data: bytes) -> None:
    client = at_the_end(actions=0)
    client.receive(packet(code, data))
    with pytest.raises(MilterError, match="did not say that it would"):
        client.next_event()


def test_changes_have_a_number_that_nobody_needs() -> None:
    client = at_the_end()
    client.receive(packet(b"b", b"x") * 6000)  # pieces of a body are no more than its octets
    client.receive(packet(b"h", b"X-A\0v\0") * CHANGES_MOST)
    assert client.next_event() is None
    client.receive(packet(b"+", b"<a@b>\0"))
    with pytest.raises(MilterError, match="more than 5000 changes"):
        client.next_event()


def test_changes_have_a_limit_together() -> None:
    client = at_the_end()
    piece = packet(b"b", bytes(2**20 - 1))
    for _ in range(64):
        client.receive(piece)
        assert client.next_event() is None
    client.receive(piece)
    with pytest.raises(MilterError, match="changes of more than"):
        client.next_event()


def test_each_step_has_its_answer_whatever_is_told_meanwhile() -> None:
    client = agreed()
    client.begin(letter(CLIENT, "b@rcpt.test", "c@rcpt.test"))
    assert codes(client.outgoing()) == b"CHMRRTLLN"
    for _ in b"CHMRRTLL":
        client.receive(packet(b"c"))
        assert client.next_event() is None
    client.receive(packet(b"c"))
    assert client.next_event() is PROCEED
    client.body(b"hello")
    assert client.next_event() is None
    with pytest.raises(RuntimeError):
        client.body(b"more")
    client.receive(packet(b"c"))
    assert client.next_event() is PROCEED
    client.end()
    client.receive(packet(b"a"))
    assert client.next_event() == Decision("pass")


def test_refused_recipients_are_no_end_but_where_all_are() -> None:
    client = agreed(terms(SILENT & ~0x8000))
    client.begin(letter(CLIENT, "b@rcpt.test", "c@rcpt.test"))
    client.receive(packet(b"y", b"550 5.1.1 Who?\0") + packet(b"c"))
    assert client.next_event() is PROCEED
    client.end()
    client.receive(packet(b"c"))
    assert client.next_event() == Decision("pass", refused={0: Refusal(True, "5.1.1", "Who?")})
    client.begin(letter(CLIENT, "b@rcpt.test", "c@rcpt.test"))
    client.receive(packet(b"r") + packet(b"t"))
    decided = client.next_event()
    assert isinstance(decided, Decision)
    assert decided.outcome == "refuse"
    assert [one.permanent for one in decided.refused.values()] == [True, False]


@pytest.mark.parametrize("code", [b"f", b"4"])
def test_a_failing_connection_is_about_no_single_recipient(code: bytes) -> None:
    client = agreed(terms(SILENT & ~0x8000))
    client.begin(letter(CLIENT, "b@rcpt.test", "c@rcpt.test"))
    client.receive(packet(code))
    decided = client.next_event()
    assert isinstance(decided, Decision)
    assert (decided.outcome, dict(decided.refused)) == ("refuse", {})


@pytest.mark.parametrize(("code", "outcome"), [(b"a", "pass"), (b"r", "refuse"), (b"d", "discard")])
def test_an_early_decision_ends_the_connection_unless_nothing_is_owed(code: bytes, outcome: str) -> None:
    client = agreed()
    client.begin(letter())
    client.receive(packet(b"c") * 3 + packet(code))
    decided = client.next_event()
    assert isinstance(decided, Decision)
    assert decided.outcome == outcome
    assert not client.is_settled
    assert not client.can_follow(CLIENT)
    client = agreed(terms(SILENT & ~0x40000))
    client.begin(letter())
    client.receive(packet(code))
    assert isinstance(client.next_event(), Decision)
    assert codes(client.outgoing()).endswith(b"NA")
    assert client.can_follow(CLIENT)
    assert not client.can_follow(OTHER)


@pytest.mark.parametrize(
    ("answered", "code"),
    [(0x1000, b"a"), (0x1000, b"r"), (0x2000, b"a"), (0x2000, b"t"), (0x40000, b"4"), (0x40000, b"f")],
)
def test_who_decides_about_the_session_is_asked_anew_about_the_next_message(answered: int, code: bytes) -> None:
    client = agreed(terms(SILENT & ~answered))
    client.begin(letter())
    client.receive(packet(code))
    assert isinstance(client.next_event(), Decision)
    assert not client.is_settled
    assert not client.can_follow(CLIENT)


@pytest.mark.parametrize("step", [b"C", b"H"])
def test_nothing_can_be_discarded_before_there_is_a_message(step: bytes) -> None:
    client = agreed()
    client.begin(letter())
    client.receive(packet(b"c") * b"CH".index(step) + packet(b"d"))
    with pytest.raises(MilterError, match="the answer b'd'"):
        client.next_event()


def test_the_rest_of_the_body_may_be_skipped() -> None:
    client = agreed(terms(0x400 | SILENT & ~0x80000))
    client.begin(letter())
    assert client.next_event() is PROCEED
    client.body(b"hello")
    client.receive(packet(b"s"))
    assert client.next_event() is PROCEED
    assert not client.wants_body
    client.end()
    client.receive(packet(b"c"))
    assert client.next_event() == Decision("pass")
    client.begin(letter())
    assert client.wants_body, "the next message is another matter"


def test_the_body_may_be_skipped_only_by_agreement() -> None:
    client = agreed(terms(SILENT & ~0x80000))
    client.begin(letter())
    client.body(b"hello")
    client.receive(packet(b"s"))
    with pytest.raises(MilterError, match="not agreed upon"):
        client.next_event()


def test_the_next_message_of_the_same_client_goes_on_in_its_session() -> None:
    client = at_the_end()
    client.receive(packet(b"a"))
    assert client.next_event() == Decision("pass")
    client.begin(letter())
    assert codes(client.outgoing()) == b"MRTLLN"


def test_that_of_another_client_begins_a_new_session() -> None:
    client = at_the_end()
    client.receive(packet(b"c"))
    assert client.next_event() == Decision("pass")
    client.begin(letter(OTHER))
    octets = client.outgoing()
    assert codes(octets) == b"KCHMRTLLN"
    assert (b"C", b"other.test\x006\0\x002001:db8::1\0") in list(packets(octets))


@pytest.mark.parametrize(("code", "version"), [(b"a", 6), (b"r", 6), (b"c", 5), (b"c", 2)])
def test_where_a_new_session_would_not_be_understood_none_is_begun(code: bytes, version: int) -> None:
    client = at_the_end(version=version)
    client.receive(packet(code))
    assert isinstance(client.next_event(), Decision)
    assert not client.can_follow(OTHER)
    assert client.can_follow(CLIENT)
    with pytest.raises(RuntimeError):
        client.begin(letter(OTHER))


def test_an_answer_that_nobody_asked_for() -> None:
    client = agreed(terms(SILENT))
    client.begin(letter())
    client.receive(packet(b"c"))
    with pytest.raises(MilterError, match="nobody has asked for"):
        client.next_event()


def test_octets_behind_the_decision_spoil_the_connection() -> None:
    client = at_the_end()
    client.receive(packet(b"c") + packet(b"a"))
    assert client.next_event() == Decision("pass")
    assert not client.can_follow(CLIENT)


def test_goodbye() -> None:
    client = at_the_end()
    client.quit()
    assert client.outgoing() == packet(b"Q")


CODES = st.sampled_from([bytes([code]) for code in b"+-2abcdefhimpqrsty4Ol?"])
DATA = st.one_of(st.sampled_from([data for _, data, _ in ANSWERS]), st.just(b""), st.binary(max_size=40))


@given(st.sampled_from([0, SILENT]), st.lists(st.builds(packet, CODES, DATA), max_size=12), st.integers(1, 40))
def test_whatever_a_milter_says_it_is_a_decision_or_one_error(options: int, said: list[bytes], cut: int) -> None:
    client = agreed(terms(options))
    client.begin(letter(CLIENT, "b@rcpt.test", "c@rcpt.test"))
    octets = b"".join(said)
    with contextlib.suppress(MilterError):
        if client.next_event() is PROCEED:
            client.end()
        for start in range(0, len(octets), cut):
            client.receive(octets[start : start + cut])
            event = client.next_event()
            if isinstance(event, Decision):
                break
            if event is PROCEED and client.state is State.MESSAGE:
                client.end()
