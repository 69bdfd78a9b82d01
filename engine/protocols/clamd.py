"""The client's side of clamd's protocol (clamd(8)): messages are scanned one after the other in a session."""

import re
from dataclasses import dataclass

END = b"\0\0\0\0"
"""What stands behind the octets of a message: a chunk without any."""

SIZE_LIMIT = 2**32 - 1
"""Octets of a message that the protocol can say."""

ANSWER_LIMIT = 64 * 1024
"""Octets of an answer."""

_ANSWER = re.compile(r"(?:(\d+): )?(?:stream: )?(?:(OK)|(.+) FOUND|(.*) ?ERROR)", re.DOTALL)


class ClamdError(Exception):
    """What came is no answer; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``virus`` has a name where one was found. With an ``error`` nothing is known of the message."""

    virus: str = ""
    error: str = ""

    @property
    def too_large(self) -> bool:
        """Whether the message has more octets than StreamMaxLength in clamd.conf."""
        return "size limit exceeded" in self.error


class ClamdClient:
    """One session, which spares both sides a connection for each message.

    ``begin`` gives what is sent before the octets of a message, which are one chunk; END is sent behind it.
    """

    def __init__(self) -> None:
        self._number = 0
        self._held = b""
        self.reusable = True  # until clamd closes the session, as it does after an error

    def begin(self, size: int) -> bytes:
        opening = b"" if self._number else b"zIDSESSION\0"
        self._number += 1
        return opening + b"zINSTREAM\0" + (size.to_bytes(4, "big") if size else b"")

    def receive(self, octets: bytes) -> Answer | None:
        """The answer, as soon as it is there as a whole. ClamdError."""
        self._held += octets
        line, found, self._held = self._held.partition(b"\0")
        if not found:
            self._held = line
            if len(line) > ANSWER_LIMIT:
                raise ClamdError("an answer without an end")
            return None
        match = _ANSWER.fullmatch(line.decode("utf-8", "replace").strip())
        if not match or (match[1] and int(match[1]) != self._number):
            raise ClamdError(f"nonsense for an answer: {line[:100]!r}")
        if match[2] or match[3]:
            return Answer(virus=match[3] or "")
        self.reusable = False
        return Answer(error=match[4].strip(" .") or "it failed")
