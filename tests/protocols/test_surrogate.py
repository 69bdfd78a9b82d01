"""Surrogates of internationalized messages: what an old reader gets in their place."""

import email
import email.header
import email.message
import email.policy

import pytest

from engine.protocols.surrogate import HEADER_LIMIT, REMOVED, in_ascii, surrogate


def parsed(header: bytes) -> email.message.EmailMessage:
    found = email.message_from_bytes(header, policy=email.policy.default)
    assert isinstance(found, email.message.EmailMessage)
    return found


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("Subject: Grüße aus Köln", "Grüße aus Köln"),
        ("Subject: " + "長い件名" * 40, "長い件名" * 40),
        ("Subject: Grüße\r\n aus\r\n\tKöln", "Grüße aus\tKöln"),
        ("To: Zoë <zoe@example.org>", "Zoë <zoe@example.org>"),
        ("To: zoe@bücher.example", "zoe@xn--bcher-kva.example"),
        ('Cc: "Ann, B." <a@b.example>, Zoë <z@b.example>', '"Ann, B." <a@b.example>, Zoë <z@b.example>'),
        ("From: Zoë <zoë@example.org>", f'"Zoë zoë@example.org" <{REMOVED}>'),
        ("From: 用户@例子.example", f'"用户@例子.example" <{REMOVED}>'),
        ("Resent-Sender: é", f"é <{REMOVED}>"),
    ],
)
def test_what_can_be_said_in_ascii_is(field: str, wanted: str) -> None:
    octets = surrogate(f"{field}\r\n".encode())
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= 120
    ((_, value),) = parsed(octets).items()
    assert str(value).replace("\t", " ") == wanted.replace("\t", " ")


def test_mime_parameters_are_encoded() -> None:
    header = (
        'Content-Type: text/plain; charset=utf-8; name="Übung \\"1\\".txt"\r\nContent-Disposition: x; filename=é\r\n'
    )
    found = parsed(surrogate(header.encode()))
    assert found["Content-Type"].params == {"charset": "utf-8", "name": 'Übung "1".txt'}
    assert found["Content-Disposition"].params == {"filename": "é"}


def test_other_fields_are_left_out_and_ascii_ones_stay_as_they_are() -> None:
    header = "X-Odd:é\r\nX-Fine:\r\n  folded\r\nReceived: for <é@example.org>;\r\n\tx\r\nSubject: a\r\n\r\n"
    assert surrogate(header.encode()) == b"X-Fine:\r\n  folded\r\nSubject: a\r\n\r\n"


def test_octets_of_old_mail_that_are_no_utf_8_stay_as_they_are() -> None:
    assert surrogate(b"Subject: Gr\xfc\xdfe\r\n") == b"Subject: Gr\xfc\xdfe\r\n"


def test_no_field_can_be_smuggled_in() -> None:
    header = surrogate("Subject: é\rBcc: x\r\nTo: é\x00\x1b <a@b.example>\r\n".encode())
    assert [name for name, _ in parsed(header).items()] == ["Subject", "To"]


MESSAGE = "Subject: é\r\nTo: a@b.example\r\n\r\nKörper\r\n\r\nSubject: é\r\n".encode()


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_the_body_is_left_alone_however_the_message_is_cut(step: int) -> None:
    pieces = [MESSAGE[start : start + step] for start in range(0, len(MESSAGE), step)]
    header, _, body = MESSAGE.partition(b"\r\n\r\n")
    assert b"".join(in_ascii(iter(pieces))) == surrogate(header + b"\r\n") + b"\r\n" + body


@pytest.mark.parametrize("message", [b"", b"\r\n", b"\r\nb\xc3\xa9\r\n", b"Subject: x", b"Subject: x\n\n\xc3\xa9"])
def test_odd_messages_are_passed_on(message: bytes) -> None:
    assert b"".join(in_ascii(iter([message]))) == message


def test_a_header_section_without_end_is_not_held_for_ever() -> None:
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1000
            yield b"X: " + b"x" * 995 + b"\r\n"

    next(in_ascii(endless()))
    assert taken <= HEADER_LIMIT + 1000
