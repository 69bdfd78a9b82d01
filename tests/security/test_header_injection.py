"""Whatever strangers put into a value that we write into a header, it stays the value of that one field."""

import re
from email import message_from_bytes
from email.policy import default

from hypothesis import example, given
from hypothesis import strategies as st

from engine.authentication.results import Finding, field
from engine.mime.folding import LINE, folded
from engine.protocols.dsn import RecipientReport, report
from engine.protocols.smtp_replies import reply
from engine.queue.bounce import ORDINARY
from engine.wording import human

BREAKS = [
    "\r\nBcc: x@y.test",
    "\nBcc: x",
    "\rBcc: x",
    "\r\n\r\nbody",
    "\x85Bcc: x",
    "\u2028Bcc: x",
    "\x0bBcc: x",
    "\0\r\n.\r\n",
]
HOSTILE = st.one_of(
    st.text(max_size=60), st.tuples(st.text(max_size=5), st.sampled_from(BREAKS), st.text(max_size=90)).map("".join)
)
FIELD = re.compile(rb"[!-9;-~]+:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n")

OF_A_RECIPIENT = {
    "original-recipient", "final-recipient", "action", "status", "remote-mta", "diagnostic-code", "last-attempt-date",
}  # fmt: skip
OF_THE_MESSAGE = {"original-envelope-id", "reporting-mta", "arrival-date"}


@given(HOSTILE)
@example("x\r\nBcc: y")
def test_fields_of_scripts(value: str) -> None:
    octets = folded("Subject", value)
    assert FIELD.fullmatch(octets)
    assert b"\0" not in octets


@given(st.lists(st.sampled_from([" ", "\t", " " * 1000, "x", "y," * 500, "z" * 899, "é"]), max_size=20).map("".join))
@example(" " * 2000)
@example("x" * 5000)
@example("x " * 3000)
def test_no_line_is_too_long(value: str) -> None:
    octets = folded("X-Some-Field", value)
    assert FIELD.fullmatch(octets)
    assert max(map(len, octets.split(b"\r\n"))) <= LINE
    read = message_from_bytes(octets + b"\r\n", policy=default)["X-Some-Field"] or ""
    assert re.sub(r"\s", "", str(read)) == re.sub(r"\s", "", value)
    if max(map(len, value.split()), default=0) < 900:
        assert str(read).split() == value.split()


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
@example("a.test", "x\r\nBcc: y", "\r\n\r\n", '"')
def test_our_results(name: str, value: str, comment: str, reason: str) -> None:
    octets = field("mx.example.org", [Finding("spf", "pass", (("smtp.mailfrom", value), ("x", name)), comment, reason)])
    assert FIELD.fullmatch(octets)
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= 998


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
@example(
    "1",
    "550 no\r\nAction: delivered",
    "mx.test\r\n\r\nFinal-Recipient: rfc822; x",
    "rfc822;a\r\nStatus: 2.0.0",
    "+0D+0Ax: y",
)
def test_reports(text: str, said: str, remote: str, original: str, envid: str) -> None:
    recipient = RecipientReport("ann@far.test", "failed", "5.1.1", text, said, remote, original, 1.0)
    octets = report(
        hostname="mx.example.org", sender="bob@example.org", envid=envid, arrived=1.0, recipients=[recipient],
        original_headers=f"Subject: {text}\r\n".encode("utf-8", "replace"), message_id="1@mx.example.org", date=1.0,
        human=human(ORDINARY.languages.chosen("", {}), "mx.example.org", 1.0, [recipient]),
    )  # fmt: skip
    head = message_from_bytes(octets)
    assert head.get_all("To") == ["<bob@example.org>"]
    assert head["Bcc"] is None
    _, _, machine, _, _ = octets.split(f"--{head.get_boundary()}".encode())
    message, machine_recipient = machine.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n").split(b"\r\n\r\n")
    assert names(message) <= OF_THE_MESSAGE
    assert names(machine_recipient) <= OF_A_RECIPIENT
    assert machine_recipient.count(b"Action: failed\r\nStatus: 5.1.1\r\n") == 1


def names(group: bytes) -> set[str]:
    """Of the fields of a group, each once."""
    found = [line.partition(b":")[0].decode().lower() for line in group.split(b"\r\n") if line[:1] not in b" \t"]
    assert len(found) == len(set(found))
    return set(found)


@given(HOSTILE)
@example("no\r\n250 2.0.0 yes")
def test_replies(text: str) -> None:
    """A filter's words, which may repeat the client's, are no replies of their own."""
    lines = reply(550, "5.7.1", text).split(b"\r\n")
    assert lines.pop() == b""
    assert all(re.fullmatch(rb"550[ -]5\.7\.1 [ -~]*", line) for line in lines)
    assert all(line[3:4] == b"-" for line in lines[:-1])
    assert lines[-1][3:4] == b" "
