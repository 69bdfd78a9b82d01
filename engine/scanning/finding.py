"""What a scanner found in a message, and what several found together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from engine.message import JUNK, Fact
from engine.scanning.edits import Edits

Action: TypeAlias = Literal["none", "quarantine", "defer", "discard", "reject"]

_STRENGTH: Mapping[Action, int] = {action: strength for strength, action in enumerate(get_args(Action))}
"""Of what several want, the stronger counts. A deferral beats a quarantine: when the message comes again, whoever could
not say anything now may turn it away."""

FINAL: frozenset[Action] = frozenset({"discard", "reject"})
"""What no other finding could change, so nobody is waited for. A deferral is none: what another scanner is about to
turn away is better refused at once than asked to come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one scanner says. Without arguments: nothing is wrong.

    ``score``, ``symbols`` and ``facts`` become the facts `scan.NAME.score`, `scan.NAME.symbols` and `scan.NAME.…`.
    """

    action: Action = "none"
    text: str = ""  # for the client, who may be a spammer; empty: a general one
    code: str = ""  # enhanced status code (RFC 3463) of a reject or defer; empty: a general one
    reason: str = ""  # for the operator; of a quarantine the same for the same thing, so without a score
    score: float | None = None
    percent: float | None = None  # how much of spam it is, 0 to 100, for `spamtest` in scripts (RFC 5235 2.1)
    virus_level: int | None = None  # 1: none found, to 5: infected, for `virustest` (RFC 5235 2.2)
    symbols: Mapping[str, float] = field(default_factory=dict)  # the rules that matched, with what they count
    facts: Mapping[str, Fact] = field(default_factory=dict)
    edits: Edits = Edits()

    def __str__(self) -> str:
        """All of it in one line, for the log."""
        said: list[str] = [self.action]
        if self.score is not None:
            said.append(f"score {self.score:g}")
        if self.reason:
            said.append(self.reason)
        said += [f"{symbol}({count:g})" for symbol, count in self.symbols.items()]
        return " ".join(said)


NOTHING = Finding()


def decisive(found: Mapping[str, Finding]) -> Finding:
    """The finding that decides, of those by scanner: the strongest, the first of several such."""
    return max(found.values(), key=lambda one: _STRENGTH[one.action], default=NOTHING)


def facts(found: Mapping[str, Finding]) -> dict[str, Fact]:
    """What later stages may know: `scan.action`, `scan.NAME.…`, and of what several say the highest."""
    told: dict[str, Fact] = {"scan.action": decisive(found).action}
    for fact, numbers in (
        ("scan.score", [one.score for one in found.values() if one.score is not None]),
        ("spam.percent", [one.percent for one in found.values() if one.percent is not None]),
        ("virus.level", [one.virus_level for one in found.values() if one.virus_level is not None]),
    ):
        if numbers:
            told[fact] = max(numbers)
    if any(one.facts.get("junk") for one in found.values()):
        told[JUNK] = True
    for name, one in found.items():
        if one.score is not None:
            told[f"scan.{name}.score"] = one.score
        if one.symbols:
            told[f"scan.{name}.symbols"] = dict(one.symbols)
        for fact, value in one.facts.items():
            told[f"scan.{name}.{fact}"] = value
    return told
