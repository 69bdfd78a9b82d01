"""MTA-STS (RFC 8461): the record that says that a domain has a policy, and the policy; read strictly."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

Mode: TypeAlias = Literal["enforce", "testing", "none"]

LONGEST_AGE = 31_557_600
"""Seconds that a policy may be kept at most: about a year (RFC 8461 3.2)."""

POLICY_LIMIT = 64 * 1024
"""Octets of a policy (RFC 8461 3.3 suggests as many)."""

MX_LIMIT = 200
"""Patterns of a policy that are read; who has more hosts writes a wildcard."""

_VERSION = b"v=STSv1;"
_RECORD = re.compile(r"v=STSv1(?:[ \t]*;[ \t]*[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[!-:<>-~]+)+[ \t]*;?[ \t]*")
_ID = re.compile(r";[ \t]*id=([A-Za-z0-9]{1,32})(?=[ \t]*(?:;|\Z))")
_TERM = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*(\S(?:.*\S)?)[ \t]*")
_AGE = re.compile(r"[0-9]{1,10}")
_PATTERN = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class StsPolicy(NamedTuple):
    """What a domain demands of connections to its servers. ``max_age`` is in seconds."""

    mode: Mode
    max_age: int
    mx: tuple[str, ...] = ()  # patterns in lower case

    @property
    def lines(self) -> tuple[str, ...]:
        """As reports quote it (RFC 8460 4.4, policy-string)."""
        mx = (f"mx: {pattern}" for pattern in self.mx)
        return ("version: STSv1", f"mode: {self.mode}", *mx, f"max_age: {self.max_age}")

    def covers(self, host: str) -> bool:
        """Whether the name of an MX host is one of the patterns'; a wildcard stands for one label (RFC 8461 4.1)."""
        host = host.lower().rstrip(".")
        rest = host.partition(".")[2]
        return any(rest == pattern[2:] if pattern.startswith("*.") else host == pattern for pattern in self.mx)


def policy_id(texts: Iterable[bytes]) -> str:
    """The id in the TXT records of ``_mta-sts.DOMAIN``; empty where they do not say that there is a policy.

    Of several that begin as such records do, none counts (RFC 8461 3.1).
    """
    found = [text for text in texts if text.startswith(_VERSION) or text.partition(b";")[0].rstrip() == b"v=STSv1"]
    if len(found) != 1:
        return ""
    text = found[0].decode("latin-1")
    match = _ID.search(text) if _RECORD.fullmatch(text) else None
    return match[1] if match else ""


def parse_policy(octets: bytes) -> StsPolicy:
    """The policy that was fetched. ValueError, with a text for the operator, for what is none (RFC 8461 3.2)."""
    if len(octets) > POLICY_LIMIT:
        raise ValueError(f"more than {POLICY_LIMIT} octets")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8") from None
    first: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip(" \t"):
            continue
        match = _TERM.fullmatch(line)
        if match is None:
            raise ValueError(f"a line that is no field: {line[:40]!r}")
        if match[1] == "mx":
            patterns.append(match[2].lower())
        else:
            first.setdefault(match[1], match[2])  # of a field that stands twice, the first counts (RFC 8461 3.2)
    return _policy(first, patterns)


def _policy(fields: dict[str, str], patterns: list[str]) -> StsPolicy:
    if fields.get("version") != "STSv1":
        raise ValueError("it does not say version: STSv1")
    mode = fields.get("mode", "")
    if mode not in ("enforce", "testing", "none"):
        raise ValueError(f"its mode is {mode[:40]!r}")
    age = fields.get("max_age", "")
    if not _AGE.fullmatch(age):
        raise ValueError(f"its max_age is {age[:40]!r}")
    if not patterns and mode != "none":
        raise ValueError("it names no mx")
    if len(patterns) > MX_LIMIT:
        raise ValueError(f"it names more than {MX_LIMIT} mx")
    wrong = next((pattern for pattern in patterns if not _PATTERN.fullmatch(pattern)), None)
    if wrong is not None:
        raise ValueError(f"no name of a host: {wrong[:80]!r}")
    return StsPolicy(mode, min(int(age), LONGEST_AGE), tuple(dict.fromkeys(patterns)))  # type: ignore[arg-type]


def sts_policy(hosts: Sequence[str], mode: str = "testing", max_age: int = 86_400) -> str:
    """The file ``https://mta-sts.DOMAIN/.well-known/mta-sts.txt`` (RFC 8461 3.2)."""
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts), f"max_age: {max_age}"]
    return "".join(f"{line}\n" for line in lines)
