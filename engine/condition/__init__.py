"""Conditions, as an operator writes them: ``when = "scan.score >= 5 and not session.login"``."""

from engine.condition.meaning import Condition, Known, Vocabulary, understood
from engine.condition.messages import When, parse_condition

__all__ = ["Condition", "Known", "Vocabulary", "When", "parse_condition", "understood"]
