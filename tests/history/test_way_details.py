"""What a stage has done beyond its words, for the history: facts, and verdicts for each recipient."""

import pytest

from engine.message import Envelope, Message, MessageId, Octets, Recipient
from engine.runtime.verdicts import detail_of
from engine.verdict import Changed, Delivered, Each, Quarantine, Reject, Route, Verdict

A, B, C = "a@example.org", "b@example.org", "c@example.org"
ASKED = Message(MessageId.new(), Envelope("", (Recipient(A), Recipient(B), Recipient(C))), Octets(b"")).with_fact(
    "x", 1
)
TOLD = ASKED.with_facts({"x": 2, "y": ["z"]})
MORE = TOLD.with_fact("more", "than that")
FOUND = {"x": 2, "y": ["z"]}


@pytest.mark.parametrize(
    ("verdict", "detail"),
    [
        (ASKED, None),
        (TOLD, FOUND),
        (ASKED.with_header("X-A", "b"), None),
        (ASKED.with_fact("x", ASKED.fact("x")), None),
        (Reject("no"), None),
        (Delivered(), None),
        (Route("local"), None),
        (Route("local", (B,)), [[[A, B, C], f"lane local: to {B}", None]]),
        (Each({A: Reject("no"), B: TOLD, C: TOLD}), [[[A], "reject: no", None], [[B, C], "changed", FOUND]]),
        (
            Each({A: (Route("local", (B,)), Route("remote", ("far@example.net",))), B: Route("local")}),
            [[[A], f"lane local: to {B}; lane remote: to far@example.net", None], [[B], "lane local", None]],
        ),
        (Changed(TOLD, Quarantine("spam")), [[[], "changed", FOUND]]),
        (
            Changed(TOLD, Each({A: Reject("no"), B: MORE})),
            [[[], "changed", FOUND], [[A], "reject: no", None], [[B], "changed", {"more": "than that"}]],
        ),
    ],
)
def test_details(verdict: Verdict | Changed, detail: object) -> None:
    assert detail_of(verdict, ASKED) == detail
