"""The wire: what is packed comes back the same, and nonsense is told from it."""

import contextlib
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine import (
    Defer,
    Delivered,
    Discard,
    Each,
    Envelope,
    Message,
    MessageId,
    Quarantine,
    Recipient,
    Reject,
    Route,
    Session,
)
from engine.links import wire
from engine.links.wire import WireError
from engine.message import Octets
from engine.protocols.timing import UNTIMED
from engine.queue.content import FileContent
from engine.verdict import Changed

text = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.floats(allow_nan=False) | st.integers(-(2**63), 2**64 - 1)
facts = st.recursive(
    st.none() | st.booleans() | text | numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
recipients = st.builds(Recipient, text, text, text, text)
envelopes = st.builds(
    Envelope,
    sender=text,
    recipients=st.lists(recipients, min_size=1, max_size=4).map(tuple),
    session=st.builds(Session, text, text, text, text, text, st.booleans()),
    facts=st.dictionaries(text, facts, max_size=3).map(MappingProxyType),
    prepended=st.binary(max_size=20),
    arrived=st.floats(0, 2**40),
    attempts=st.integers(0, 1000),
    smtputf8=st.booleans(),
    body=text,
    ret=text,
    envid=text,
    left_out=st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), max_size=2).map(tuple),
    requiretls=st.booleans(),
)
messages = st.builds(Message, st.binary(min_size=16, max_size=16).map(MessageId), envelopes, st.binary().map(Octets))
routes = st.builds(Route, text, st.lists(text, max_size=3).map(tuple), text)
plain = (
    st.builds(Reject, text, text, text, text, text)
    | st.builds(Defer, text, text, text, st.none() | st.floats(0, 1e9), text, text)
    | st.builds(Discard, text)
    | st.builds(Quarantine, text)
    | st.builds(Delivered, text, text, tell=st.sampled_from(["", "delivered", "relayed", "nothing", "untimed"]))
    | routes
)


def travelled(body: Any) -> Any:
    return wire.unpack(wire.pack(body))


def nowhere(reference: wire.Reference) -> Any:
    raise AssertionError(reference)


@given(messages)
def test_a_message_comes_back_the_same(about: Message) -> None:
    frames: list[bytes] = []
    packed = travelled(wire.pack_message(about, frames))
    found = wire.unpack_message(packed, frames, nowhere)
    assert found == about
    assert type(found.id) is MessageId
    assert type(found.envelope.recipients) is tuple


def test_stored_content_travels_by_reference(tmp_path: Path) -> None:
    content = FileContent(tmp_path / "x", 7)
    about = Message(MessageId.new(), Envelope("", (Recipient("b"),)), content)
    frames: list[bytes] = []
    packed = travelled(wire.pack_message(about, frames))
    assert frames == []
    asked: list[wire.Reference] = []
    found = wire.unpack_message(packed, frames, lambda reference: asked.append(reference) or content)
    assert asked == [content.reference]
    assert found.content is content


def test_each_content_has_a_frame_of_its_own() -> None:
    frames: list[bytes] = []
    about = [Message(MessageId.new(), Envelope("", ()), Octets(octets)) for octets in (b"one", b"", b"three")]
    packed = travelled([wire.pack_message(one, frames) for one in about])
    assert [wire.unpack_message(one, frames, nowhere).content for one in packed] == [b"one", b"", b"three"]


def back(verdict: Any, asked: Message) -> Any:
    return wire.unpack_verdict(travelled(wire.pack_verdict(verdict, asked)), asked)


@given(messages, plain, st.lists(routes, min_size=1, max_size=3).map(tuple), envelopes)
def test_a_verdict_comes_back_the_same(asked: Message, verdict: Any, several: Any, envelope: Envelope) -> None:
    changed = Message(asked.id, envelope, asked.content)
    assert back(verdict, asked) == verdict
    assert back(several, asked) == several
    assert back(changed, asked) == changed
    assert back(asked, asked) is asked
    each = Each({"a": verdict, "b": several, "c": changed, "d": asked})
    assert back(each, asked) == each
    for later in (each, Route("x")):
        assert back(Changed(changed, later), asked) == Changed(changed, later)


@given(messages, st.lists(messages, min_size=1, max_size=3), envelopes)
def test_messages_that_are_sent_come_back_the_same(asked: Message, others: list[Message], envelope: Envelope) -> None:
    copy = Message(MessageId.new(), envelope, asked.content)
    verdict = Delivered("done", "mx.rcpt.test", (*others, copy), "relayed")
    found = back(verdict, asked)
    assert found == verdict
    assert found.sends[-1].content is asked.content
    both = Each({"a": verdict, "b": Delivered("done")})
    assert back(both, asked) == both


@given(messages, st.binary(min_size=1, max_size=20), envelopes)
def test_another_content_comes_back_the_same(asked: Message, octets: bytes, envelope: Envelope) -> None:
    changed = Message(asked.id, envelope, Octets(octets))
    late = changed.with_fact("late", 1)
    assert back(changed, asked) == changed
    each = Each({"a": changed, "b": late, "c": asked, "d": changed})
    found = back(each, asked)
    assert found == each
    assert found.verdicts["a"] is found.verdicts["d"]
    for later in (Route("x"), Quarantine("y"), Each({"a": late})):
        found = back(Changed(changed, later), asked)
        assert found == Changed(changed, later)
    assert found.verdict.verdicts["a"].content is found.message.content


def test_those_who_shared_a_message_still_share_it() -> None:
    asked = Message(MessageId.new(), Envelope("", (Recipient("a"),)), Octets(b""))
    one, two = asked.with_fact("x", 1), asked.with_fact("x", 1)
    found = back(Each({"a": one, "b": two, "c": one, "d": asked}), asked).verdicts
    assert found["a"] is found["c"]
    assert found["a"] is not found["b"]
    assert found["d"] is asked


@given(st.binary(max_size=60))
def test_garbage_is_an_error_of_ours_or_a_body(frame: bytes) -> None:
    with contextlib.suppress(WireError):
        wire.unpack(frame)


@given(messages, st.data())
def test_a_damaged_frame_is_an_error_of_ours_or_a_body(about: Message, data: st.DataObject) -> None:
    frame = bytearray(wire.pack([0, wire.pack_message(about, [])]))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        wire.unpack(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


STRANGE = [
    b"", b"\x01", b"\xc0", b"\x92\x01", b"\x91\x01", b"\x93\x01\x02\x03", b"\xa2ab", b"\x92\x01\x02tail",
    b"\xc1", b"\x81\x91\x01\x02", b"\x91" * 5000, b"\xd6\xff\x00\x00\x00\x00", b"\xdd\xff\xff\xff\xff",
    b"\x92\x01\xa1\xff",
]  # fmt: skip


@pytest.mark.parametrize("frame", STRANGE)
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(WireError):
        wire.unpack(frame)


@pytest.mark.parametrize("version", [0, wire.VERSION + 1, "1", None, [1]])
def test_another_version_is_refused_and_named(version: object) -> None:
    with pytest.raises(WireError, match="speaks version"):
        wire.unpack(msgpack.packb([version, "body"]))


@given(envelopes)
def test_what_an_older_release_has_stored_is_read(envelope: Envelope) -> None:
    """It did not know of REQUIRETLS, nor of times of delivery."""
    assert wire.unpack_envelope(wire.pack_envelope(envelope)[:-2]) == replace(
        envelope, requiretls=False, timing=UNTIMED
    )
