"""Hand messages to another mail store, by LMTP (RFC 2033)."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar

from engine import Defer, Message, Verdict
from engine.config.names import is_loopback
from engine.net.certificates import CertificateError, read_authorities
from engine.net.targets import host_and_port
from engine.outbound.credentials import BadCredentials, Credentials, read_password, verifying
from engine.outbound.one_server import OneServer
from engine.outbound.schedule import retry_delay
from engine.outbound.sending import Sending
from engine.outbound.way import Security


@dataclass
class Lmtp(OneServer):
    """Delivers into a store such as Dovecot or Cyrus, and returns what it said of each recipient."""

    site: ClassVar[str] = "store"
    port: ClassVar[int] = 24
    """RFC 2033 5 leaves the port to the site, but for 25; this one is for private mail systems (RFC 1700)."""

    _: KW_ONLY
    login_file: Path | None = None
    """The name in its first line, the password in the second. Then TLS is demanded, and verified."""
    trust: Path | None = None
    """PEM file of the authorities that vouch for the store, in place of those that the system trusts."""
    certificate: Path | None = None
    """Ours, for a login by it (RFC 4422, EXTERNAL)."""
    key: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._who: Credentials | None = None
        if self.login_file or self.certificate:
            # The password must be for the store alone: nobody on the way is to read it.
            clear = bool(self.socket) or self.tls == "never"
            self._security = Security("never" if clear else "verify")
            self._who = Credentials(self.login_file, self.trust, self.certificate, self.key, in_the_clear=clear)

    @classmethod
    def check(cls, **settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        yield from super().check(**settings)
        if settings.get("login_file") or settings.get("certificate"):
            yield from _wrong_with_login(cls.port, settings)
        if bool(settings.get("certificate")) != bool(settings.get("key")):
            yield "certificate and key go together"
        elif (trust := settings.get("trust")) is not None and not settings.get("certificate"):
            try:
                read_authorities(trust)
            except CertificateError as error:
                yield f"trust: {error}"

    def _made(self) -> Sending:
        return self._by_one(lmtp=True, trust=self.trust)

    async def __call__(self, message: Message) -> Verdict:
        if self._who is not None:
            try:
                self._way = self._way._replace(login=self._who.login())
            except BadCredentials as error:
                return Defer(
                    "Cannot log in to the store now",
                    code="4.3.5",
                    log=f"{error.key}: {error}",
                    retry_after=retry_delay(self.retry, message.envelope.attempts),
                    expires=message.envelope.begun + self.expire,
                )
        return await super().__call__(message)


def _wrong_with_login(port: int, settings: dict[str, Any]) -> Iterator[str]:
    """What is wrong with who we say to be."""
    host, path, tls = settings.get("host", ""), settings.get("socket", ""), settings.get("tls", "")
    try:
        here = bool(path) or is_loopback(host_and_port(host, port)[0])
    except ValueError:
        here = True  # which is told of the host
    if tls == "never" and not here:
        yield 'tls = "never" with a login is for this machine alone: elsewhere the password could be read'
    if tls == "require":
        yield 'with a login the store is verified as well: tls = "verify" in place of "require"'
    certificate = settings.get("certificate")
    if certificate and (path or tls == "never"):
        yield "there is no certificate without TLS"
    try:
        if login_file := settings.get("login_file"):
            read_password(login_file)
        if certificate and settings.get("key"):
            verifying(settings.get("trust"), certificate, settings["key"])
    except BadCredentials as error:
        yield f"{error.key}: {error}"
