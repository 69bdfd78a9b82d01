"""Ours: the rules and what was learnt; and each of the two alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from bench.spam.corpus import Mail
from bench.spam.filters.base import Filter
from engine.message import Session
from engine.spam import SERVER, Case, Letter, SpamTerms, Words, judged, lesson, teach


class Postroad(Filter):
    name: ClassVar[str] = "postroad"
    cut: ClassVar[float] = SpamTerms().mark

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._words: Words

    def __enter__(self) -> Self:
        self._words = Words.open(self.folder / "spam")
        return self

    def __exit__(self, *_: object) -> None:
        self._words.close()

    def learn(self, mail: Sequence[Mail]) -> None:
        kinds = ((Letter((one.octets,)), one.is_spam) for one in mail)
        teach(
            self._words,
            (each for one, is_spam in kinds for each in lesson(one, "spam" if is_spam else "ham", [SERVER])),
        )

    def score(self, mail: Mail) -> float:
        return judged(Case(Letter((mail.octets,)), Session("192.0.2.1")), self._words).score

    def version(self) -> str:
        return "this tree"


class Rules(Postroad):
    """As it is before it has learnt anything."""

    name: ClassVar[str] = "postroad, rules alone"
    learns: ClassVar[bool] = False


class Bayes(Postroad):
    """The classifier alone: the probability."""

    name: ClassVar[str] = "postroad, words alone"
    cut: ClassVar[float] = 0.9

    def score(self, mail: Mail) -> float:
        return judged(Case(Letter((mail.octets,))), self._words).opinion.probability
