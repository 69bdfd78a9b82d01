"""One-time passwords by the clock (TOTP, RFC 6238): six digits, a new one every 30 seconds."""

import base64
import hmac
import secrets
from urllib.parse import quote

STEP = 30
"""Seconds for which a code is valid (RFC 6238 5.2)."""

_SLACK = 1
"""Steps that a clock may be wrong, either way (RFC 6238 5.2)."""


def new_secret() -> bytes:
    """As long as the hash that it is for (RFC 4226 4)."""
    return secrets.token_bytes(20)


def uri(address: str, secret: bytes) -> str:
    """What an authenticator takes, mostly as a QR code."""
    key = base64.b32encode(secret).decode().rstrip("=")
    return f"otpauth://totp/Postroad:{quote(address)}?secret={key}&issuer=Postroad"


def code(secret: bytes, step: int, digits: int = 6, digest: str = "sha1") -> str:
    """The code of one step of the clock (RFC 4226 5.3). SHA-1, since many authenticators know nothing else."""
    mac = hmac.digest(secret, step.to_bytes(8, "big"), digest)
    start = mac[-1] & 15
    number = int.from_bytes(mac[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"


def matching_step(secret: bytes, given: str, moment: float, after: int) -> int | None:
    """The step that ``given`` is the code of, now at the Unix time ``moment``.

    None for no such step, or none later than the step ``after``, the last that was used: a code counts once.
    """
    now = int(moment) // STEP
    octets = given.strip().encode()
    fitting = [
        step
        for step in range(now - _SLACK, now + _SLACK + 1)
        if hmac.compare_digest(code(secret, step).encode(), octets) and step > after
    ]
    return fitting[0] if fitting else None
