"""What the entries about a message come to, in words."""

import pytest

from engine.history.entries import (
    Arrived,
    Attempted,
    Born,
    Entry,
    Leg,
    Noted,
    Outcome,
    Placed,
    Sent,
    TurnedAway,
    header_id,
    outcome_of,
)  # fmt: skip
from engine.history.reading import Told
from engine.history.story import Story, steps
from engine.message import Envelope, Message, MessageId, Octets, Recipient
from engine.operations.telling import lines_of
from engine.verdict import Defer, Delivered, Discard, Quarantine, Reject, Verdict

ONE, TWO = (MessageId(bytes([1, 140, 0, 0, 0, number]) + bytes(10)) for number in (1, 2))
BOB = "bob@example.org"


def story(*entries: Entry, children: tuple[Born, ...] = ()) -> Story:
    return Story(ONE, tuple(Told(entry, "mail-0") for entry in entries), children)  # type: ignore[arg-type]


def arrived(what: str = "accepted") -> Arrived:
    return Arrived(
        ONE, 10.0, 9.9, what, "inbound", 3, "ann@example.net", (BOB,), 4100, "<1@example.net>",
        ("192.0.2.1", "mx.example.net", "ESMTPS", "TLSv1.3", ""), legs=(Leg(10.0, "inbound/0", (), [
            ["scan", "changed", 1.5, {"scan.score": 4.2}, "scan-0"], ["tag", "pass", 0.1]]),),
    )  # fmt: skip


def attempted(*outcomes: Outcome, state: str = "") -> Attempted:
    return Attempted(ONE, 12.0, 11.0, 1, 3, "ann@example.net", (), outcomes, state, 300.0 if state else 0.0)


@pytest.mark.parametrize(
    ("entries", "fate", "is_over"),
    [
        ((arrived("refused"),), "refused", True),
        ((arrived(),), "accepted", False),
        ((arrived(), attempted(Outcome(BOB, "delivered"))), "delivered", True),
        ((arrived(), attempted(Outcome(BOB, "deferred"), state="waiting")), "deferred", False),
        ((arrived(), attempted(Outcome(BOB, "delivered"), Outcome("c@x", "failed"))), "delivered 1, failed 1", True),
        (
            (
                arrived(),
                attempted(Outcome(BOB, "deferred"), Outcome("c@x", "delivered"), state="waiting"),
                attempted(Outcome(BOB, "delivered")),
            ),
            "delivered",
            True,
        ),
        ((arrived(), Noted(ONE, 13.0, "parked")), "parked", False),
        ((arrived(), Noted(ONE, 13.0, "deleted")), "deleted", True),
        ((), "unknown", False),
    ],
)
def test_fate(entries: tuple[Entry, ...], fate: str, is_over: bool) -> None:
    found = story(*entries)
    assert (found.fate, found.is_over) == (fate, is_over)


def test_a_story_in_lines() -> None:
    child = Born(TWO, 12.0, ONE, "report", "", ("ann@example.net",))
    sent = Sent(
        ONE, 11.9, 11.5, (BOB,), "mx.example.org", "mx1.example.org", "192.0.2.9", "blue", "TLSv1.3, verified",
        "dane", ("550 5.1.1 nobody\nhere",),
    )  # fmt: skip
    failed = Outcome(BOB, "failed", "5.1.1", "The next server refused it", "", "550 5.1.1 nobody", "mx1.example.org")
    told = story(arrived(), sent, attempted(failed), children=(child,))
    text = [f"{'  ' * depth}{line}" for depth, _, line in lines_of(told, None)]
    assert text == [
        f"{ONE} <1@example.net>",
        "  from ann@example.net to bob@example.org, 4.1 KB",
        "  by ESMTPS from 192.0.2.1 (mx.example.net) under TLSv1.3",
        f"  of it came the report of a failure, to ann@example.net: {TWO}",
        "1970-01-01 00:00:10.000Z  accepted in the lane inbound, in 100 ms  [mail-0, revision 3]",
        "  scan: changed, 1.5 ms  [scan-0]",
        "    scan.score = 4.2",
        "  tag: pass, 0.1 ms",
        "1970-01-01 00:00:11.900Z  mx1.example.org [192.0.2.9] for bob@example.org, in 400 ms  [mail-0]",
        "  site mx.example.org; from blue; TLSv1.3, verified (wanted: dane)",
        "  550 5.1.1 nobody\nhere",
        "1970-01-01 00:00:12.000Z  attempt 1 has ended, in 1,000 ms  [mail-0, revision 3]",
        "  bob@example.org: failed 5.1.1 The next server refused it by mx1.example.org",
        "    550 5.1.1 nobody",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        Placed(ONE, 1.0, BOB, 7, ("INBOX", "Lists"), "delivered to mailbox", True),
        Noted(ONE, 1.0, "released", "spam", (BOB,)),
        Born(ONE, 1.0, TWO, "sent", "", (BOB,)),
        TurnedAway(b"", 1.0, "192.0.2.1", "x", "", "a@b", (BOB,), "5.1.1", "no such user here"),
        Sent(
            ONE, 1.0, 1.0, (BOB, "c@x"), "s", "h", "::1", replies=("250 ok", "550 no"), trouble="it broke", reply="421"
        ),
        attempted(Outcome(BOB, "held", line="s/blue", again=30.0, original="list@example.org"), state="waiting"),
    ],
    ids=lambda entry: type(entry).__name__,
)
def test_every_kind_of_entry_has_lines_and_a_table(entry: Entry) -> None:
    found = story(entry)
    assert len(lines_of(found, None)) >= 1
    (plain,) = found.plain()
    assert plain["kind"] == type(entry).__name__.lower()
    assert plain["worker"] == "mail-0"
    assert "" not in [value for key, value in plain.items() if key != "sender"]


def test_steps_with_a_verdict_for_each() -> None:
    leg = Leg(1.0, "x", (), [["resolve", "each", 1.0, [[[BOB], "changed", {"a": 1}], [["c@x"], "reject: no", None]]]])
    assert list(steps(leg)) == [
        {
            "stage": "resolve",
            "verdict": "each",
            "ms": 1.0,
            "each": [
                {"to": [BOB], "verdict": "changed", "facts": {"a": 1}},
                {"to": ["c@x"], "verdict": "reject: no", "facts": {}},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Message-ID: <a@b>\r\n", "<a@b>"),
        ("Subject: x\r\nmessage-id:<a@b> \r\n", "<a@b>"),
        ("Message-Id:\r\n <a@b>\r\n", "<a@b>"),
        ("X-Message-ID: <a@b>\r\n", ""),
        ("Subject: x\r\n", ""),
    ],
)
def test_the_message_id(header: str, found: str) -> None:
    content = Octets(f"{header}\r\nMessage-ID: <in the body>\r\n".encode())
    message = Message(ONE, Envelope("a@b", (Recipient(BOB),), prepended=b"Received: x\r\n"), content)
    assert header_id(message) == found


@pytest.mark.parametrize(
    ("verdict", "what"),
    [
        (Delivered("250 ok", "mx"), "delivered"),
        (Delivered(tell="expanded"), "expanded"),
        (Defer("later", retry_after=60.0), "deferred"),
        (Defer("busy", line="site/source"), "held"),
        (Reject("no"), "failed"),
        (Discard("why"), "discarded"),
        (Quarantine("spam"), "parked"),
    ],
)
def test_outcomes(verdict: Verdict, what: str) -> None:
    found = outcome_of(Recipient(BOB, original="rfc822;list@example.org"), verdict)
    assert (found.to, found.what, found.original) == (BOB, what, "list@example.org")
