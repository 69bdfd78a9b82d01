"""The client's side of ACME (RFC 8555): account, order, challenges, certificate. It blocks: use a thread."""

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.acme.jose import Key, jwk, signed, thumbprint

Answer = dict[str, Any]

TIMEOUT = 30.0
"""Seconds for one request."""

PATIENCE = 300.0
"""Seconds for the authority to look at a challenge, or to issue."""

_TRIES = 10
"""Nonces that may be refused in a row (RFC 8555 6.5)."""

_SIZE = 2**20
"""Octets of an answer; a chain has some thousand."""


class AcmeError(Exception):
    """There is no certificate; the text says why, mostly in the authority's own words."""


class Client:
    """An account at an authority, made if there is none. AcmeError from all methods."""

    def __init__(self, directory: str, key: Key, *, email: str = "", trust: Path | None = None) -> None:
        """``trust``: PEM file of who vouches for the authority's own server; None: those that the system trusts."""
        try:
            self._trust = ssl.create_default_context(cafile=trust)
        except OSError as error:
            raise AcmeError(f"{trust} holds no certificate that could be trusted: {error.strerror or error}") from error
        self._key = key
        self._nonce = ""
        self._account: dict[str, Any] = {"jwk": jwk(key)}
        self._urls = self._get(directory)
        contact = {"contact": [f"mailto:{email}"]} if email else {}
        _, headers = self._post(self._url("newAccount"), {"termsOfServiceAgreed": True, **contact})
        self._account = {"kid": headers["Location"]}

    def authorization(self, token: str) -> str:
        """What proves that whoever answers a challenge is us (RFC 8555 8.1)."""
        return f"{token}.{thumbprint(self._key)}"

    def order(self, names: Sequence[str]) -> tuple[str, Answer]:
        """The address of a new order, and the order."""
        identifiers = [{"type": "dns", "value": name} for name in names]
        order, headers = self._post(self._url("newOrder"), {"identifiers": identifiers})
        return headers["Location"], order

    def look(self, url: str) -> Answer:
        """An order, an authorization or a challenge as it is now."""
        return self._post(url, None)[0]

    def begin(self, challenge: str) -> None:
        """The challenge at this address can be answered now."""
        self._post(challenge, {})

    def finalize(self, url: str, request: str) -> None:
        """Ask for the certificate of an order that is ready; ``request`` is a PKCS #10 in base64url."""
        self._post(url, {"csr": request})

    def certificate(self, url: str) -> bytes:
        """The chain in PEM."""
        return self._request(url, None)[0]

    def renewal_window(self, identity: str) -> tuple[str, str] | None:
        """When the authority wants the certificate renewed (RFC 9773), in ISO 8601; None: it does not say."""
        if "renewalInfo" not in self._urls:
            return None
        window = self._get(f"{self._urls['renewalInfo']}/{identity}").get("suggestedWindow", {})
        return (window["start"], window["end"]) if window.keys() >= {"start", "end"} else None

    def wait(self, url: str, pending: Sequence[str], sleep: Callable[[float], None] = time.sleep) -> Answer:
        """What is at ``url`` once its status is none of ``pending``."""
        end = time.monotonic() + PATIENCE
        pause = 0.5
        while True:
            found, headers = self._post(url, None)
            if found.get("status") not in pending:
                return found
            if time.monotonic() > end:
                raise AcmeError(f"the authority has not come to an end within {PATIENCE:g} s")
            after = headers.get("Retry-After", "")
            sleep(min(float(after), 30.0) if after.isdigit() else pause)
            pause = min(2 * pause, 10.0)

    # Requests

    def _url(self, name: str) -> str:
        try:
            return str(self._urls[name])
        except KeyError:
            raise AcmeError(f"there is no ACME directory at that address: it has no {name}") from None

    def _get(self, url: str) -> Answer:
        return _decoded(self._send(urllib.request.Request(url))[0])

    def _post(self, url: str, payload: Answer | None) -> tuple[Answer, Mapping[str, str]]:
        octets, headers = self._request(url, payload)
        return (_decoded(octets) if octets else {}), headers

    def _request(self, url: str, payload: Answer | None) -> tuple[bytes, Mapping[str, str]]:
        for _ in range(_TRIES):
            nonce = self._nonce or self._new_nonce()
            self._nonce = ""
            body = signed(self._key, {"nonce": nonce, "url": url, **self._account}, payload)
            request = urllib.request.Request(url, body, {"Content-Type": "application/jose+json"})
            try:
                return self._send(request)
            except _Refused as error:
                if error.kind != "badNonce":
                    raise
        raise AcmeError("the authority refuses every nonce that it gives")

    def _new_nonce(self) -> str:
        return self._send(urllib.request.Request(self._url("newNonce"), method="HEAD"))[1]["Replay-Nonce"]

    def _send(self, request: urllib.request.Request) -> tuple[bytes, Mapping[str, str]]:
        request.add_header("User-Agent", "postroad")
        if not request.full_url.startswith("https:"):
            raise AcmeError(f"{request.full_url} is not under https (RFC 8555 6.1)")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=self._trust) as answer:
                self._nonce = answer.headers.get("Replay-Nonce") or self._nonce
                return answer.read(_SIZE), answer.headers
        except urllib.error.HTTPError as error:
            self._nonce = error.headers.get("Replay-Nonce") or self._nonce
            raise _refusal(error) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise AcmeError(f"cannot ask {request.host}: {getattr(reason, 'strerror', None) or reason}") from error


class _Refused(AcmeError):
    """A problem document (RFC 7807)."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def problem(document: Answer) -> str:
    """A problem document (RFC 8555 6.7) in one line."""
    parts = [document, *document.get("subproblems", ())]
    return "; ".join(f"{_kind(part)}: {part.get('detail', '')}" for part in parts if part)


def _kind(document: Answer) -> str:
    return str(document.get("type", "")).rpartition(":")[2]


def _refusal(error: urllib.error.HTTPError) -> _Refused:
    try:
        document = json.loads(error.read(_SIZE))
        return _Refused(_kind(document), problem(document))
    except (ValueError, AttributeError, OSError):
        return _Refused("", f"{error.url} answered {error.code} {error.reason}")


def _decoded(octets: bytes) -> Answer:
    try:
        found = json.loads(octets)
    except ValueError as error:
        raise AcmeError("the authority's answer is no JSON") from error
    if not isinstance(found, dict):
        raise AcmeError("the authority's answer is no JSON object")
    return found
