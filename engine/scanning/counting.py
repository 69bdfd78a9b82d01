"""How much of the mail is spam, and what had a virus: counted over all scanners together."""

from collections.abc import Mapping

from engine.observe.measures import Counter
from engine.scanning.finding import Action, Finding, decisive

_SCANNED = Counter(
    "postroad_scanned_total",
    "Messages that were scanned: `clean`, `junk`, `quarantined`, `deferred`, `discarded` or `refused`.",
    ("result",),
)
_VIRUSES = Counter("postroad_viruses_total", "Messages in which a scanner was sure of a virus.")

_RESULTS: Mapping[Action, str] = {
    "quarantine": "quarantined", "defer": "deferred", "discard": "discarded", "reject": "refused",
}  # fmt: skip

INFECTED = 5
"""RFC 5235 2.2."""


def count(found: Mapping[str, Finding]) -> None:
    """One message, with what each scanner says."""
    action = decisive(found).action
    is_junk = any(one.facts.get("junk") for one in found.values())
    _SCANNED.of(_RESULTS.get(action, "junk" if is_junk else "clean")).value += 1
    if any((one.virus_level or 0) >= INFECTED for one in found.values()):
        _VIRUSES.of().value += 1
