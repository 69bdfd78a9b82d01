"""What is derived from mail so that readers get it quickly; it can be thrown away, and is built anew."""

from engine.index.query import Found, Text
from engine.index.reader import Index
from engine.index.row import Row, computed, placed

__all__ = ["Found", "Index", "Row", "Text", "computed", "placed"]
