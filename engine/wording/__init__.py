"""What our reports say to people, in their language: the words, which language it is, and the text that comes of it."""

from engine.wording.choice import Languages, preferred
from engine.wording.text import human
from engine.wording.words import BUILT_IN, ENGLISH, Flawed, Words, built_in, read_folder

__all__ = [
    "BUILT_IN",
    "ENGLISH",
    "Flawed",
    "Languages",
    "Words",
    "built_in",
    "human",
    "preferred",
    "read_folder",
]
