"""What our own Authentication-Results fields say, gathered for ARC (RFC 8617 4.1.1, RFC 8601 2.2)."""

import re
from typing import NamedTuple

from engine.authentication.fields import Fields
from engine.authentication.outcome import Result

FIELD = "authentication-results"

_CFWS = r"(?:\s|\([^()]*\))*"
_VALUE = re.compile(
    rf'{_CFWS}(?P<name>"(?:[^"\\]|\\.)*"|[^\s;"()]+)(?:{_CFWS}[0-9]+)?{_CFWS}(?:;(?P<results>.*))?', re.DOTALL
)
_NO_RESULT = re.compile(rf"{_CFWS}(?:none{_CFWS})?", re.IGNORECASE)
_QUOTED_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|\([^()]*\)')
_ARC = re.compile(r"(?:^|;)\s*arc\s*=\s*(\w+)", re.IGNORECASE)


class Reported(NamedTuple):
    """``results``: our authserv-id and all results, in one; ``chain``: that of ARC, None where none or several are."""

    results: str
    chain: Result | None


def reported(fields: Fields, authserv_id: str) -> Reported:
    """What the fields with that authserv-id say. Its case does not matter."""
    found = []
    for field in fields.named(FIELD):
        value = _VALUE.fullmatch(field.value.decode(errors="replace"))
        if value and value["name"].strip('"').lower() == authserv_id.lower():
            results = (value["results"] or "").strip().removesuffix(";").rstrip()
            if not _NO_RESULT.fullmatch(results):
                found.append(results)
    return Reported(f"{authserv_id}; " + ";\r\n ".join(found or ["none"]), _chain(found))


def _chain(found: list[str]) -> Result | None:
    said = {word.lower() for results in found for word in _ARC.findall(_QUOTED_OR_COMMENT.sub(" ", results))}
    statuses = [status for status in (Result.NONE, Result.PASS, Result.FAIL) if {status} == said]
    return statuses[0] if statuses else None
