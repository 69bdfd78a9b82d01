"""What a program thinks of a message, by its exit code or by a line of JSON, and the verdict that this leads to."""

import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import msgspec

from engine.message import Fact, Message
from engine.scanning.decoding import check_facts, decoded
from engine.scanning.edits import Edits
from engine.scanning.guard import Unreachable
from engine.verdict import Defer, Discard, Quarantine, Reject, Verdict

Word: TypeAlias = Literal["pass", "spam", "reject", "defer", "discard", "quarantine", "error"]

CODES: Mapping[int, Word] = MappingProxyType(
    {
        os.EX_OK: "pass",
        os.EX_DATAERR: "reject",
        os.EX_NOUSER: "reject",
        os.EX_UNAVAILABLE: "reject",
        os.EX_NOPERM: "reject",
        os.EX_TEMPFAIL: "defer",
    }
)
"""What exit codes mean that sysexits(3) has a meaning for; all others say that the program itself has failed."""

_STATUS = re.compile(r"[45]\.\d{1,3}\.\d{1,3}")
_BREAK = re.compile(r"[\r\n\0]")
_SCORE = re.compile(r"\s*(-?\d+(?:\.\d+)?)(?:\s|/|$)")

REFUSED = "This message was refused by a filter"
LATER = "A filter asks you to send this message later"


class Judgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``text`` and ``code`` are for the sender of what is refused; of `quarantine` the text is the reason.

    ``facts`` become `scan.NAME.…`, and ``headers`` are put on top, the first one topmost.
    """

    verdict: Word = "pass"
    text: str = ""
    code: str = ""
    facts: dict[str, Any] = {}
    headers: list[tuple[str, str]] = []


_DECODER = msgspec.json.Decoder(Judgement)


def parse(line: bytes) -> Judgement:
    """Unreachable where the line is none."""
    judgement = decoded(_DECODER, line)
    check_facts(judgement.facts)
    if any(_BREAK.search(value) for _, value in judgement.headers):
        raise Unreachable("nonsense for a header field: a line break in its value")
    return judgement


def of_code(code: int, output: bytes, codes: Mapping[int, Word]) -> Judgement:
    """What an exit code says, by ``codes`` and CODES. The first line of the output is kept as a fact, and a number with
    which it begins as the score."""
    said = output.partition(b"\n")[0].decode("utf-8", "replace").strip()[:200]
    facts: dict[str, Fact] = {"exit": code}
    if said:
        facts["output"] = said
    if score := _SCORE.match(said):
        facts["score"] = float(score[1])
    return Judgement(codes.get(code) or CODES.get(code, "error"), facts=facts)


def judged(message: Message, judgement: Judgement, scanner: str) -> Verdict:
    """The verdict; the message that goes on has what was found. Unreachable where the scanner says that it failed."""
    text, word = judgement.text, judgement.verdict
    match word:
        case "reject":
            return Reject(text or REFUSED, code=_status(judgement.code, "5.7.1"), log=f"{scanner}: {_why(judgement)}")
        case "defer":
            return Defer(text or LATER, code=_status(judgement.code, "4.7.1"), log=f"{scanner}: {_why(judgement)}")
        case "discard":
            return Discard(text or scanner)
        case "quarantine":
            return Quarantine(text or f"found by {scanner}")
        case "error":
            raise Unreachable(f"failed: {_why(judgement)}")
    return _marked(message, judgement, scanner)


def _marked(message: Message, judgement: Judgement, scanner: str) -> Message:
    facts = dict(judgement.facts)
    headers = judgement.headers
    if judgement.verdict == "spam":
        facts["spam"] = True
        headers = [("X-Spam-Flag", "YES"), *headers]
    try:
        message = Edits(add=tuple(headers)).applied(message)
    except ValueError as error:
        raise Unreachable(f"nonsense for a header field: {error}") from error
    told: dict[str, Fact] = {f"scan.{scanner}.{name}": value for name, value in facts.items()}
    score, highest = facts.get("score"), message.fact("scan.score")
    if isinstance(score, float | int) and not (isinstance(highest, float | int) and highest > score):
        told["scan.score"] = float(score)  # of several scanners the highest
    return message.with_facts(told) if told else message


def _status(code: str, usual: str) -> str:
    return code if _STATUS.fullmatch(code) and code[0] == usual[0] else usual


def _why(judgement: Judgement) -> str:
    return ", ".join(f"{name} {value}" for name, value in judgement.facts.items()) or judgement.text or "it said so"
