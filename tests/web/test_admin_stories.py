"""The story of a message in Vietnamese: what is ours is translated, what others said stays; English stays as it is."""

import pytest

from engine.history.entries import Arrived, Attempted, Born, Leg, Noted, Outcome, Placed, Sent, TurnedAway
from engine.history.reading import Told
from engine.history.story import Story
from engine.message import MessageId
from engine.operations.telling import lines_of
from engine.web.admin.stories import Stories
from engine.web.languages import texts

ONE, TWO = (MessageId(bytes([1, 140, 0, 0, 0, number]) + bytes(10)) for number in (1, 2))
BOB, CAT = "bob@example.org", "cat@example.org"
QUOTED = "550 5.1.1 deferred: failed in the lane x, in 5 ms"

LEG = Leg(1.0, "scan-0", (BOB,), [["scan", "changed", 1.5, {"scan.reply": QUOTED}]])
ENTRIES = (
    Arrived(ONE, 10.0, 9.0, "accepted", "inbound", 3, "a@x", (BOB, CAT), 4100, "<1@x>", session=("::1", "h", "ESMTP")),
    Sent(ONE, 11.0, 10.0, (BOB,), "site", "mx.x", "192.0.2.9", "blue", "TLSv1.3", "dane", (QUOTED,)),
    Attempted(
        ONE, 12.0, 11.0, 1, 3, "a@x", (LEG,),
        (
            Outcome(BOB, "deferred", "4.0.0", QUOTED, again=300.0, line="s/blue"),
            Outcome(CAT, "failed", original="list@x", text="No"),
        ),
        "waiting", 300.0,
    ),
    Noted(ONE, 13.0, "released", "spam", (BOB,)),
    Placed(ONE, 14.0, BOB, 7, ("INBOX", "Lists"), "delivered", True),
    TurnedAway(b"", 15.0, "192.0.2.1", "x", "", "a@x", (BOB,), "5.1.1", QUOTED),
)  # fmt: skip
STORY = Story(ONE, tuple(Told(entry, "mail-0") for entry in ENTRIES), (Born(TWO, 12.0, ONE, "report", "", ("a@x",)),))
ENGLISH = [line for _, _, line in lines_of(STORY, None)]


def told(language: str, line: str) -> str:
    return Stories(texts(language).gettext, language).line(line)


@pytest.mark.parametrize("number", range(len(ENGLISH)))
def test_english_stays_as_it_is(number: int) -> None:
    assert told("en", ENGLISH[number]) == ENGLISH[number]


@pytest.mark.parametrize(
    ("line", "vietnamese"),
    [
        (f"from a@x to {BOB}, {CAT}, 4.1 KB", f"từ a@x đến {BOB}, {CAT}, 4,1 KB"),
        ("by ESMTP from ::1 (h)", "qua ESMTP từ ::1 (h)"),
        (f"of it came the report of a failure, to a@x: {TWO}", f"từ đó sinh ra báo cáo thất bại, đến a@x: {TWO}"),
        (f"for {BOB}", f"cho {BOB}"),
        (f"{CAT} (for list@x): failed No", f"{CAT} (cho list@x): không giao được No"),
        (
            f"{BOB}: deferred 4.0.0 {QUOTED}, in the line s/blue, again in 5 minutes",
            f"{BOB}: bị hoãn 4.0.0 {QUOTED}, trong hàng s/blue, thử lại sau 5 phút",
        ),
        (
            "1970-01-01 00:00:10.000Z  accepted in the lane inbound, in 1,000 ms  [mail-0, revision 3]",
            "1970-01-01 00:00:10.000Z  đã nhận ở tuyến inbound, trong 1.000 ms  [mail-0, bản cấu hình 3]",
        ),
        (
            f"1970-01-01 00:00:14.000Z  {BOB}: delivered, INBOX, Lists (as a script says); account 7  [mail-0]",
            f"1970-01-01 00:00:14.000Z  {BOB}: đã chuyển, INBOX, Lists (theo kịch bản); tài khoản 7  [mail-0]",
        ),
    ],
)
def test_what_is_ours_is_translated(line: str, vietnamese: str) -> None:
    assert line in ENGLISH
    assert told("vi", line) == vietnamese


@pytest.mark.parametrize("line", [QUOTED, f"scan.reply = {QUOTED}", f"x = {BOB}: failed, in 5 ms"])
def test_what_others_said_stays(line: str) -> None:
    assert told("vi", line) == line


@pytest.mark.parametrize(
    "text",
    [
        "nothing, it is done with.",
        "it is parked: `postroad queue release X` lets it go on, `delete` in its place ends it.",
        "it is parked until 2026-12-01T00:00:00Z (in 2 days), then it is deleted: `postroad queue release X` lets it "
        "go on, `delete` in its place ends it.",
        "it is held for its sender until 2026-12-01T00:00:00Z (in 5 minutes).",
        "attempt 2 at 2026-12-01T00:00:00Z (in 5 minutes), in the line s. `postroad queue retry X` tries it now.",
        "attempt 2, once the server runs.",
        "attempt 2, in the line s: it is under way, or has its turn at any moment.",
    ],
)
def test_what_comes_next(text: str) -> None:
    assert told("en", text) == text
    vietnamese = told("vi", text)
    assert vietnamese != text
    assert "minutes" not in vietnamese
    assert "attempt" not in vietnamese
    assert "parked" not in vietnamese
    assert "(in " not in vietnamese


def test_a_long_quotation_takes_no_time() -> None:
    line = "a@x: failed " + ": failed, in the line s" * 5000
    assert told("vi", line).startswith("a@x: không giao được")
