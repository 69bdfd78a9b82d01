"""One connection to a milter: which steps it has been told, which answers it owes, and what they come to."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Literal, TypeAlias

from engine.protocols.milter import steps
from engine.protocols.milter.answers import CHANGES, PERMANENT, TEMPORARY, Change, Decision, Refusal, printable, refusal
from engine.protocols.milter.steps import Client, Transaction
from engine.protocols.milter.terms import Action, Step, Terms, negotiated, offer
from engine.protocols.milter.wire import MilterError, Packets, packet, texts

CHANGES_LIMIT = 64 * 1024 * 1024
"""Octets of all changes to one message: more than a message may have by default."""


CHANGES_MOST = 5000
"""Changes of one message but for pieces of another body: each is sought a place for among all fields."""


class Signal(Enum):
    """Events that say no more than their name."""

    READY = "ready"
    PROCEED = "proceed"


READY: Literal[Signal.READY] = Signal.READY
"""The terms are known: a message may ``begin``."""

PROCEED: Literal[Signal.PROCEED] = Signal.PROCEED
"""The milter owes no answer: the body may go on, or end."""

Event: TypeAlias = Signal | Decision


class State(Enum):
    """Where a connection is, as far as we have told the milter."""

    NEGOTIATING = "negotiating"
    READY = "ready"
    MESSAGE = "in a message"
    ENDED = "at the end of a message"
    DECIDED = "decided"

    __hash__ = object.__hash__


class MilterClient:
    """``MilterError`` out of ``next_event`` ends the connection; RuntimeError means a caller's mistake."""

    def __init__(self) -> None:
        self.state = State.NEGOTIATING
        self.wants_body = False
        self._outgoing: list[bytes] = [offer()]
        self._packets = Packets()
        self._owed: deque[tuple[Step, int]] = deque([(Step.NEGOTIATE, 0)])
        self._terms: Terms
        self._transaction: Transaction
        self._client: Client | None = None  # whose session the milter is in
        self._continued = False  # the last message ended with "continue"
        self._is_over = False  # the milter has decided about the whole session
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._refused: dict[int, Refusal] = {}
        self._changes: list[Change] = []
        self._changed = 0  # octets
        self._numbered = 0  # changes that are no piece of a body
        self._quarantine: str | None = None
        self._decision: Decision | None = None

    # -- what we tell

    def outgoing(self) -> bytes:
        """Take all that is to be sent now."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    @property
    def is_settled(self) -> bool:
        """Whether the last message is over for both sides, and the session is not.

        An answer that is still owed could be taken for one about the next message.
        """
        return self.state is State.DECIDED and not (self._is_over or self._owed or self._packets.pending)

    def can_follow(self, client: Client) -> bool:
        """Whether a message of that client can be the next one.

        Another client than the last one needs SMFIC_QUIT_NC. Version 6 has brought it, and libmilter heeds it only
        behind a message at the end of which the milter has said "continue".
        """
        if self.state is State.READY:
            return True
        return self.is_settled and (client == self._client or (self._terms.version >= 6 and self._continued))

    def begin(self, transaction: Transaction) -> None:
        """Tell all up to the end of the header, in one go: an answer that decides early makes the rest be ignored."""
        if not self.can_follow(transaction.client):
            raise RuntimeError(f"no message may begin here: {self.state.value}")
        if self._client is not None and transaction.client != self._client:
            self._outgoing.append(packet(b"K"))
            self._client = None
        self._begin_anew()
        self._transaction = transaction
        self.state = State.MESSAGE
        self.wants_body = Step.BODY not in self._terms.unwanted
        if self._client is None:
            self._client = transaction.client
            self._tell(steps.opening(transaction.client, self._terms))
        self._tell(steps.envelope(transaction, self._terms))
        self._tell(steps.header(transaction, self._terms))

    def body(self, piece: bytes) -> None:
        """Tell the next CHUNK octets of the body, or less."""
        if self.state is not State.MESSAGE or self._owed or not self.wants_body:
            raise RuntimeError("no body is wanted")
        self._tell([(Step.BODY, packet(Step.BODY.value, piece))])

    def end(self) -> None:
        """Tell that the message is over."""
        if self.state is not State.MESSAGE:
            raise RuntimeError(f"no message to end: {self.state.value}")
        self._outgoing.append(steps.end(self._transaction, self._terms))
        self._owed.append((Step.END, 0))
        self.state = State.ENDED

    def quit(self) -> None:
        self._outgoing.append(packet(b"Q"))

    def _tell(self, told: Iterable[tuple[Step, bytes]]) -> None:
        quiet = self._terms.unwanted | self._terms.silent
        recipients = 0
        for step, octets in told:
            self._outgoing.append(octets)
            if step not in quiet:
                self._owed.append((step, recipients))
            recipients += step is Step.RCPT

    # -- what the milter answers

    def receive(self, octets: bytes) -> None:
        """Take what has arrived."""
        self._packets.feed(octets)

    def next_event(self) -> Event | None:
        """What that comes to; None: more must arrive. MilterError."""
        if self.state is State.DECIDED:
            raise RuntimeError("the message has been decided")
        while self._owed:
            answer = self._packets.next()
            if answer is None:
                return None
            self._take(*answer)
            if self.state is State.READY:
                return READY
            if self._decision is not None:
                return self._decide(self._decision)
        if self._packets.pending:
            raise MilterError("an answer that nobody has asked for")
        return PROCEED

    def _decide(self, decision: Decision) -> Decision:
        if self.state is State.MESSAGE:
            self._outgoing.append(packet(b"A"))
            self._continued = False
        self.state = State.DECIDED
        return decision

    def _take(self, code: bytes, data: bytes) -> None:
        step, place = self._owed[0]
        on_answer = _ANSWERS[step].get(code)
        if on_answer is None:
            raise MilterError(f"the answer {code!r} to the step {step.name}")
        on_answer(self, code, data, place)
        if self._decision is not None:
            # A milter that was told no more of this client would be asked about its next message as if it had passed.
            self._is_over = step in _OF_A_SESSION or code in _OF_THE_CONNECTION

    def _on_terms(self, _code: bytes, data: bytes, _place: int) -> None:
        self._owed.popleft()
        self._terms = negotiated(data)
        self.state = State.READY

    def _on_continue(self, _code: bytes, _data: bytes, _place: int) -> None:
        step, _ = self._owed.popleft()
        if step is Step.END:
            self._accept()
            self._continued = True

    def _on_accept(self, _code: bytes, _data: bytes, _place: int) -> None:
        self._owed.popleft()
        self._accept()

    def _accept(self) -> None:
        self._continued = False
        self._decision = Decision(
            "pass",
            refused=self._refused,
            changes=tuple(self._changes),
            quarantine=self._quarantine,
            leading_space=self._terms.leading_space,
        )

    def _on_refusal(self, code: bytes, data: bytes, place: int) -> None:
        said = refusal(data) if code == b"y" else PERMANENT if code == b"r" else TEMPORARY
        step, _ = self._owed.popleft()
        if step is Step.RCPT and code not in _OF_THE_CONNECTION:
            self._refused[place] = said
            if len(self._refused) < len(self._transaction.recipients):
                return
        self._continued = False
        self._decision = Decision("refuse", refusal=said, refused=self._refused)

    def _on_discard(self, _code: bytes, _data: bytes, _place: int) -> None:
        self._owed.popleft()
        self._continued = False
        self._decision = Decision("discard", refused=self._refused)

    def _on_skip(self, _code: bytes, _data: bytes, _place: int) -> None:
        if not self._terms.skip:
            raise MilterError("it skips the rest of the body, which was not agreed upon")
        self._owed.popleft()
        self.wants_body = False

    def _on_progress(self, _code: bytes, _data: bytes, _place: int) -> None:
        """It needs more time, which is its caller's to give."""

    def _on_quarantine(self, _code: bytes, data: bytes, _place: int) -> None:
        self._permit(Action.QUARANTINE)
        self._quarantine = printable(texts(data, "a reason for the quarantine")[0])

    def _on_change(self, code: bytes, data: bytes, _place: int) -> None:
        action, parse = CHANGES[code]
        self._permit(action)
        self._changed += len(data)
        if self._changed > CHANGES_LIMIT:
            raise MilterError(f"changes of more than {CHANGES_LIMIT} octets")
        self._numbered += action is not Action.CHANGE_BODY
        if self._numbered > CHANGES_MOST:
            raise MilterError(f"more than {CHANGES_MOST} changes")
        self._changes.append(parse(data))

    def _permit(self, action: Action) -> None:
        if not self._terms.actions & action:
            raise MilterError(f"it did not say that it would {action.name or ''}".lower().replace("_", " "))


_OnAnswer: TypeAlias = Callable[[MilterClient, bytes, bytes, int], None]

_OF_A_SESSION = frozenset({Step.CONNECT, Step.HELO})

_OF_THE_CONNECTION = b"f4"
"""Connection failure and shutdown: they are about no single recipient."""

_VERDICTS: Mapping[bytes, _OnAnswer] = {
    b"c": MilterClient._on_continue,
    b"a": MilterClient._on_accept,
    b"r": MilterClient._on_refusal,
    b"t": MilterClient._on_refusal,
    b"y": MilterClient._on_refusal,
    b"f": MilterClient._on_refusal,
    b"4": MilterClient._on_refusal,
    b"p": MilterClient._on_progress,
}
_IN_MESSAGE: Mapping[bytes, _OnAnswer] = {**_VERDICTS, b"d": MilterClient._on_discard}

_ANSWERS: Mapping[Step, Mapping[bytes, _OnAnswer]] = {
    Step.NEGOTIATE: {b"O": MilterClient._on_terms},
    Step.CONNECT: _VERDICTS,
    Step.HELO: _VERDICTS,
    Step.MAIL: _IN_MESSAGE,
    Step.RCPT: _IN_MESSAGE,
    Step.DATA: _IN_MESSAGE,
    Step.HEADER: _IN_MESSAGE,
    Step.EOH: _IN_MESSAGE,
    Step.BODY: {**_IN_MESSAGE, b"s": MilterClient._on_skip},
    Step.END: {
        **_IN_MESSAGE,
        **dict.fromkeys(CHANGES, MilterClient._on_change),
        b"q": MilterClient._on_quarantine,
    },
}
"""What a milter may answer to each step, by the code of the answer."""
