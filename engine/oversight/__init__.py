"""Oversight of people's mail: who may look, what is held, and a log of it that shows whether it was changed."""

from engine.oversight.entries import Chain, Entry
from engine.oversight.grants import Grant, State, Whose
from engine.oversight.store import Held, NoSuchGrant, Oversight, Refusal, Under, Wide

__all__ = ["Chain", "Entry", "Grant", "Held", "NoSuchGrant", "Oversight", "Refusal", "State", "Under", "Whose", "Wide"]
