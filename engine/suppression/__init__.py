"""The suppression list: recipients who are not written to again, for all or for one tenant."""

from engine.suppression.entries import Row, entry_of
from engine.suppression.store import FOLDER, Suppressions

__all__ = ["FOLDER", "Row", "Suppressions", "entry_of"]
