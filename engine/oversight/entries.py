"""Entries of the audit log, and the chain that they make: each holds the hash of the one before it."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

FIRST = "0" * 64
"""What stands for the hash before the first entry."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that was done about people's mail, or is about to be. As octets it is one line of JSON."""

    number: int  # from 1, without a gap
    time: datetime  # in UTC
    what: str  # "grant-asked", "searched"
    by: str  # the address of an account, the name of a user of the machine, or "postroad"
    peer: str  # from where, if that was over the network
    about: tuple[str, ...]  # addresses of the accounts that it concerns
    details: Mapping[str, Any]
    before: str  # the SHA-256 of the entry before, as it stands, in hexadecimal digits


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


def written(entry: Entry) -> bytes:
    """As it is kept, exported and hashed: without a line end."""
    return _encode(entry)


def read(octets: bytes) -> Entry:
    """What ``written`` made. ValueError."""
    return _decode(octets)


def digest(octets: bytes) -> str:
    """The hash of an entry as it is written, which the next one holds."""
    return hashlib.sha256(octets).hexdigest()


def now(seconds: float) -> datetime:
    """A Unix time as entries have it: to the millisecond."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)


class Chain:
    """Follows entries one by one, and says which of them are not as they were written."""

    def __init__(self) -> None:
        self.number = 0  # of the last one
        self.hash = FIRST  # of the last one

    def follow(self, octets: bytes) -> str:
        """What is wrong with the entry that stands next, or between it and the last one; empty: nothing."""
        expected, before = self.number + 1, self.hash
        self.number, self.hash = expected, digest(octets)
        try:
            entry = read(octets)
        except ValueError as error:
            return f"entry {expected} cannot be read: {error}"
        self.number = entry.number
        if entry.number != expected:
            return f"entry {expected} is missing: {entry.number} stands in its place"
        if entry.before != before:
            return f"entry {entry.number} does not follow from the one before it: one of the two was changed"
        return ""
