"""What came of a check of signatures, in the words of RFC 8601 2.7.1."""

from enum import StrEnum
from typing import NamedTuple


class Result(StrEnum):
    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    POLICY = "policy"  # sound perhaps, but we do not take it: a short key (RFC 8301 3.2)
    NEUTRAL = "neutral"  # a signature that cannot be read
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Failure(NamedTuple):
    """Why something does not pass. ``text`` is for people."""

    result: Result
    text: str
