"""A reader of reports that knows the grammar of RFC 3464 and RFC 6533, and forgives nothing. It has no code of ours."""

import email
import re
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from typing import cast

ABOUT_MESSAGE = {
    "original-envelope-id", "reporting-mta", "dsn-gateway", "received-from-mta", "arrival-date", "deliver-by-date",
    "future-release-request",
}  # fmt: skip
ABOUT_RECIPIENT = {
    "original-recipient", "final-recipient", "action", "status", "remote-mta", "diagnostic-code", "last-attempt-date",
    "final-log-id", "will-retry-until",
}  # fmt: skip
ACTIONS = {"failed": "45", "delayed": "4", "delivered": "2", "relayed": "2", "expanded": "2"}
STATUS_KINDS = {"message/delivery-status", "message/global-delivery-status"}
RETURNED = {"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"}

ATOM = r"[!#$%&'*+/=?^_`{|}~0-9A-Za-z-]+"
TYPED = re.compile(rf"({ATOM}); (\S.*)")
DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
    r"\d\d:\d\d:\d\d [+-]\d{4}"
)
STATUS = re.compile(r"([245])\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})")
XTEXT = re.compile(r"(?:[!-*,-<>-\[\]-~]|\\x\{[0-9A-F]{2,6}\})+")  # utf-8-addr-xtext, RFC 6533 3
FIELD = re.compile(r"([!-9;-~]+): (\S.*)")


@dataclass(frozen=True)
class Report:
    """What stands in one: fields by name in lower case."""

    letter: EmailMessage
    kind: str
    message: dict[str, str]
    recipients: list[dict[str, str]]
    text: str
    returned: EmailMessage

    @property
    def only(self) -> dict[str, str]:
        (recipient,) = self.recipients
        return recipient


def strict(octets: bytes) -> Report:
    """The report in a message. AssertionError with what breaks the grammar."""
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", octets), "a bare line end, or NUL"
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    letter = cast(EmailMessage, email.message_from_bytes(octets, policy=policy.default))
    assert letter.get_content_type() == "multipart/report"
    assert letter.get_param("report-type") == "delivery-status"
    parts = cast(list[EmailMessage], list(letter.iter_parts()))
    assert not any(part.defects for part in (letter, *parts))
    human, machine, returned = parts
    assert human.get_content_maintype() == "text"
    kind = machine.get_content_type()
    assert kind in STATUS_KINDS
    assert returned.get_content_type() in RETURNED
    if not octets.partition(b"\r\n\r\n")[2].isascii():
        assert letter["Content-Transfer-Encoding"] == "8bit"
    message, *recipients = _groups(octets, kind)
    assert recipients, "about nobody"
    _check_message(message)
    for recipient in recipients:
        _check_recipient(recipient, is_global=kind == "message/global-delivery-status")
    return Report(letter, kind, message, recipients, human.get_content(), returned)


def _groups(octets: bytes, kind: str) -> list[dict[str, str]]:
    """The fields as they stand on the wire: a reader that mends them would hide what is wrong."""
    boundary = re.search(rb'boundary="([^"]+)"', octets)
    assert boundary
    part = octets.split(b"\r\n--" + boundary[1])[2]
    head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    assert f"Content-Type: {kind}" in head.decode("ascii")
    assert body.isascii() or (b"8bit" in head and kind == "message/global-delivery-status")
    return [_fields(group) for group in body.removesuffix(b"\r\n").decode().split("\r\n\r\n")]


def _fields(group: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in re.sub(r"\r\n(?=[ \t])", "", group).removesuffix("\r\n").split("\r\n"):
        match = FIELD.fullmatch(line)
        assert match, f"no field: {line!r}"
        assert match[1].lower() not in found, f"{match[1]} twice"
        found[match[1].lower()] = match[2]
    return found


def _check_message(fields: dict[str, str]) -> None:
    assert {name for name in fields if not name.startswith("x-")} <= ABOUT_MESSAGE
    assert TYPED.fullmatch(fields["reporting-mta"])
    for name in ("dsn-gateway", "received-from-mta"):
        assert name not in fields or TYPED.fullmatch(fields[name])
    for name in ("arrival-date", "deliver-by-date"):
        assert name not in fields or DATE.fullmatch(fields[name])


def _check_recipient(fields: dict[str, str], *, is_global: bool) -> None:
    assert {name for name in fields if not name.startswith("x-")} <= ABOUT_RECIPIENT
    for name in ("original-recipient", "final-recipient"):
        if name in fields or name == "final-recipient":
            match = TYPED.fullmatch(fields[name])
            assert match, fields[name]
            assert match[1].lower() != "utf-8" or is_global or XTEXT.fullmatch(match[2]), "utf-8-addr-xtext, RFC 6533 3"
            assert match[1].lower() != "rfc822" or match[2].isascii()
    status = STATUS.fullmatch(fields["status"])
    assert status, fields["status"]
    assert status[1] in ACTIONS[fields["action"]], f"{fields['action']} with {fields['status']}"
    for name in ("remote-mta", "diagnostic-code"):
        assert name not in fields or TYPED.fullmatch(fields[name]), fields[name]
    for name in ("last-attempt-date", "will-retry-until"):
        assert name not in fields or DATE.fullmatch(fields[name])
    assert "will-retry-until" not in fields or fields["action"] == "delayed"
