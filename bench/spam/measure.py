"""What a filter found, in figures."""

from collections.abc import Sequence
from typing import NamedTuple

Judged = Sequence[tuple[bool, float]]
"""Of each message whether it is spam, and the filter's score."""


class Figures(NamedTuple):
    """Of messages judged with one threshold."""

    spam: int
    ham: int
    found: int  # spam that was taken for spam
    alarms: int  # ham that was

    @property
    def recall(self) -> float:
        """How much of the spam was found."""
        return self.found / max(self.spam, 1)

    @property
    def precision(self) -> float:
        """How much of what was taken for spam is spam."""
        return self.found / max(self.found + self.alarms, 1)

    @property
    def alarm_rate(self) -> float:
        """How much of the ham was taken for spam."""
        return self.alarms / max(self.ham, 1)


def figures(judged: Judged, cut: float) -> Figures:
    spam = [score for is_spam, score in judged if is_spam]
    ham = [score for is_spam, score in judged if not is_spam]
    return Figures(len(spam), len(ham), sum(one >= cut for one in spam), sum(one >= cut for one in ham))


def recall_at(judged: Judged, rate: float) -> float:
    """The recall with the threshold that lets no more than this part of the ham be taken for spam."""
    ham = sorted((score for is_spam, score in judged if not is_spam), reverse=True)
    allowed = int(rate * len(ham))
    limit = ham[allowed] if allowed < len(ham) else float("-inf")
    spam = [score for is_spam, score in judged if is_spam]
    return sum(score > limit for score in spam) / max(len(spam), 1)
