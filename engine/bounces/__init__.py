"""What replies mean: a class for each, whether it is final, and when to try again."""

from engine.bounces.classes import CLASSES, UNKNOWN, About, Class, Retry, is_class
from engine.bounces.heard import Heard, Phase
from engine.bounces.patterns import BadPatterns, Classifier, Finding, Pattern, classifier, usual

__all__ = [
    "CLASSES", "UNKNOWN", "About", "BadPatterns", "Class", "Classifier", "Finding", "Heard", "Pattern", "Phase",
    "Retry", "classifier", "is_class", "usual",
]  # fmt: skip
