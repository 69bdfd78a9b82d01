"""What the server's sides of POP3 and ManageSieve have in common: replies that gather, and questions to the driver."""

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from engine.protocols import sasl
from engine.protocols.scram import Keys

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Login:
    """Answer with ``logged_in`` or ``refused``; ``sasl.KeysWanted`` with ``take_keys`` or ``refused``."""

    question: sasl.Question


@dataclass(frozen=True, slots=True)
class StartTls:
    """Send what is outgoing, do the handshake, and call ``tls_started``."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Send what is outgoing and close."""


class Asking:
    """A session that asks its driver one question at a time, among them what its SASL exchange wants to know."""

    auth_failed: ClassVar[str] = ""
    """What the reply to a failed exchange begins with."""

    def __init__(self) -> None:
        self._outgoing = bytearray()
        self._question: object = None
        self._exchange: sasl.Exchange | None = None
        self._responding = False  # what comes next is a response to a challenge

    def outgoing(self) -> bytes:
        """Take all that is to be sent now."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def take_keys(self, keys: Keys) -> None:
        """Answers a login that asks ``sasl.KeysWanted``."""
        if not isinstance(self._exchange, sasl.Scram):
            raise RuntimeError("no login waits for keys")
        challenge = self._exchange.take(keys)
        self._answer(Login)
        self._challenge(challenge)

    def _step(self, response: bytes | None) -> Login | None:
        """Go on in the exchange; None: the client sent no base64."""
        assert self._exchange is not None
        if response is None:
            self._fail("this is no base64")
            return None
        return self._follow(self._exchange.step(response))

    def _follow(self, step: sasl.Step) -> Login | None:
        if isinstance(step, sasl.Challenge):
            self._challenge(step)
            return None
        if isinstance(step, sasl.Failure):
            self._fail(f"{self.auth_failed}{step.text}")
            return None
        return Login(step)

    def _fail(self, text: str) -> None:
        self._exchange = None
        self._mistake(text)

    def _mistake(self, text: str) -> None:
        """Refuse what the client said, and count it."""
        raise NotImplementedError

    def _proven(self) -> None:
        """Answers a login for good."""
        login = self._answer(Login)
        assert not isinstance(login.question, sasl.KeysWanted), "nothing has been proven yet"

    def _answer(self, *kinds: type[E]) -> E:
        """The question that waits, which is none now; RuntimeError where it is of none of these kinds."""
        question = self._question
        if not isinstance(question, kinds):
            raise RuntimeError(f"nothing asked for this answer; open: {question}")
        self._question = None
        return question

    def _challenge(self, challenge: sasl.Challenge) -> None:
        self._outgoing += self._written(challenge)
        self._responding = True

    def _written(self, challenge: sasl.Challenge) -> bytes:
        """The challenge as the protocol puts it on the wire."""
        raise NotImplementedError
