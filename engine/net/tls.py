"""TLS contexts: what we offer as a server, what we ask for as a client."""

import os
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, TypeVar

from engine.net import channel_binding
from engine.net.certificates import (
    Certificate,
    CertificateError,
    Pair,
    pairs_in,
    read_authorities,
    read_certificate,
    stamp,
)

T = TypeVar("T")

_Contexts: TypeAlias = dict[tuple[Pair, ...], ssl.SSLContext]
"""By the pairs whose certificates they have."""

# Mozilla's "intermediate" list, version 6.0. TLS 1.3 suites are the library's own, and so are the groups for the key
# exchange, which Python gives no say in: X25519 first, then those of NIST, with OpenSSL 3.5 X25519MLKEM768 before all.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)

_TICKETS = 86_400.0
"""Seconds for which one key encrypts session tickets. Who stole it could read what was resumed under TLS 1.2."""


def server_context(*certificates: Certificate, authorities: bytes = b"") -> ssl.SSLContext:
    """What a listener offers: TLS 1.2 and later, and at most one certificate of each algorithm. CertificateError.

    With ``authorities``, in DER, it asks for a certificate of one of them; who has none goes on without.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    # All in the list are good, so the client may choose what its processor does best (Mozilla).
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    for certificate in certificates:
        _load(context, certificate)
        channel_binding.certified(context, certificate.pem)
    if authorities:
        _ask(context, authorities)
    return context


def _ask(context: ssl.SSLContext, authorities: bytes) -> None:
    try:
        context.load_verify_locations(cadata=authorities)
    except ssl.SSLError as error:
        raise CertificateError(f"the authorities of clients cannot be used: {error.reason}") from error
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # one below the root is trusted without it


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    """From memory, by a detour that the library wants: the files may be others by now."""
    try:
        with os.fdopen(os.memfd_create("certificate"), "wb") as file:
            file.write(certificate.pem)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    except OSError as error:
        pair, reason = certificate.pair, getattr(error, "reason", None) or error.strerror
        raise CertificateError(f"{pair.certificate} and {pair.key} cannot be used together: {reason}") from error


def client_context(*, verify: bool = False, trust: Path | None = None) -> ssl.SSLContext:
    """What the relay asks of the next server.

    Opportunistic TLS (RFC 7435) takes any certificate: an unverified encryption is still better than the clear
    text that would follow a refusal. ``verify`` demands a certificate for the host's name, of an authority that the
    system trusts, or of one in the PEM file ``trust``. CertificateError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if verify and trust is not None:
        _trust(context, read_authorities(trust), str(trust))
    elif verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def anchored_context(anchors: bytes) -> ssl.SSLContext:
    """What is asked of a server whose certificate must lead to one of these, in DER, which need be no roots.

    For which names the certificate is, the caller looks at. CertificateError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _trust(context, anchors, "a TLSA record")
    return context


def _trust(context: ssl.SSLContext, authorities: bytes, source: str) -> None:
    try:
        context.load_verify_locations(cadata=authorities)
    except ssl.SSLError as error:
        raise CertificateError(f"{source} holds no certificate that could be trusted: {error.reason}") from error


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was found when a pair was last read."""

    stamp: tuple[int, ...]  # empty: to be read again in any case
    certificate: Certificate | None  # the last good one
    context: ssl.SSLContext | None  # with this alone: each takes 2 ms to make
    error: str


@dataclass(frozen=True, slots=True)
class _Authorities:
    """What was found when those of clients were last read."""

    stamp: tuple[int, ...] = ()  # empty: to be read again in any case
    der: bytes = b""  # the last good ones
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Choice:
    """Contexts by name."""

    by_name: dict[str, ssl.SSLContext]
    default: ssl.SSLContext
    unnamed: tuple[Certificate, ...]  # of ``default``


class ServerTls:
    """What a listener offers: the certificate for the name that a client asks for (SNI, RFC 6066 3).

    For one name there may be certificates of several algorithms: the handshake takes the one that the client can use.
    Of two with one algorithm ``own`` counts, else the one that lasts longer. Whoever asks for no name, or for one that
    nobody has, gets ``own``; without it what ``hostname`` has, else the first one.

    ``client_ca`` is a PEM file of the authorities whose certificates people may log in with.
    """

    def __init__(
        self,
        own: Pair | None = None,
        folders: Sequence[Path] = (),
        hostname: str = "",
        client_ca: Path | None = None,
    ) -> None:
        self.own = own
        self.folders = tuple(folders)
        self.hostname = hostname
        self.client_ca = client_ca
        self.context: ssl.SSLContext | None = None  # None: there is nothing to offer
        self._asking: ssl.SSLContext | None = None
        self._authorities = _Authorities()
        self._kept: dict[Pair, _Kept] = {}
        self._choice: _Choice | None = None
        self._made = 0.0

    def offered(self, *, people: bool) -> ssl.SSLContext | None:
        """The context that meets a client; one of ``people`` is asked for a certificate. None: nothing to offer.

        Other servers must not be asked: they show certificates of their own authorities, and fail by that.
        """
        return self._asking if people else self.context

    def look(self) -> list[Certificate]:
        """Take up what has changed on disk, for the handshakes from now on; what that was. Blocks on the disk.

        Of what cannot be used, the last good one stays: see ``errors``. CertificateError: nothing could be taken up.
        """
        pairs = dict.fromkeys([*([self.own] if self.own else ()), *pairs_in(self.folders)])
        authorities = self._authorities_now()
        kept = {pair: self._looked_at(pair, authorities.der) for pair in pairs}
        if (kept, authorities) != (self._kept, self._authorities):
            before, now = self.certificates, [one.certificate for one in kept.values() if one.certificate]
            if now:  # else the last ones serve on
                contexts: _Contexts = {(pair,): one.context for pair, one in kept.items() if one.context}
                self._choice = self._choose(now, contexts, authorities.der)
                self._renew_front(authorities.der)
            self._kept, self._authorities = kept, authorities
            return [certificate for certificate in now if certificate not in before]
        if self.context is not None and time.monotonic() - self._made > _TICKETS:
            self._renew_front(self._authorities.der)
        return []

    @property
    def certificates(self) -> list[Certificate]:
        """Those in use."""
        return [kept.certificate for kept in self._kept.values() if kept.certificate]

    @property
    def errors(self) -> dict[Path, str]:
        """Certificates on disk that cannot be used, with the reason."""
        found = {pair.certificate: kept.error for pair, kept in self._kept.items()}
        if self.client_ca:
            found[self.client_ca] = self._authorities.error
        return {path: error for path, error in found.items() if error}

    @property
    def unnamed(self) -> tuple[Certificate, ...]:
        """Those that a client gets which names no host, or one that nobody here has."""
        return self._choice.unnamed if self._choice is not None else ()

    def _authorities_now(self) -> _Authorities:
        before = self._authorities
        if self.client_ca is None:
            return before
        now = stamp(self.client_ca)
        if now and before.stamp == now:
            return before
        try:
            der = read_authorities(self.client_ca)
            server_context(authorities=der)  # else they would be taken for a flaw of each pair
            return _Authorities(now, der)
        except CertificateError as error:
            return _Authorities((), before.der, str(error))

    def _looked_at(self, pair: Pair, authorities: bytes) -> _Kept:
        now, before = pair.stamp(), self._kept.get(pair)
        if before is not None and before.certificate and authorities != self._authorities.der:
            before = replace(before, context=server_context(before.certificate, authorities=authorities))
        if now and before is not None and before.stamp == now:
            return before
        try:
            certificate = read_certificate(pair)
            return _Kept(now, certificate, server_context(certificate, authorities=authorities), "")
        except CertificateError as error:
            last = (before.certificate, before.context) if before else (None, None)
            return _Kept((), *last, str(error))

    def _choose(self, certificates: Sequence[Certificate], contexts: _Contexts, authorities: bytes) -> _Choice:
        by_name: dict[str, dict[str, Certificate]] = {}
        for certificate in sorted(certificates, key=lambda one: (one.pair == self.own, one.expires)):
            for name in certificate.names:
                by_name.setdefault(name, {})[certificate.algorithm] = certificate
        first = certificates[0]  # which is our own, where there is one
        default = _of(by_name, self.hostname.lower())
        if default is None or (first.pair == self.own and first not in default.values()):
            default = {first.algorithm: first}

        def context(by_algorithm: dict[str, Certificate]) -> ssl.SSLContext:
            chosen = [certificate for _, certificate in sorted(by_algorithm.items())]
            key = tuple(certificate.pair for certificate in chosen)
            if key not in contexts:
                contexts[key] = server_context(*chosen, authorities=authorities)
            return contexts[key]

        contexts_by_name = {name: context(found) for name, found in by_name.items()}
        return _Choice(contexts_by_name, context(default), tuple(default.values()))

    def _renew_front(self, authorities: bytes) -> None:
        """The contexts that meet clients: they have the keys of the tickets, and hand over to the one that fits.

        That one verifies a client's certificate; whether it is asked for is said here (OpenSSL's SSL_set_SSL_CTX).
        """
        self.context = self._front()
        self._asking = self._front(authorities) if authorities else self.context
        self._made = time.monotonic()

    def _front(self, authorities: bytes = b"") -> ssl.SSLContext:
        front = server_context(authorities=authorities)
        front.sni_callback = self._pick
        return front

    def _pick(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        assert self._choice is not None  # or there would be no front
        connection.context = _of(self._choice.by_name, (name or "").lower()) or self._choice.default


def _of(by_name: Mapping[str, T], name: str) -> T | None:
    """What there is for exactly this name, else by a wildcard (RFC 6125 6.4.3)."""
    return by_name.get(name) or by_name.get("*." + name.partition(".")[2])
