"""What came of a check, in the words of RFC 8601 2.7.

What RFC 6376 6.1 calls PERMFAIL of a signature is ``fail`` where the message is not what was signed, and ``permerror``
where nobody can tell: the signature or the key is missing something, makes no sense, or is out of use.
"""

from enum import StrEnum
from typing import NamedTuple


class Result(StrEnum):
    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    POLICY = "policy"  # sound perhaps, but we do not take it: a short key (RFC 8301 3.2)
    NEUTRAL = (
        "neutral"  # SPF: the domain does not say; DKIM: what would fail, of one that tests it (RFC 6376 3.6.1 t=y)
    )
    SOFTFAIL = "softfail"  # SPF alone: the domain believes that it is a fail (RFC 7208 2.6.5)
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Failure(NamedTuple):
    """Why something does not pass. ``text`` is for people."""

    result: Result
    text: str
