"""Sieve scripts at work: they sort the mail of accounts when it comes, and ManageSieve changes them."""

from engine.sorting.sorter import Said, Sorted, Sorter
from engine.sorting.world import Person

__all__ = ["Person", "Said", "Sorted", "Sorter"]
