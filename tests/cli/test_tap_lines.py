"""What `postroad tap` prints of one message."""

import re
from typing import Any

from engine.cli.tap import _lines
from engine.watching.tapped import Told

PASSED = {
    "time": 1_700_000_000.125, "id": "01HF7YAT00ABCDEFGHJKMNPQRS", "from": "a@sender.test", "to": ["b@rcpt.test"],
    "recipients": 1, "size": 12_345, "attempts": 0,
}  # fmt: skip
ANSWER: dict[str, Any] = {
    "ms": 1.25, "verdict": "changed", "each": {}, "facts": {}, "way": [["one", "changed", 1.2]],
}  # fmt: skip


def lines(told: Told, *, is_coloured: bool = False) -> list[str]:
    return list(_lines(told, is_coloured=is_coloured))


def test_a_message_and_its_verdict_are_one_line() -> None:
    (line,) = lines(Told("mail-0", PASSED, ANSWER))
    _, _, rest = line.partition(".125  ")
    assert rest == "01HF7YAT00ABCDEFGHJKMNPQRS  <a@sender.test> → b@rcpt.test  12,345 octets  changed  1.25 ms"


def test_what_belongs_to_it_follows() -> None:
    answer = ANSWER | {
        "verdict": "each",
        "each": {"b@rcpt.test": "reject: no"},
        "way": [["one", "pass", 0.5], ["two", "each", 2.0]],
        "facts": {"a.b": "c", "d": 1.5},
    }
    passed = PASSED | {"to": ["b@rcpt.test", "c@rcpt.test"], "recipients": 7, "headers": "Subject: x\r\n y\r\n"}
    first, *others = lines(Told("mail-0", passed, answer))
    assert "b@rcpt.test +6  " in first
    assert others == [
        "    Subject: x", "     y", "    b@rcpt.test: reject: no", "    one pass 0.5 ms, two each 2 ms",
        '    a.b = "c", d = 1.5',
    ]  # fmt: skip


def test_one_that_takes_long_is_under_way_and_its_header_is_not_shown_again() -> None:
    passed = PASSED | {"headers": "Subject: x\r\n"}
    first, header = lines(Told("mail-0", passed))
    assert first.endswith("12,345 octets  under way")
    assert header == "    Subject: x"
    (again,) = lines(Told("mail-0", passed, ANSWER, again=True))
    assert again.endswith("changed  1.25 ms")


def test_a_terminal_obeys_nothing_that_strangers_wrote() -> None:
    evil = "\x1b[2J\n\x9b"
    passed = PASSED | {"from": evil, "to": [evil], "headers": f"Subject: {evil}"}
    answer = ANSWER | {
        "verdict": f"reject: {evil}",
        "each": {evil: evil},
        "facts": {evil: evil},
        "way": [[evil, evil, 1.0]] * 2,
    }
    for is_coloured in (False, True):
        for line in lines(Told("mail-0", passed, answer), is_coloured=is_coloured):
            assert not re.search(r"[\x00-\x1f\x7f-\x9f]", re.sub(r"\x1b\[\d+m", "", line))
