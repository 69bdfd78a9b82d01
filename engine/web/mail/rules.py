"""Rules for mail that comes in, and what is answered while one is away, as a Sieve script (RFC 5228, 5230).

The script says in its first line, a comment, what the form said; so the form is read from it, and nothing else has to
be kept. Scripts that somebody has written by hand are others, with other names.
"""

import re
from datetime import date
from typing import Final, Literal

import msgspec

from engine.web.text import N_

NAME: Final = "webmail"
"""Of the script that the form writes."""

MOST: Final = 50
"""Rules of one form."""

TEXT: Final = 10_000
"""Characters of what is answered."""

_SHORT: Final = 300
"""Characters of what is looked for, and of a subject."""

_MARK: Final = "# postroad webmail "

_FIELDS: Final = {
    "from": 'address :contains "from"',
    "to": 'address :contains ["to", "cc"]',
    "subject": 'header :contains "subject"',
    "list": 'header :contains "list-id"',
}

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One: what it looks for, and what happens then."""

    field: Literal["from", "to", "subject", "list"]
    text: str
    into: str = ""  # a mailbox; empty: where it would go
    read: bool = False  # mark it as read
    flag: bool = False  # with a star


class Away(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is answered while one is away."""

    on: bool = False
    subject: str = ""
    text: str = ""
    since: str = ""  # a day, 2026-01-31; empty: now
    until: str = ""  # the last day; empty: until it is switched off


class Rules(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that the form says."""

    rules: tuple[Rule, ...] = ()
    away: Away = Away()


_decoder = msgspec.json.Decoder(Rules)


def checked(rules: Rules) -> Rules:
    """The same. ValueError for what makes no sense."""
    if len(rules.rules) > MOST:
        raise ValueError(N_("at most %(most)s rules", most=MOST))
    for rule in rules.rules:
        if not 0 < len(rule.text) <= _SHORT:
            raise ValueError(N_("say what a rule is to look for, in a few words"))
    away = rules.away
    if len(away.text) > TEXT or len(away.subject) > _SHORT:
        raise ValueError(N_("the answer is too long"))
    if away.on and not away.text.strip():
        raise ValueError(N_("say what is to be answered"))
    days = [date.fromisoformat(day) for day in (away.since, away.until) if day]
    if days != sorted(days):
        raise ValueError(N_("the last day is before the first"))
    return rules


def written(rules: Rules) -> bytes:
    """The script. The answer comes first: behind a rule that fits, the script ends."""
    body = [*_away(rules.away), *map(_rule, rules.rules)]
    needed = sorted({name for name, word in _NEEDED.items() if any(word in text for text in body)})
    require = f"require [{', '.join(map(_quoted, needed))}];\n" if needed else ""
    said = msgspec.json.encode(rules).decode()
    return f"{_MARK}{said}\n{require}\n{''.join(body)}".replace("\n", "\r\n").encode()


_NEEDED: Final = {
    "fileinto": "fileinto ", "mailbox": ":create", "imap4flags": "addflag ", "vacation": "vacation ",
    "date": "currentdate ", "relational": ":value ",
}  # fmt: skip


def read(script: bytes) -> Rules | None:
    """What the form said; None: the script is none of ours."""
    first, _, _ = script.decode("utf-8", "replace").partition("\n")
    if not first.startswith(_MARK):
        return None
    try:
        return _decoder.decode(first.removeprefix(_MARK).strip())
    except msgspec.DecodeError:
        return None


def _rule(rule: Rule) -> str:
    """The first that fits decides where a message goes; all that fit set their flags."""
    does = [*(['addflag "\\\\Seen";'] if rule.read else []), *(['addflag "\\\\Flagged";'] if rule.flag else [])]
    if rule.into:
        does += [f"fileinto :create {_quoted(rule.into)};", "stop;"]
    inner = "".join(f"    {one}\n" for one in does)
    return f"if {_FIELDS[rule.field]} {_quoted(rule.text)} {{\n{inner}}}\n"


def _away(away: Away) -> list[str]:
    if not away.on:
        return []
    subject = f" :subject {_quoted(away.subject)}" if away.subject else ""
    answer = f"vacation :days 7{subject} {_quoted(away.text)};\n"
    tests = [
        f'currentdate :value "{compared}" "date" "{day}"'
        for compared, day in (("ge", away.since), ("le", away.until))
        if day
    ]
    return [f"if allof ({', '.join(tests)}) {{\n    {answer}}}\n" if tests else answer]


def _quoted(text: str) -> str:
    """A string of Sieve (RFC 5228 2.4.2), without controls but line ends."""
    plain = _CONTROLS.sub(" ", text.replace("\r\n", "\n"))
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
