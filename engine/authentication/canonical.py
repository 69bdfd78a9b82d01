"""Canonical forms of header fields and bodies, the forms that are hashed (RFC 6376 3.4)."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import trio

from engine.authentication.fields import Field

_SPACES = re.compile(rb"  +")
_AT_ONCE = 2**20  # octets of a body that are hashed before other tasks have their turn: about a millisecond


def relaxed_field(octets: bytes) -> bytes:
    """A field with its CRLF in the form "relaxed" (RFC 6376 3.4.2)."""
    name, _, value = octets.partition(b":")
    value = value.replace(b"\r\n", b"").replace(b"\t", b" ").strip(b" ")
    if b"  " in value:
        value = _SPACES.sub(b" ", value)
    return name.rstrip(b" \t").lower() + b":" + value + b"\r\n"


def canonical_field(field: Field, *, relaxed: bool) -> bytes:
    """A field with its CRLF, as it is hashed."""
    return relaxed_field(field.octets) if relaxed else field.octets


class BodyForm(NamedTuple):
    """What of a body is hashed: its canonical form, and how many octets of that (None: all; RFC 6376 3.5 l=)."""

    relaxed: bool
    length: int | None = None


class BodyDigest(NamedTuple):
    """The SHA-256 of a body in one form, and the octets of the whole canonical body."""

    sha256: bytes
    size: int


class _Part:
    """The hash of the first ``length`` octets."""

    def __init__(self, length: int | None) -> None:
        self._left = length
        self.hash = hashlib.sha256()

    def update(self, octets: bytes) -> None:
        if self._left is None:
            self.hash.update(octets)
        elif self._left:
            self.hash.update(octets[: self._left])
            self._left = max(0, self._left - len(octets))


class _Body:
    """Brings the chunks of a body into one canonical form, and hashes parts of it.

    What may turn out to be the end of a line or of the body waits: lines that are empty so far as a number,
    at most two octets otherwise.
    """

    def __init__(self, *, relaxed: bool, lengths: Iterable[int | None]) -> None:
        self._relaxed = relaxed
        self._parts = {length: _Part(length) for length in lengths}
        self._empty_lines = 0
        self._unfinished = b""
        self._size = 0

    def update(self, chunk: bytes) -> None:
        octets = self._unfinished + chunk
        if self._relaxed:
            octets = _relaxed_lines(octets)
        complete = _complete(octets, relaxed=self._relaxed)
        self._unfinished = octets[complete:]
        empty_lines = _final_line_ends(octets[:complete])
        text = octets[: complete - 2 * empty_lines]
        if text:
            self._emit_lines()
            self._emit(text)
        self._empty_lines += empty_lines

    def finish(self) -> dict[BodyForm, BodyDigest]:
        """The digests by form; nothing can follow."""
        rest = self._unfinished.removesuffix(b" ") if self._relaxed else self._unfinished
        if rest:
            self._emit_lines()
            self._emit(rest)
        if self._size or not self._relaxed:  # RFC 6376 3.4.3, 3.4.4: an empty body is CRLF when simple, else nothing
            self._emit(b"\r\n")
        return {
            BodyForm(self._relaxed, length): BodyDigest(part.hash.digest(), self._size)
            for length, part in self._parts.items()
        }

    def _emit_lines(self) -> None:
        while self._empty_lines:
            count = min(self._empty_lines, _AT_ONCE)
            self._emit(b"\r\n" * count)
            self._empty_lines -= count

    def _emit(self, octets: bytes) -> None:
        self._size += len(octets)
        for part in self._parts.values():
            part.update(octets)


def _relaxed_lines(octets: bytes) -> bytes:
    """``octets`` with each run of white space as one space, and none before CRLF."""
    octets = octets.replace(b"\t", b" ")
    while b"  " in octets:  # each round halves the runs: faster than an expression that stops at every space
        octets = octets.replace(b"  ", b" ")
    return octets.replace(b" \r\n", b"\r\n")


def _complete(octets: bytes, *, relaxed: bool) -> int:
    """How many of ``octets`` mean the same whatever follows."""
    end = len(octets) - octets.endswith(b"\r")
    return end - (relaxed and octets.endswith(b" ", 0, end))


def _final_line_ends(octets: bytes) -> int:
    """How often CRLF ends ``octets``."""
    if not octets.endswith(b"\n"):
        return 0
    run = octets[len(octets.rstrip(b"\r\n")) :]
    run = run[max(run.rfind(b"\r\r"), run.rfind(b"\n\n")) + 1 :]  # from here on, CR and LF take turns
    return run.count(b"\n", run.find(b"\r")) if b"\r" in run else 0


async def digest_body(body: Iterable[bytes], forms: Iterable[BodyForm]) -> Mapping[BodyForm, BodyDigest]:
    """The digests of a body in all ``forms``, by one pass over its chunks; none are taken where ``forms`` is empty."""
    hashing = _hashing(forms)
    if not hashing:
        return {}
    since = 0
    for chunk in body:
        for form in hashing:
            form.update(chunk)
        since += len(chunk)
        if since >= _AT_ONCE:
            since = 0
            await trio.lowlevel.checkpoint()
    return _digests(hashing)


def digest_body_now(body: Iterable[bytes], forms: Iterable[BodyForm]) -> Mapping[BodyForm, BodyDigest]:
    """``digest_body`` without a turn for other tasks."""
    hashing = _hashing(forms)
    for chunk in body:
        for form in hashing:
            form.update(chunk)
    return _digests(hashing)


def _hashing(forms: Iterable[BodyForm]) -> list[_Body]:
    lengths: dict[bool, set[int | None]] = {}
    for form in forms:
        lengths.setdefault(form.relaxed, set()).add(form.length)
    return [_Body(relaxed=relaxed, lengths=wanted) for relaxed, wanted in lengths.items()]


def _digests(hashing: Iterable[_Body]) -> dict[BodyForm, BodyDigest]:
    return {form: digest for body in hashing for form, digest in body.finish().items()}
