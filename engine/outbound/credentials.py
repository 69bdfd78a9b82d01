"""Who we are to a server that knows us: a login, and what TLS is to show, read from the files that settings name."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from engine.net.certificates import CertificateError
from engine.net.tls import client_context
from engine.outbound.way import Login
from engine.protocols.sasl_client import Password


class BadCredentials(Exception):
    """A file cannot be used. ``key`` is the setting that names it; the text has none of what is in it."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def read_password(path: Path, key: str = "login_file") -> Password:
    """The name in the first line, the password in the second, as they are: spaces count. BadCredentials."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise BadCredentials(key, f"cannot read {path}: {reason}") from error
    if len(lines) != 2 or not all(lines):
        raise BadCredentials(key, f"{path} must have two lines: the name, and the password")
    return Password(*lines)


def verifying(
    trust: Path | None, certificate: Path | None, key: Path | None, *, beside: bool = False
) -> ssl.SSLContext:
    """TLS that verifies the server, and shows our certificate where there is one. BadCredentials.

    ``trust`` has the authorities that count in place of the system's, or (``beside``) besides them.
    """
    named = "trust"
    try:
        context = client_context(verify=True, trust=None if beside else trust)
        if trust is not None and beside:
            context.load_verify_locations(cafile=str(trust))
        named = "certificate"
        if certificate is not None:
            context.load_cert_chain(str(certificate), str(key))
    except CertificateError as error:
        raise BadCredentials(named, str(error)) from error
    except OSError as error:
        raise BadCredentials(named, f"it cannot be used: {error.strerror or error}") from error
    return context


@dataclass
class Credentials:
    """Those of one server, read anew once a file has changed. ``in_the_clear``: the server is on this machine."""

    login_file: Path | None
    trust: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    in_the_clear: bool = False
    _read: tuple[object, Login] | None = field(default=None, init=False, repr=False)

    def login(self) -> Login:
        """The login; the same one as long as the files are the same. BadCredentials."""
        seen = [_seen(path) for path in (self.login_file, self.trust, self.certificate, self.key)]
        if self._read is None or self._read[0] != seen:
            self._read = seen, self._made()
        return self._read[1]

    def _made(self) -> Login:
        who = read_password(self.login_file) if self.login_file else Password()
        if self.in_the_clear:
            return Login(who)
        context = verifying(self.trust, self.certificate, self.key)
        return Login(who, context, self.certificate is not None)


def _seen(path: Path | None) -> tuple[int, int, int] | None:
    """By what it is known that a file has changed; None: it cannot be read, or there is none."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size) if found else None
