"""What a session wants to hear by NOTIFY (RFC 5465)."""

from dataclasses import dataclass, field

from engine.imap.place import Place
from engine.mailbox.layout import INBOX
from engine.mailbox.names import SEPARATOR
from engine.protocols.imap import notify as asked


@dataclass(slots=True)
class Wishes:
    """What a session wants to hear, and what it has heard of mailboxes that it has not selected."""

    groups: tuple[asked.Group, ...]
    told: dict[tuple[int, int], int] = field(default_factory=dict)  # account and mailbox → MODSEQ
    names: dict[tuple[int, int], tuple[str, bool]] = field(default_factory=dict)  # → name, whether subscribed to

    @property
    def selected(self) -> asked.Group | None:
        """What it wants to hear of the mailbox that is selected."""
        return next((group for group in self.groups if group.where.startswith("SELECTED")), None)

    @property
    def flags(self) -> bool:
        """Whether it wants to hear of flags of that mailbox that others change (RFC 5465 5.3)."""
        return self.selected is None or "FlagChange" in self.selected.events

    def of(self, name: str, place: Place) -> frozenset[str]:
        """The events of a mailbox that it wants to hear: the first group that the mailbox is in counts."""
        for group in self.groups:
            if _is_in(group, name, place):
                return group.events
        return frozenset()


def _is_in(group: asked.Group, name: str, place: Place) -> bool:
    match group.where:
        case "PERSONAL":
            return True
        case "INBOXES":
            return place.mailbox == INBOX
        case "SUBSCRIBED":
            return place.folder.subscribed
        case "SUBTREE":
            return any(name == top or name.startswith(top + SEPARATOR) for top in group.mailboxes)
        case "MAILBOXES":
            return name in group.mailboxes
        case _:
            return False
