"""What is remembered across messages about those who send them: greylisted clients, the habits of accounts."""

from engine.abuse.greylist import Greylist
from engine.abuse.habits import Habits
from engine.abuse.tables import Tables

__all__ = ["Greylist", "Habits", "Tables"]
