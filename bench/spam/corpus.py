"""Labelled mail, and which of it is learnt and which is judged."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.exchange.letters import Broken
from engine.exchange.messages import messages


@dataclass(frozen=True, slots=True)
class Mail:
    """One message: whether it is spam, and its octets with CRLF."""

    where: str
    is_spam: bool
    octets: bytes

    @property
    def fold(self) -> int:
        """A number that depends on the octets alone, so that copies never stand on both sides of a split."""
        return int.from_bytes(hashlib.sha256(self.octets).digest()[:4], "big")


@dataclass(frozen=True, slots=True)
class Split:
    """What is learnt, and what is judged then."""

    learnt: Sequence[Mail]
    judged: Sequence[Mail]


def corpus(spam: Sequence[Path], ham: Sequence[Path]) -> list[Mail]:
    """All messages of these paths. ValueError for what cannot be read."""
    return [mail for paths, is_spam in ((spam, True), (ham, False)) for path in paths for mail in _read(path, is_spam)]


def splits(mail: Sequence[Mail], folds: int, rounds: int) -> Iterator[Split]:
    """For each of the first ``rounds`` of ``folds`` parts: it is judged, and all others are learnt."""
    for number in range(rounds):
        yield Split(
            [one for one in mail if one.fold % folds != number], [one for one in mail if one.fold % folds == number]
        )


def _read(path: Path, is_spam: bool) -> Iterator[Mail]:
    for found in messages(path):
        if isinstance(found, Broken):
            raise ValueError(f"{found.where}: {found.why}")
        yield Mail(found.where, is_spam, b"".join(found.letter.pieces))
