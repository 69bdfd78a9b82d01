"""RESP, the language of Valkey and Redis (version 2 of it): requests out, replies in. No socket here."""

from typing import TypeAlias

Reply: TypeAlias = "bytes | int | ErrorReply | list[Reply] | None"

LINE_LIMIT = 64 * 1024
"""Octets of a line; values are not lines."""

VALUE_LIMIT = 64 * 1024 * 1024
"""Octets of a value."""

DEPTH_LIMIT = 8
"""Lists in lists."""


class ErrorReply(str):
    """What the server would not do; its first word is a code."""

    __slots__ = ()


class Garbled(Exception):
    """The other side speaks another language."""


def request(*words: bytes | str | int) -> bytes:
    """A command with its arguments."""
    octets = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"".join([b"*%d\r\n" % len(octets), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in octets)])


class Reader:
    """Takes octets in as they come."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._lists: list[tuple[list[Reply], int]] = []  # that are not whole yet, and how long they will be
        self._found: list[Reply] = []

    def feed(self, octets: bytes) -> list[Reply]:
        """The replies that are whole by now. Garbled."""
        self._octets += octets
        while self._step():
            pass
        found, self._found = self._found, []
        return found

    def _step(self) -> bool:
        """Take one line, with its value; False: it is not whole yet."""
        end = self._octets.find(b"\r\n")
        if end < 0:
            if len(self._octets) > LINE_LIMIT:
                raise Garbled("a line has no end")
            return False
        kind, rest, after = self._octets[:1], bytes(self._octets[1:end]), end + 2
        if kind == b"$" and rest[:1] != b"-":
            length = _number(rest)
            if length > VALUE_LIMIT:
                raise Garbled(f"a value of {length} octets")
            if len(self._octets) < after + length + 2:
                return False
            value = bytes(self._octets[after : after + length])
            if self._octets[after + length : after + length + 2] != b"\r\n":
                raise Garbled("a value is longer than it says")
            del self._octets[: after + length + 2]
            self._put(value)
        else:
            del self._octets[:after]
            self._line(bytes(kind), rest)
        return True

    def _line(self, kind: bytes, rest: bytes) -> None:
        if kind == b"*" and (count := _number(rest)) > 0:
            if len(self._lists) == DEPTH_LIMIT:
                raise Garbled("lists in too many lists")
            self._lists.append(([], count))
        elif kind == b"*":
            self._put([] if rest == b"0" else None)
        elif kind == b"+":
            self._put(rest)
        elif kind == b"-":
            self._put(ErrorReply(rest.decode("utf-8", "replace")))
        elif kind == b":":
            self._put(_number(rest))
        elif kind == b"$":
            self._put(None)
        else:
            raise Garbled(f"no reply begins with {kind + rest[:20]!r}")

    def _put(self, value: Reply) -> None:
        """Into the list that is not whole yet, which may be so then, or among what was found."""
        while self._lists:
            inner, count = self._lists[-1]
            inner.append(value)
            if len(inner) < count:
                return
            self._lists.pop()
            value = inner
        self._found.append(value)


def _number(digits: bytes) -> int:
    try:
        return int(digits)
    except ValueError:
        raise Garbled(f"{digits[:20]!r} is no number") from None
