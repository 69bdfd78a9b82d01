"""Scanners and other judges outside: how they are asked, and what becomes of mail when they do not answer."""

from engine.scanning.edits import ALL, Edits
from engine.scanning.finding import NOTHING, Action, Finding, decisive, facts
from engine.scanning.guard import Guard, Unreachable
from engine.scanning.scanner import Guarded, Scanner, Terms, Unjudged, scanned

__all__ = [
    "ALL",
    "NOTHING",
    "Action",
    "Edits",
    "Finding",
    "Guard",
    "Guarded",
    "Scanner",
    "Terms",
    "Unjudged",
    "Unreachable",
    "decisive",
    "facts",
    "scanned",
]
