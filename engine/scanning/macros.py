"""What oletools think of a document, in a process of its own: they know more than marks, and take their time.

Run as a program, it reads a document and says whether it has macros.
"""

import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec

LARGEST = 20 * 1024 * 1024
"""Octets of a document that are handed over; it is in memory there."""

_YES, _NO = 10, 11


def is_installed() -> bool:
    return find_spec("oletools") is not None


def has_macros(document: Iterable[bytes], seconds: float) -> bool | None:
    """Whether the document has macros; None where that is not known, in this time or at all."""
    octets = b""
    for piece in document:
        octets += piece
        if len(octets) > LARGEST:
            return None
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__], input=octets, capture_output=True, timeout=max(seconds, 0), check=False
        )
    except (subprocess.TimeoutExpired, OSError):
        return None
    return {_YES: True, _NO: False}.get(done.returncode)


def main() -> None:
    from oletools.olevba import VBA_Parser  # it is not always installed

    document = VBA_Parser("document", data=sys.stdin.buffer.read())
    sys.exit(_YES if document.detect_vba_macros() or document.detect_xlm_macros() else _NO)


if __name__ == "__main__":
    main()
