from engine.abuse.greylist import Greylist
from engine.abuse.tables import Tables

__all__ = ["Greylist", "Tables"]
