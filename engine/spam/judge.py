"""The judgement of one message: what the rules and the classifier say of it, together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from engine.spam.classify import UNKNOWN, UNSURE, Count, Opinion, estimate, opinion
from engine.spam.rules import RULES, Case, matched
from engine.spam.starter import STRENGTH, starter
from engine.spam.store import SERVER, Words
from engine.spam.tokens import tokens

ENOUGH: Final = Count(spam=50, ham=50)
"""Messages that the server must have learnt of each kind before what it learnt counts."""

OWN: Final = Count(spam=10, ham=10)
"""The same of one account, for whom the server's experience goes first."""

OWN_STRENGTH: Final = 2.0
"""How many of an account's own messages the server's experience with a token is worth."""

BAYES_SPAM, BAYES_HAM = "BAYES_SPAM", "BAYES_HAM"

BAYES: Final[Mapping[str, float]] = {BAYES_SPAM: 6.0, BAYES_HAM: -3.0}
"""What the classifier adds when it is certain; where it is unsure, that much less."""

SYMBOLS: Final[Mapping[str, float]] = {**BAYES, **{rule.symbol: rule.weight for rule in RULES.values()}}
"""All symbols, with their weights."""


_USUAL: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Judgement:
    """How much speaks for spam, and what."""

    symbols: Mapping[str, float] = field(default_factory=dict)
    opinion: Opinion = UNSURE

    @property
    def score(self) -> float:
        return round(sum(self.symbols.values()), 2)


def judged(case: Case, words: Words, account: int = SERVER, weights: Mapping[str, float] = _USUAL) -> Judgement:
    """Judge a message for everybody, or for one account. It takes some milliseconds. StorageError."""
    return judgement(matched(case, weights), learnt(words, tokens(case.letter), account), weights)


def judgement(symbols: dict[str, float], found: Opinion, weights: Mapping[str, float] = _USUAL) -> Judgement:
    """What the rules and the classifier say, together."""
    symbol = BAYES_SPAM if found.probability > UNKNOWN else BAYES_HAM
    points = weights.get(symbol, BAYES[symbol]) * abs(2 * found.probability - 1)
    if abs(points) >= 0.05:
        symbols[symbol] = round(points, 2)
    return Judgement(symbols, found)


def learnt(words: Words, among: frozenset[str], account: int = SERVER) -> Opinion:
    """What the classifier says, by what it began with, and what was learnt for the server and for an account."""
    begun = starter()
    found = {token: begun[token] for token in among if token in begun}
    messages = words.messages(SERVER)
    if _is_enough(messages, ENOUGH):
        for token, count in words.counts(SERVER, among).items():
            found[token] = (
                estimate(count, messages, begun[token], STRENGTH) if token in begun else estimate(count, messages)
            )
    own = words.messages(account) if account != SERVER else Count()
    if _is_enough(own, OWN):
        for token, count in words.counts(account, among).items():
            found[token] = estimate(count, own, found.get(token, UNKNOWN), OWN_STRENGTH)
    return opinion(found)


def _is_enough(messages: Count, wanted: Count) -> bool:
    return messages.spam >= wanted.spam and messages.ham >= wanted.ham
