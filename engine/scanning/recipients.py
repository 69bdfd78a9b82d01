"""Recipients that a filter adds to a message, or takes away."""

from collections.abc import Mapping
from typing import Any

from engine.message import Message
from engine.observe.events import event
from engine.protocols.address import parse_path
from engine.scanning.guard import Unreachable
from engine.verdict import Defer, Discard, Reject, Route


def address(message: Message, path: str, *, sender: bool = False) -> str:
    """The address that a filter asks for, with or without its angle brackets. Unreachable where it is none."""
    inner = path.strip()
    whole = inner if inner.startswith("<") else f"<{inner}>"
    found = parse_path(whole, null_ok=sender, utf8=message.envelope.smtputf8)
    if not isinstance(found, str):
        raise Unreachable(f"asks for the address {path[:80]!r}: {found.text}")
    return found


class Wanted:
    """The recipients of a message as a filter wants them."""

    def __init__(self, message: Message, by: str) -> None:
        self._message = message
        self._by = by
        self._wanted = {one.casefold(): one for one in message.recipients}

    def add(self, path: str) -> None:
        """Unreachable where it is no address."""
        found = address(self._message, path)
        self._wanted.setdefault(found.casefold(), found)

    def remove(self, path: str) -> None:
        """One that is not there is no mistake: another filter may have removed it."""
        self._wanted.pop(path.strip().strip("<>").casefold(), None)

    def verdicts(self, refused: Mapping[str, Reject | Defer]) -> dict[str, Any]:
        """Those on recipients that do not simply go on; ``refused`` are decided about."""
        recipients = self._message.recipients
        open_ = [one for one in recipients if one not in refused]
        given = {one.casefold() for one in recipients}
        added = tuple(one for key, one in self._wanted.items() if key not in given)
        gone = [one for one in open_ if one.casefold() not in self._wanted]
        if added or gone:
            event("recipients-changed", id=self._message.id, by=self._by, added=added, removed=gone)
        found: dict[str, Any] = {**refused, **dict.fromkeys(gone, Discard(f"{self._by} has removed the recipient"))}
        if added:
            stays = [one for one in open_ if one not in gone]
            found[(stays or open_)[0]] = Route("", (*stays[:1], *added))
        return found
