"""The spam filter that needs no server: tokens of a message, a Bayes classifier over LMDB, and rules."""

from engine.spam.judge import Judgement, judged
from engine.spam.lessons import lesson, teach
from engine.spam.letter import Letter
from engine.spam.rules import Case
from engine.spam.scanner import SpamFilter, SpamTerms
from engine.spam.service import Spam
from engine.spam.store import FOLDER, SERVER, Kind, Learnt, Lesson, Words

__all__ = [
    "FOLDER",
    "SERVER",
    "Case",
    "Judgement",
    "Kind",
    "Learnt",
    "Lesson",
    "Letter",
    "Spam",
    "SpamFilter",
    "SpamTerms",
    "Words",
    "judged",
    "lesson",
    "teach",
]
