"""Signed requests as ACME wants them (RFC 7515, RFC 8555 6.2), with a P-256 key: nothing else is needed."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

Key = ec.EllipticCurvePrivateKey

_SIZE = 32
"""Octets of a number of P-256."""


def base64url(data: bytes) -> str:
    """Without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(key: Key) -> dict[str, str]:
    """The public key (RFC 7518 6.2), in the order that a thumbprint wants."""
    numbers = key.public_key().public_numbers()
    x, y = (base64url(number.to_bytes(_SIZE, "big")) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def thumbprint(key: Key) -> str:
    """RFC 7638."""
    return base64url(hashlib.sha256(_compact(jwk(key))).digest())


def signed(key: Key, header: dict[str, Any], payload: dict[str, Any] | None) -> bytes:
    """The JWS of a request; no payload is POST-as-GET (RFC 8555 6.3)."""
    protected = base64url(_compact({"alg": "ES256", **header}))
    body = "" if payload is None else base64url(_compact(payload))
    r, s = decode_dss_signature(key.sign(f"{protected}.{body}".encode(), ec.ECDSA(hashes.SHA256())))
    signature = base64url(r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big"))
    return _compact({"protected": protected, "payload": body, "signature": signature})


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
