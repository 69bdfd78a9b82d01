"""A connection to an LDAP server, for one thread at a time: it blocks, but never for longer than it may."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable

from engine.config import Ldap as Settings
from engine.directory.errors import Unavailable
from engine.protocols import ldap
from engine.protocols.ber import Malformed

_PIECE = 65_536


class LdapConnection:
    """Whatever fails raises Unavailable; then it is of no use any more."""

    def __init__(self, sock: socket.socket, name: str, timeout: float) -> None:
        self._socket = sock
        self._name = name
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._answers = ldap.Answers()
        self._identity = 0

    @classmethod
    def open(cls, settings: Settings, tls: ssl.SSLContext) -> "LdapConnection":
        """A connection to the first server that can be reached, under TLS where that is asked for."""
        failures = []
        for server in settings.servers:
            try:
                return cls._to(server, settings, tls)
            except Unavailable as error:
                failures.append(str(error))
        raise Unavailable("; ".join(failures))

    @classmethod
    def _to(cls, server: str, settings: Settings, tls: ssl.SSLContext) -> "LdapConnection":
        scheme, host, port = settings.place(server)
        try:
            plain = socket.create_connection((host, port), settings.timeout)
        except OSError as error:
            raise Unavailable(f"{server}: {error.strerror or error}") from error
        connection = cls(plain, server, settings.timeout)
        try:
            if scheme == "ldap" and settings.starttls:
                connection._ask_for_tls()
            if scheme == "ldaps" or settings.starttls:
                connection._wrap(tls, host)
        except BaseException:
            connection.close()
            raise
        return connection

    def bind(self, dn: str, password: str) -> bool:
        """Whether the server takes this for its own. Not for an empty password, which proves nothing."""
        if not password:
            return False
        done = self._done(ldap.bind(self._next(), dn, password))
        if done.code != ldap.SUCCESS and done.code not in ldap.REFUSED:
            raise self._failed("bind", done)
        return done.code == ldap.SUCCESS

    def search(
        self, base: str, scope: int, wanted: bytes, attributes: Iterable[str], *, most: int
    ) -> list[ldap.Entry] | None:
        """At most ``most`` entries; None where there is no ``base``."""
        identity = self._next()
        seconds = max(1, int(self._timeout))
        self._send(ldap.search(identity, base, scope, wanted, attributes, size=most, seconds=seconds))
        found: list[ldap.Entry] = []
        while isinstance(answer := self._answer(), ldap.Entry):
            found.append(answer)
        if answer.code == ldap.NO_SUCH_OBJECT:
            return None
        if answer.code not in (ldap.SUCCESS, ldap.SIZE_LIMIT_EXCEEDED):
            raise self._failed(f"search below {base}", answer)
        return found

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.settimeout(0)
            self._socket.send(ldap.unbind(self._next()))
        self._socket.close()

    def _ask_for_tls(self) -> None:
        done = self._done(ldap.start_tls(self._next()))
        if done.code != ldap.SUCCESS:
            raise self._failed("StartTLS", done)
        if not self._answers.empty:
            # What came in the clear must not be taken for what came under TLS.
            raise Unavailable(f"{self._name}: octets between StartTLS and TLS")

    def _wrap(self, tls: ssl.SSLContext, host: str) -> None:
        try:
            self._socket.settimeout(self._left())
            self._socket = tls.wrap_socket(self._socket, server_hostname=host)
        except (OSError, ssl.CertificateError) as error:
            raise Unavailable(f"{self._name}: TLS failed: {error}") from error

    def _next(self) -> int:
        """The number of a new request, whose time begins now."""
        self._identity += 1
        self._deadline = time.monotonic() + self._timeout
        return self._identity

    def _done(self, request: bytes) -> ldap.Done:
        self._send(request)
        answer = self._answer()
        if isinstance(answer, ldap.Entry):
            raise Unavailable(f"{self._name}: an entry that nobody asked for")
        return answer

    def _send(self, request: bytes) -> None:
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(request)
        except OSError as error:
            raise Unavailable(f"{self._name}: {error.strerror or error}") from error

    def _answer(self) -> ldap.Answer:
        try:
            while (answer := self._answers.next(self._identity)) is None:
                self._socket.settimeout(self._left())
                data = self._socket.recv(_PIECE)
                if not data:
                    raise Unavailable(f"{self._name}: the server has closed the connection")
                self._answers.receive(data)
        except (OSError, Malformed) as error:
            raise Unavailable(f"{self._name}: {getattr(error, 'strerror', None) or error}") from error
        return answer

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Unavailable(f"{self._name}: no answer within {self._timeout:g} s")
        return left

    def _failed(self, what: str, done: ldap.Done) -> Unavailable:
        return Unavailable(f"{self._name}: {what}: result {done.code}{f', {done.text}' if done.text else ''}")
