"""What a run asks of the outside: the message that it judges, and what else is known. Nothing here waits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol, TypeAlias

from engine.sieve.compiled import Script

Location: TypeAlias = Literal["personal", "global"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message: its type, in lower case, and what it holds, decoded.

    Of a multipart, that is what stands around its parts; of a message in the message, its header (RFC 5173 5.2).
    """

    type: str
    text: str


class Letter(Protocol):
    """The message."""

    @property
    def size(self) -> int: ...  # octets

    def fields(self) -> Sequence[bytes]:
        """The header fields, the topmost first, as they are, each with the line end behind it."""
        ...

    def body(self, limit: int) -> str:
        """What stands behind the header section, not decoded; no more than so many characters."""
        ...

    def parts(self, limit: int) -> Iterable[Part]:
        """All parts, the outermost first; together no more than so many characters."""
        ...

    def value(self, field: bytes) -> str:
        """The value of a header field: unfolded, encoded words decoded, no space around it."""
        ...

    def addresses(self, field: bytes) -> Sequence[str]:
        """The addresses in a header field, ``local@domain``, without names and comments."""
        ...


class World(Protocol):
    """Everything else."""

    @property
    def sender(self) -> str: ...  # of the envelope; empty: the null reverse-path

    @property
    def recipient(self) -> str: ...  # of the envelope, whose script this is

    @property
    def addresses(self) -> Sequence[str]: ...  # under which the recipient is known besides

    def may_write_as(self, address: str) -> bool:
        """Whether what the script sends may be from there."""
        ...

    def now(self) -> datetime:
        """With a time zone: that of the recipient, where it is known."""
        ...

    def folder_exists(self, name: str) -> bool:
        """Whether there is such a folder, and the recipient may put messages into it (RFC 5490 3.1)."""
        ...

    def folder_id_exists(self, mailbox_id: str) -> bool: ...  # RFC 9042

    def has_special_use(self, use: str, folder: str | None) -> bool:
        """Whether that folder, or any, has this special use (RFC 8579)."""
        ...

    def was_seen(self, key: str) -> bool:
        """Whether ``Remember`` of this key is still remembered."""
        ...

    def was_answered(self, key: str) -> bool:
        """Whether a ``Reply`` of this key was sent within its time."""
        ...

    def script(self, name: str, location: Location) -> Script | None:
        """A script to include."""
        ...

    def environment(self, item: str) -> str | None:
        """RFC 5183 4.1: ``domain``, ``host``, ``location``, ``name``, ``phase``, ``remote-host``, ``remote-ip``…"""
        ...

    def spam_percent(self) -> float | None:
        """0 for surely no spam, 100 for surely spam; None where nobody has looked."""
        ...

    def virus_level(self) -> int:
        """RFC 5235 2.4: 0 not looked at, 1 none, 2 removed, 3 cured, 4 suspected, 5 found."""
        ...


@dataclass(slots=True)
class Alone:
    """A world of its own, for scripts that are tried: it has the folders, scripts and facts that it is given."""

    sender: str = ""
    recipient: str = ""
    addresses: Sequence[str] = ()
    time: datetime = datetime(2024, 1, 1, 12, 0, tzinfo=UTC)
    folders: frozenset[str] = frozenset({"INBOX"})
    uses: dict[str, str] = field(default_factory=dict)  # special use → folder
    scripts: dict[tuple[str, str], Script] = field(default_factory=dict)  # (location, name)
    items: dict[str, str] = field(default_factory=dict)
    remembered: frozenset[str] = frozenset()
    spam: float | None = None
    virus: int = 0
    writes: bool = True

    def may_write_as(self, address: str) -> bool:  # noqa: ARG002
        return self.writes

    def now(self) -> datetime:
        return self.time

    def folder_exists(self, name: str) -> bool:
        return name in self.folders

    def folder_id_exists(self, mailbox_id: str) -> bool:
        return mailbox_id in self.folders

    def has_special_use(self, use: str, folder: str | None) -> bool:
        found = self.uses.get(use.lower())
        return found is not None and folder in (None, found)

    def was_seen(self, key: str) -> bool:
        return key in self.remembered

    def was_answered(self, key: str) -> bool:
        return key in self.remembered

    def script(self, name: str, location: Location) -> Script | None:
        return self.scripts.get((location, name))

    def environment(self, item: str) -> str | None:
        return self.items.get(item)

    def spam_percent(self) -> float | None:
        return self.spam

    def virus_level(self) -> int:
        return self.virus
