"""Allow and block lists: whose mail the server, a domain or an account wants in any case, or not at all."""

from engine.lists.entries import ALLOW, BLOCK, Entry, Sender, entry_of
from engine.lists.store import FOLDER, Listed, Lists, scope_of

__all__ = ["ALLOW", "BLOCK", "FOLDER", "Entry", "Listed", "Lists", "Sender", "entry_of", "scope_of"]
