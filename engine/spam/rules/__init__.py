"""Rules: small tests of a message, each with a symbol and a weight."""

from collections.abc import Mapping
from itertools import chain

from engine.spam.rules import attachments, body, evidence, header, links
from engine.spam.rules.case import Case, Rule

RULES: Mapping[str, Rule] = {
    rule.symbol: rule
    for rule in chain(header.RULES, body.RULES, links.RULES, attachments.RULES, evidence.RULES)
}  # fmt: skip
"""All of them, by symbol."""


def matched(case: Case, weights: Mapping[str, float]) -> dict[str, float]:
    """The symbols that are true of a message with what they count; ``weights`` replaces that of some, 0 leaves out."""
    found: dict[str, float] = {}
    for rule in RULES.values():
        weight = weights.get(rule.symbol, rule.weight)
        if weight and rule.test(case):
            found[rule.symbol] = weight
    return found


__all__ = ["RULES", "Case", "Rule", "matched"]
