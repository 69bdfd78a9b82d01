"""`vacation`: who is answered and who is not, and what the answer looks like."""

import email
import email.policy

import pytest

from engine.sieve import Keep, Reply
from tests.sieve.cases import letter
from tests.sieve.trying import outcome, short

ME = "me@example.org"
SCRIPT = 'require ["vacation", "vacation-seconds", "variables"]; vacation %s;'
USUAL = ("From: you@example.net", f"To: {ME}", "Subject: Lunch?", "Message-ID: <1@example.net>")


def answer(
    arguments: str = '"I am away"', *fields: str, sender: str = "you@example.net", **world: object
) -> Reply | None:
    found = outcome(SCRIPT % arguments, letter(*(fields or USUAL)), sender=sender, recipient=ME, addresses=(), **world)
    assert not found.error
    assert found.actions[-1] == Keep()
    replies = [action for action in found.actions if isinstance(action, Reply)]
    return replies[0] if replies else None


def parsed(reply: Reply | None) -> email.message.EmailMessage:
    assert reply is not None
    message = email.message_from_bytes(reply.content, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return message


def test_the_answer() -> None:
    reply = answer()
    message = parsed(reply)
    assert reply is not None
    assert (reply.recipient, reply.seconds) == ("you@example.net", 7 * 86_400)
    assert {name: message[name] for name in message} == {
        "From": ME,
        "To": "you@example.net",
        "Subject": "Auto: Lunch?",
        "Auto-Submitted": "auto-replied",
        "Precedence": "bulk",
        "In-Reply-To": "<1@example.net>",
        "References": "<1@example.net>",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
    }
    assert message.get_content() == "I am away\r\n"


def test_what_the_script_says_of_it() -> None:
    message = parsed(answer(':subject "Fort für immer" :from "Mé <m.e@example.org>" "Grüße\nAnn"'))
    assert message["Subject"] == "Fort für immer"
    assert message["From"] == "Mé <m.e@example.org>"
    assert message.get_content() == "Grüße\r\nAnn\r\n"


def test_a_subject_made_of_variables_is_one_line() -> None:
    script = 'require ["vacation", "variables"]; set "s" "a\r\nBcc: evil@example.org"; vacation :subject "${s}" "x";'
    reply = outcome(script, letter(*USUAL), sender="you@example.net", recipient=ME).actions[0]
    assert isinstance(reply, Reply)
    assert parsed(reply)["Bcc"] is None


def test_a_mime_reason() -> None:
    reason = "text:\nContent-Type: text/html\n\n<b>away</b>\n.\n"
    message = parsed(answer(f":mime {reason}"))
    assert message.get_content_type() == "text/html"
    assert message.get_content() == "<b>away</b>\r\n"


def test_references_go_on() -> None:
    fields = (*USUAL, "References: <a@x> <b@x>", "In-Reply-To: <b@x>")
    assert parsed(answer('"x"', *fields))["References"] == "<a@x> <b@x> <1@example.net>"
    assert parsed(answer('"x"', *USUAL, "In-Reply-To: <b@x>"))["References"] == "<b@x> <1@example.net>"
    assert "References" not in parsed(answer('"x"', *USUAL[:3]))


SILENT = [
    ((), "", "a report"),
    ((), "MAILER-DAEMON@example.net", "a robot"),
    ((), "list-request@example.net", "a list's robot"),
    ((), "owner-list@example.net", "a list's owner"),
    ((), "list-bounces+me=example.org@example.net", "a list's return path"),
    ((), "noreply@example.net", "nobody to read it"),
    ((), ME, "myself"),
    (("List-Id: <x.example.net>",), "you@example.net", "a list"),
    (("List-Unsubscribe: <mailto:x@example.net>",), "you@example.net", "a list"),
    (("Auto-Submitted: auto-generated",), "you@example.net", "a robot"),
    (("Auto-Submitted: auto-replied (vacation)",), "you@example.net", "another vacation"),
    (("Precedence: bulk",), "you@example.net", "bulk"),
    (("Precedence: List",), "you@example.net", "bulk"),
    (("X-Auto-Response-Suppress: DR, OOF",), "you@example.net", "one who wants none"),
]


@pytest.mark.parametrize(("fields", "sender", "who"), SILENT)
def test_who_gets_no_answer(fields: tuple[str, ...], sender: str, who: str) -> None:
    assert answer('"x"', *USUAL, *fields, sender=sender) is None, who


@pytest.mark.parametrize("field", ["Auto-Submitted: no", "Precedence: first-class", "X-Auto-Response-Suppress: DR"])
def test_who_gets_one(field: str) -> None:
    assert answer('"x"', *USUAL, field) is not None


ADDRESSED = [
    (("To: you@example.net",), '"x"', False),
    (("Cc: Me <ME@Example.ORG>",), '"x"', True),
    (("To: you@example.net, me@example.org",), '"x"', True),
    (("Resent-To: me@example.org",), '"x"', True),
    (("Bcc: me@example.org",), '"x"', True),
    (("To: alias@example.org",), '"x"', False),
    (("To: alias@example.org",), ':addresses ["other@example.org", "Me <Alias@example.org>"] "x"', True),
]


@pytest.mark.parametrize(("fields", "arguments", "answered"), ADDRESSED)
def test_it_must_be_addressed_to_the_recipient(fields: tuple[str, ...], arguments: str, answered: bool) -> None:
    assert (answer(arguments, "From: you@example.net", *fields) is not None) is answered


def test_addresses_that_the_world_knows_are_the_recipients() -> None:
    found = outcome(SCRIPT % '"x"', letter("To: alias@example.org"), sender="you@example.net", recipient=ME,
                    addresses=("alias@example.org",))  # fmt: skip
    assert short(found) == ["reply you@example.net", "keep"]


def test_one_is_answered_once_in_its_time() -> None:
    reply = answer()
    assert reply is not None
    assert answer(remembered=frozenset({reply.key})) is None


def test_when_an_answer_is_another() -> None:
    keys = {
        reply.key
        for reply in (
            answer('"x"'), answer('"y"'), answer(':subject "s" "x"'), answer(':from "a@b.test" "x"'),
            answer(':mime "x"'), answer(':handle "h" "x"'), answer(':handle "i" "x"'),
            answer('"x"', sender="other@example.net"),
        )
        if reply
    }  # fmt: skip
    assert len(keys) == 8
    same = [answer(':handle "h" "x"'), answer(':handle "h" :subject "s" "y"'), answer(':handle "h" :days 3 "x"')]
    assert len({reply.key for reply in same if reply}) == 1


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [(":days 1", 86_400), (":days 0", 86_400), (":days 9999", 366 * 86_400), (":seconds 1800", 1800),
     (":seconds 1", 60),
     (":seconds 0", 0)],
)  # fmt: skip
def test_the_time(arguments: str, seconds: int) -> None:
    reply = answer(f'{arguments} "x"')
    assert reply is not None
    assert reply.seconds == seconds
