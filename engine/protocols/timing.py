"""What may be asked of a server as to time and order: MT-PRIORITY, FUTURERELEASE, DELIVERBY (RFC 6710, 4865, 2852).

A server reads the parameters of MAIL by these, and says in its reply to EHLO that it does; a client writes them.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import Struct

from engine.protocols.smtp_replies import reply

LONGEST_BY = 999_999_999
"""Seconds: nine digits (RFC 2852 3)."""


class Timing(Struct, frozen=True, gc=False):
    """What the sender asked for. All times are Unix times in seconds."""

    priority: int = 0  # from -9 to 9; what has more goes out first
    release: float = 0.0  # up to when it is held
    by: float = 0.0  # by when it is to be delivered; 0: whenever it can be
    by_mode: str = ""  # what to do when that has passed: "R" return it, "N" tell; "T" behind it: trace its way

    @property
    def returns(self) -> bool:
        """Whether it is to be returned, rather than delivered late."""
        return self.by_mode.startswith("R")

    @property
    def traced(self) -> bool:
        """Whether its sender is to be told by each server that passes it on."""
        return self.by_mode.endswith("T")


UNTIMED = Timing()


class Offers(NamedTuple):
    """What a server offers. ``hold``: seconds that a message is held at most; 0: none is."""

    priority: bool = False
    hold: int = 0
    deliver_by: bool = False


NOTHING = Offers()

PATTERNS: Mapping[str, re.Pattern[str]] = {
    "MT-PRIORITY": re.compile(r"-[1-9]|[0-9]"),  # RFC 6710 6
    "HOLDFOR": re.compile(r"[1-9][0-9]{0,8}"),  # RFC 4865 4
    "HOLDUNTIL": re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})",
        re.IGNORECASE,
    ),  # with the erratum that names RFC 3339 5.6
    "BY": re.compile(r"[+-]?[0-9]{1,9};[NR]T?", re.IGNORECASE),  # RFC 2852 4
}

_BOTH = reply(501, "5.5.4", "HOLDFOR and HOLDUNTIL exclude each other")
_NO_TIME = reply(501, "5.5.4", "The value of HOLDUNTIL is malformed")
_TOO_LONG = reply(501, "5.5.4", "The message cannot be held for so long")
_NO_MORE_TIME = reply(501, "5.5.4", "A message that is returned when it is late needs time to be delivered in")


def keywords(offers: Offers) -> list[str]:
    """The parameters that MAIL may have."""
    found = ["MT-PRIORITY"] if offers.priority else []
    found += ["HOLDFOR", "HOLDUNTIL"] if offers.hold else []
    return found + (["BY"] if offers.deliver_by else [])


def lines(offers: Offers, now: float) -> list[str]:
    """Those of the reply to EHLO."""
    found = ["MT-PRIORITY"] if offers.priority else []
    if offers.hold:
        found.append(f"FUTURERELEASE {offers.hold} {moment(int(now) + offers.hold)}")
    return found + (["DELIVERBY"] if offers.deliver_by else [])


def moment(when: float) -> str:
    """A Unix time as RFC 4865 writes it, by RFC 3339: "2026-12-24T08:00:00Z"."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(given: Mapping[str, str], offers: Offers, now: float) -> Timing | bytes:
    """What the parameters of MAIL ask for, or the reply that refuses it."""
    release = _release(given, now)
    if isinstance(release, bytes):
        return release
    if release > now + offers.hold:
        return _TOO_LONG
    by, mode = 0.0, ""
    if "BY" in given:
        seconds, _, mode = given["BY"].upper().partition(";")
        by = now + int(seconds)
        if mode.startswith("R") and by <= max(now, release):
            return _NO_MORE_TIME
    return Timing(int(given.get("MT-PRIORITY", 0)), release if release > now else 0.0, by, mode)


def _release(given: Mapping[str, str], now: float) -> float | bytes:
    if "HOLDFOR" in given:
        return _BOTH if "HOLDUNTIL" in given else now + int(given["HOLDFOR"])
    if "HOLDUNTIL" not in given:
        return 0.0
    try:
        return datetime.fromisoformat(given["HOLDUNTIL"].upper()).timestamp()
    except (ValueError, OverflowError):
        return _NO_TIME


def written(timing: Timing, offers: Mapping[str, str], now: float) -> list[bytes]:
    """The parameters of MAIL for a server that offers this. What is left of its time is all that it still has."""
    found = []
    if timing.priority and "MT-PRIORITY" in offers:
        found.append(b"MT-PRIORITY=%d" % timing.priority)
    if timing.by and "DELIVERBY" in offers:
        left = min(max(int(timing.by - now), -LONGEST_BY), LONGEST_BY)
        found.append(b"BY=%d;%b" % (left, timing.by_mode.encode("ascii")))
    if timing.release > now and "FUTURERELEASE" in offers:
        found.append(b"HOLDFOR=%d" % math.ceil(timing.release - now))  # rather late than early
    return found


def lacks_time(timing: Timing, offers: Mapping[str, str], now: float) -> str:
    """Why a message that must not be late cannot go to a server that offers this (RFC 2852 4.1); empty: it can."""
    if not timing.returns:
        return ""
    if "DELIVERBY" not in offers:
        return "The next server does not know by when it has to be delivered"
    least = offers["DELIVERBY"].partition(",")[0].strip()
    left = int(timing.by - now)
    if left <= 0 or (least.isdecimal() and left < int(least[:9])):
        return "There is not enough time left to deliver it"
    return ""
