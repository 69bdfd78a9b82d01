"""What follows MAIL and RCPT: a path, then parameters, each by its own pattern (RFC 5321 4.1.2)."""

import re
from collections.abc import Mapping
from typing import TypeAlias

from engine.protocols.address import Malformed, parse_path
from engine.protocols.smtp_events import Mail, Rcpt
from engine.protocols.smtp_replies import reply

_XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"

Patterns: TypeAlias = Mapping[str, re.Pattern[str]]

MAIL_PARAMETERS: Patterns = {
    "SIZE": re.compile(r"[0-9]{1,20}"),  # RFC 1870 4
    "BODY": re.compile(r"7BIT|8BITMIME", re.IGNORECASE),  # RFC 6152 2
    "SMTPUTF8": re.compile(r""),  # RFC 6531 3.4
    "RET": re.compile(r"FULL|HDRS", re.IGNORECASE),  # RFC 3461 4.3
    "ENVID": re.compile(rf"{_XTEXT}{{1,100}}"),  # RFC 3461 4.4
    "AUTH": re.compile(rf"<>|{_XTEXT}{{1,500}}"),  # RFC 4954 5
    "REQUIRETLS": re.compile(r""),  # RFC 8689 2
}

RCPT_PARAMETERS: Patterns = {
    "NOTIFY": re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*", re.IGNORECASE),
    # RFC 3461 4.2; raw UTF-8 by RFC 6533 3, and only in a transaction with SMTPUTF8.
    "ORCPT": re.compile(rf"(?=.{{1,500}}\Z)[A-Za-z0-9-]+;(?:{_XTEXT}|[\u0080-\U0010ffff])+"),
}

# The path may hold a quoted local part, and that a space, a ">" or a colon. The blank after the colon is against
# RFC 5321 3.3, but old clients send it and nothing can be mistaken.
_PATH = r' *+(<(?:[^"<>]++|"(?:[^"\\]|\\.)*+")*+>)(?: +(.*))?'
_FROM = re.compile(r"(?i:FROM):" + _PATH)
_TO = re.compile(r"(?i:TO):" + _PATH)

_NO_PARAMETERS: Mapping[str, str] = {}

_MAIL_SYNTAX = reply(501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]")
_RCPT_SYNTAX = reply(501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]")
_UNKNOWN = reply(555, "5.5.4", "A parameter is unknown here")
_TWICE = reply(501, "5.5.4", "A parameter stands twice")
_NEEDS_UTF8 = reply(553, "5.6.7", "Non-ASCII is only for transactions with SMTPUTF8")


def parse_mail(argument: str, *, requiretls: bool = False) -> Mail | bytes:
    """The event that the text after ``MAIL`` makes, or the reply that refuses it. ``requiretls`` is offered."""
    match = _FROM.fullmatch(argument)
    if match is None:
        return _MAIL_SYNTAX
    given = _parameters(match[2], MAIL_PARAMETERS)
    if isinstance(given, bytes):
        return given
    if "REQUIRETLS" in given and not requiretls:
        return _UNKNOWN
    smtputf8 = "SMTPUTF8" in given
    sender = parse_path(match[1], null_ok=True, utf8=smtputf8)
    if isinstance(sender, Malformed):
        return _bad_address(sender, "5.1.7")
    if given is _NO_PARAMETERS:
        return Mail(sender, None, "7BIT", False, "", "", "")
    size = int(given["SIZE"]) if "SIZE" in given else None
    body, ret = given.get("BODY", "7BIT").upper(), given.get("RET", "").upper()
    envid, auth = given.get("ENVID", ""), given.get("AUTH", "")
    return Mail(sender, size, body, smtputf8, ret, envid, auth, "REQUIRETLS" in given)


def parse_rcpt(argument: str, *, smtputf8: bool) -> Rcpt | bytes:
    """The event that the text after ``RCPT`` makes, or the reply that refuses it."""
    match = _TO.fullmatch(argument)
    if match is None:
        return _RCPT_SYNTAX
    recipient = parse_path(match[1], null_ok=False, utf8=smtputf8)
    if isinstance(recipient, Malformed):
        return _bad_address(recipient, "5.1.3")
    given = _parameters(match[2], RCPT_PARAMETERS)
    if isinstance(given, bytes):
        return given
    original = given.get("ORCPT", "")
    if not original.isascii() and not smtputf8:
        return _NEEDS_UTF8
    return Rcpt(recipient, given.get("NOTIFY", "").upper(), original)


def _parameters(text: str | None, patterns: Patterns) -> Mapping[str, str] | bytes:
    """Values by keyword in capitals, or the reply that refuses them."""
    if not text:
        return _NO_PARAMETERS
    given: dict[str, str] = {}
    for word in filter(None, text.split(" ")):
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        pattern = patterns.get(keyword)
        if pattern is None:
            return _UNKNOWN
        if keyword in given:
            return _TWICE
        if not pattern.fullmatch(value) or bool(equals) != bool(value):
            return reply(501, "5.5.4", f"The value of {keyword} is malformed")
        given[keyword] = value
    return given


def _bad_address(malformed: Malformed, enhanced: str) -> bytes:
    if malformed.needs_utf8:
        return _NEEDS_UTF8
    return reply(501, enhanced, f"Bad address: {malformed.text}")
