"""How likely a message is spam, by its tokens: Robinson's estimate for each, and Fisher's method to combine them.

G. Robinson, "A Statistical Approach to the Spam Problem", Linux Journal 107 (2003). The logarithm of a product of
probabilities follows a chi-square distribution if they are random; how unlikely what is found would be then is asked
once for spam and once for ham. Where both are unlikely, or neither, nothing can be said, and the answer is about 0.5.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

STRENGTH = 0.1
"""How many messages the expectation of ``UNKNOWN`` is worth."""

UNKNOWN = 0.5
"""The probability of spam of a token that was never seen."""

DEVIATION = 0.1
"""How far from 0.5 a token's probability must be for it to count: others only blur."""

STRONGEST = 150
"""Tokens that count, the farthest from 0.5 first: with all of them every long message would be certain."""

HAM, SPAM = 0.2, 0.9
"""Up to here a message is ham, from there on spam; between them it is unsure."""


class Count(NamedTuple):
    """In how many messages of each kind something was."""

    spam: int = 0
    ham: int = 0


class Clue(NamedTuple):
    """A token that counted, and the probability that a message with it is spam."""

    token: str
    probability: float


class Opinion(NamedTuple):
    """What the classifier says: 0 is ham, 1 is spam, 0.5 nobody knows. ``clues``: the strongest first."""

    probability: float
    clues: tuple[Clue, ...] = ()

    @property
    def word(self) -> str:
        return "spam" if self.probability >= SPAM else "ham" if self.probability <= HAM else "unsure"


UNSURE = Opinion(0.5)


def estimate(count: Count, messages: Count, prior: float = UNKNOWN, strength: float = STRENGTH) -> float:
    """The probability that a message with a token is spam.

    ``prior`` is what is expected of a token never seen, and counts as much as ``strength`` messages.
    """
    spam = count.spam / max(messages.spam, 1)
    ham = count.ham / max(messages.ham, 1)
    if not spam + ham:
        return prior
    seen = count.spam + count.ham
    return (strength * prior + seen * spam / (spam + ham)) / (strength + seen)


def opinion(probabilities: Mapping[str, float]) -> Opinion:
    """Combine the probabilities of a message's tokens."""
    telling = (Clue(token, one) for token, one in probabilities.items() if abs(one - 0.5) >= DEVIATION)
    clues = sorted(telling, key=lambda clue: (-abs(clue.probability - 0.5), clue.token))[:STRONGEST]
    return Opinion(combined([clue.probability for clue in clues]), tuple(clues))


def combined(probabilities: Iterable[float]) -> float:
    """0 to 1: 0.5 where nothing is known, or where all speaks for both."""
    found = [min(max(one, 1e-9), 1 - 1e-9) for one in probabilities]
    if not found:
        return 0.5
    spam = chi_square(-2 * sum(math.log1p(-one) for one in found), 2 * len(found))
    ham = chi_square(-2 * sum(math.log(one) for one in found), 2 * len(found))
    return (1 + ham - spam) / 2


def chi_square(value: float, freedom: int) -> float:
    """The probability that a chi-square variable of so many degrees of freedom (an even number) is greater."""
    half = value / 2
    if half > 700:  # exp(-half) is no more than nothing; the sum by its logarithm
        return _far(half, freedom // 2)
    term = total = math.exp(-half)
    for number in range(1, freedom // 2):
        term *= half / number
        total += term
    return min(total, 1.0)


def _far(half: float, terms: int) -> float:
    logarithms = [number * math.log(half) - math.lgamma(number + 1) - half for number in range(terms)]
    most = max(logarithms)
    return min(1.0, math.exp(most) * sum(math.exp(one - most) for one in logarithms))
