"""A virtual site's side of one connection: octets in, timed answers and ends out. It owns no socket and no clock."""

import enum
from collections import Counter, deque
from collections.abc import Callable, Mapping

from engine.units import Rate
from tests.relay.behaviour import Behaviour, Place
from tests.relay.tally import Tally


class Turn(enum.Enum):
    """What is to be done with a connection once all that stands before is said."""

    CLOSE = "close it"
    RESET = "break it"
    TLS = "wait for a handshake"
    FLOOD = "say lines without an end"
    LINE = "say a line without an end"


Out = tuple[float, bytes | Turn]
"""From which moment on, what."""

LINE_END = b"\r\n"
_CONTENT_END = b"\r\n.\r\n"


class _Window:
    """What came within the period of a rate."""

    def __init__(self, rate: str) -> None:
        self._rate = Rate(rate)
        self._moments: deque[float] = deque()

    def full(self, now: float) -> bool:
        while self._moments and self._moments[0] <= now - self._rate.period:
            self._moments.popleft()
        return len(self._moments) >= self._rate.most

    def take(self, now: float) -> None:
        self._moments.append(now)


class Site:
    """One host, with what it remembers of all its connections."""

    def __init__(self, place: Place, started: float) -> None:
        self.place = place
        self.tally = Tally()
        self._started = started
        self._domains = {domain.encode() for domain in place.domains}
        self._triplets: dict[tuple[str, bytes, bytes], float] = {}
        self._asked: Counter[str] = Counter()
        self._coming: deque[tuple[float, Behaviour]] = deque()
        self.behave(place.behaviour)

    def behave(self, behaviour: Behaviour) -> None:
        """Do this from now on; what is to come ``later`` counts from the start."""
        self._coming = deque(behaviour.stages())
        self._begin(self._coming.popleft()[1])

    def _begin(self, behaviour: Behaviour) -> None:
        self.now = behaviour
        self.plain = not (behaviour.steps or behaviour.delays or behaviour.trickle)
        self.messages = [_Window(rate) for rate in behaviour.messages]
        self.recipients = [_Window(rate) for rate in behaviour.recipients]
        self.greeting = f"220 {self.place.host}.{self.place.domains[0]} ESMTP\r\n".encode()

    def look(self, now: float) -> None:
        """Do what it is time for."""
        while self._coming and self._coming[0][0] <= now - self._started:
            self._begin(self._coming.popleft()[1])

    def act(self, step: str, about: str = "") -> str:
        """What is scripted for a step: a reply, "!" with a fault, or nothing."""
        if not self.now.steps:
            return ""
        found = ""
        for key in self.now.steps:
            verb, _, prefix = key.partition(" ")
            if verb == step and about.startswith(prefix) and len(key) > len(found):
                found = key
        if not found:
            return ""
        answers = self.now.steps[found]
        if isinstance(answers, str):
            return answers
        place = self._asked[found]
        self._asked[found] += 1
        return answers[place % len(answers) if self.now.again else min(place, len(answers) - 1)]

    def delay(self, step: str) -> float:
        return self.now.delays.get(step, self.now.delays.get("*", 0.0))

    def takes(self, recipient: bytes) -> bool:
        """Whether mail for it ends here."""
        return recipient.rpartition(b"@")[2].lower() in self._domains

    def unknown(self, triplet: tuple[str, bytes, bytes], now: float) -> bool:
        """Whether a triplet is too new."""
        return bool(self.now.greylist) and now < self._triplets.setdefault(triplet, now) + self.now.greylist


class Dialog:
    """One connection. ``out`` is what is to be said and done, in order."""

    __slots__ = (
        "_awaits_content", "_begun", "_chunk", "_deaf", "_ended", "_in_content", "_last", "_last_chunk", "_peer",
        "_recipients", "_sender", "_served", "_site", "_tally", "_touched", "_unread", "encrypted", "out",
    )  # fmt: skip

    def __init__(self, site: Site, peer: str, now: float) -> None:
        self.out: deque[Out] = deque()
        self.encrypted = False
        self._site = site
        self._tally = site.tally
        self._peer = peer
        self._unread = b""
        self._last = 0.0  # the moment of the last answer
        self._deaf = False  # whatever comes is ignored
        self._served = 0
        self._begun = 0.0  # the moment of the last MAIL
        self._ended = 0.0  # when the last transaction was over
        self._chunk = 0  # octets of a BDAT that are still to come
        self._last_chunk = False
        self._awaits_content = False
        self._in_content = False
        self._touched = False  # whether octets of this content have come
        self._sender: bytes | None = None
        self._recipients: list[bytes] = []
        self._open(now)

    # -- what comes

    def _open(self, now: float) -> None:
        site = self._site
        site.look(now)
        self._tally.opened()
        if site.now.connections and self._tally.open > site.now.connections:
            self._tally.refused += 1
            self._say("CONNECT", site.now.busy.encode() + LINE_END, now)
            self._end(Turn.CLOSE)
        else:
            self._answer("CONNECT", site.greeting, now)

    def receive(self, octets: bytes, now: float) -> None:
        self._site.look(now)
        unread = self._unread + octets if self._unread else octets
        place: int | None = 0
        while place is not None and not self._deaf:
            kept = place
            if self._in_content:
                kept, place = self._content(unread, place, now)
            elif self._chunk:
                kept, place = self._octets(unread, place, now)
            else:
                place = self._line(unread, place, now)
        self._unread = b"" if self._deaf else unread[kept:]

    def _line(self, unread: bytes, start: int, now: float) -> int | None:
        """Do what the command says that begins there; where the next one does. None: more must come."""
        end = unread.find(b"\n", start)
        if end < 0:
            return None
        line = unread[start:end].rstrip(b"\r")
        _COMMANDS.get(line[:4].upper(), Dialog._unknown)(self, line, now)
        # The end of the line with DATA may be the one before the dot.
        return end - 1 if self._in_content else end + 1

    def _content(self, unread: bytes, start: int, now: float) -> tuple[int, int | None]:
        """From where on octets are kept, and where the next command begins."""
        if len(unread) - start > len(LINE_END) and not self._touch(now):
            return start, None
        end = unread.find(_CONTENT_END, start)
        if end < 0:
            return max(start, len(unread) - len(_CONTENT_END) + 1), None
        self._in_content = False
        self._over(now)
        after = end + len(_CONTENT_END)
        return after, after

    def _octets(self, unread: bytes, start: int, now: float) -> tuple[int, int | None]:
        """As ``_content``, for what comes by BDAT."""
        taken = min(self._chunk, len(unread) - start)
        if taken and not self._touch(now):
            return start, None
        self._chunk -= taken
        if self._chunk:
            return start + taken, None
        self._chunk_over(now)
        return start + taken, start + taken

    def _touch(self, now: float) -> bool:
        """Octets of a content have come. Whether it goes on."""
        if self._touched or self._site.plain:
            return True
        self._touched = True
        act = self._site.act("CONTENT")
        return act in ("", "ok") or self._do("CONTENT", act, b"", now)

    def secured(self) -> None:
        """TLS has begun: all that was said before is forgotten (RFC 3207 4.2)."""
        self.encrypted = True
        self._tally.encrypted += 1
        self._deaf = False
        self._unread = b""
        self._reset()

    def lost(self) -> None:
        """The connection has ended."""
        self._deaf = True
        self._tally.open -= 1
        self._tally.most_messages = max(self._tally.most_messages, self._served)

    # -- commands

    def _ehlo(self, line: bytes, now: float) -> None:
        self._reset()
        offers = [*self._site.now.extensions]
        tls = self._site.now.tls
        if not self.encrypted and tls != "none":
            offers.append("XXXXXXXA" if tls == "stripped" else "STARTTLS")
        lines = [self._site.place.host, *offers]
        reply = "".join(f"250-{each}\r\n" for each in lines[:-1]) + f"250 {lines[-1]}\r\n"
        self._answer("EHLO", reply.encode(), now)

    def _helo(self, line: bytes, now: float) -> None:
        self._reset()
        self._answer("HELO", b"250 " + self._site.place.host.encode() + LINE_END, now)

    def _starttls(self, line: bytes, now: float) -> None:
        tls = self._site.now.tls
        if tls in ("none", "stripped") or self.encrypted:
            self._say("STARTTLS", b"502 5.5.1 Not here\r\n", now)
        elif tls == "refused":
            self._say("STARTTLS", b"454 4.7.0 TLS is not available now\r\n", now)
        elif self._answer("STARTTLS", b"220 2.0.0 Go ahead\r\n", now):
            if tls == "garbage":
                self._say("STARTTLS", 100 * b"no TLS ", now)
            self._end(Turn.CLOSE if tls in ("garbage", "drop") else Turn.TLS)

    def _mail(self, line: bytes, now: float) -> None:
        site = self._site
        self._tally.asked.append(now)
        self._begun = now
        most = site.now.per_connection
        if most and self._served >= most and site.now.parting:
            self._refuse("MAIL", site.now.parting, now)
        elif any(window.full(now) for window in site.messages):
            self._refuse("MAIL", site.now.over, now)
        elif self._answer("MAIL", b"250 2.1.0 Ok\r\n", now, _local(line)):
            for window in site.messages:
                window.take(now)
            self._sender = _address(line)

    def _rcpt(self, line: bytes, now: float) -> None:
        site, recipient = self._site, _address(line)
        self._tally.recipients.append(now)
        if self._sender is None:
            self._refuse("RCPT", "503 5.5.1 No sender", now)
        elif not site.takes(recipient):
            self._refuse("RCPT", "550 5.7.1 Relaying denied", now)
        elif any(window.full(now) for window in site.recipients):
            self._refuse("RCPT", site.now.over, now)
        elif site.unknown((self._peer, self._sender, recipient), now):
            self._refuse("RCPT", "451 4.7.1 Greylisted, try again later", now)
        elif self._answer("RCPT", b"250 2.1.5 Ok\r\n", now, _local(line)):
            for window in site.recipients:
                window.take(now)
            self._recipients.append(recipient)

    def _data(self, line: bytes, now: float) -> None:
        if not self._recipients:
            self._refuse("DATA", "554 5.5.1 No valid recipients", now)
        elif self._answer("DATA", b"354 End with a dot\r\n", now):
            self._in_content, self._touched = True, False

    def _bdat(self, line: bytes, now: float) -> None:
        words = line.split()
        self._chunk = int(words[1])
        self._last_chunk = words[-1].upper() == b"LAST"
        if not self._awaits_content:
            self._touched = False
        self._awaits_content = True
        if not self._chunk:
            self._chunk_over(now)

    def _chunk_over(self, now: float) -> None:
        if self._last_chunk:
            self._awaits_content = False
            self._over(now)
        elif self._recipients:
            self._say("BDAT", b"250 2.0.0 Octets taken\r\n", now)
        else:
            self._refuse("DATA", "503 5.5.1 No recipients", now)

    def _over(self, now: float) -> None:
        """A content has come to its end."""
        recipients, begun = self._recipients, self._begun
        self._reset()
        if not recipients:
            self._refuse("DATA", "554 5.5.1 No valid recipients", now)
            return
        act = "" if self._site.plain else self._site.act(".", recipients[0].decode())
        if act in ("", "ok", "!taken", "!twice", "!long", "!bare") or act.startswith("2"):
            self._tally.taken += [(now, recipient.decode()) for recipient in recipients]
            self._served += 1
        self._do(".", act, b"250 2.0.0 Ok: taken\r\n", now)
        before, self._ended = self._ended, max(self._last, now)
        self._tally.spans.extend((max(begun, before), self._ended))  # the next MAIL may come before this answer is due
        most = self._site.now.per_connection
        if most and self._served >= most and not self._site.now.parting:
            self._end(Turn.CLOSE)

    def _rset(self, line: bytes, now: float) -> None:
        self._reset()
        self._answer("RSET", b"250 2.0.0 Ok\r\n", now)

    def _noop(self, line: bytes, now: float) -> None:
        self._say("NOOP", b"250 2.0.0 Ok\r\n", now)

    def _quit(self, line: bytes, now: float) -> None:
        self._answer("QUIT", b"221 2.0.0 Bye\r\n", now)
        self._end(Turn.CLOSE)

    def _unknown(self, line: bytes, now: float) -> None:
        self._say("", b"500 5.5.1 What?\r\n", now)

    def _reset(self) -> None:
        self._sender, self._recipients = None, []

    # -- answers

    def _answer(self, step: str, usual: bytes, now: float, about: str = "") -> bool:
        """Answer as the site does at that step. Whether it is a yes."""
        if self._site.plain:
            self.out.append((0.0, usual))
            return True
        return self._do(step, self._site.act(step, about), usual, now)

    def _do(self, step: str, act: str, usual: bytes, now: float) -> bool:
        if act in ("", "ok"):
            self._say(step, usual, now)
            return True
        if act.startswith("!"):
            self._tally.faults[f"{step} {act[1:]}"] += 1
            return self._fail(step, act[1:], usual, now)
        self._refuse(step, act, now)
        return act[0] in "23"

    def _refuse(self, step: str, reply: str, now: float) -> None:
        self._tally.said(step, reply)
        self._say(step, reply.encode() + LINE_END, now)
        if reply.startswith("421"):
            self._end(Turn.CLOSE)

    def _fail(self, step: str, fault: str, usual: bytes, now: float) -> bool:
        if fault in _SPOILT:
            self._say(step, _SPOILT[fault](usual), now)
            if fault == "half":
                self._end(Turn.CLOSE)
            return fault in _HARMLESS
        self._say(step, b"", now)  # it takes its time for this as well
        self._end(_ENDS.get(fault))
        return False

    def _say(self, step: str, octets: bytes, now: float) -> None:
        if self._site.plain:
            self.out.append((0.0, octets))
            return
        moment = max(now, self._last) + self._site.delay(step)
        trickle = self._site.now.trickle
        if trickle:
            for octet in octets:
                moment += 1 / trickle
                self.out.append((moment, bytes((octet,))))
        else:
            self.out.append((moment, octets))
        self._last = moment

    def _end(self, turn: Turn | None) -> None:
        """Hear no more, and do that behind what is to be said; None: nothing."""
        self._deaf = True
        if turn is not None:
            self.out.append((self._last, turn))


_ENDS: Mapping[str, Turn] = {
    "drop": Turn.CLOSE,
    "taken": Turn.CLOSE,
    "reset": Turn.RESET,
    "flood": Turn.FLOOD,
    "line": Turn.LINE,
}

_HARMLESS = ("long", "bare", "twice")
"""A client may go on behind these."""

_SPOILT: Mapping[str, Callable[[bytes], bytes]] = {
    "long": lambda usual: b"".join(usual[:3] + b"-" + 500 * b"x" + LINE_END for _ in range(60)) + usual,
    "overlong": lambda usual: usual.rstrip() + b" " + 6000 * b"x" + LINE_END,
    "nonsense": lambda _: b"\xff\x00 nonsense\r\n",
    "bare": lambda usual: usual.replace(LINE_END, b"\n"),
    "twice": lambda usual: 2 * usual,
    "half": lambda usual: usual[: len(usual) // 2],
    "mixed": lambda usual: b"250-One thing\r\n550 Another\r\n",
}

_COMMANDS: Mapping[bytes, Callable[[Dialog, bytes, float], None]] = {
    b"EHLO": Dialog._ehlo,
    b"HELO": Dialog._helo,
    b"STAR": Dialog._starttls,
    b"MAIL": Dialog._mail,
    b"RCPT": Dialog._rcpt,
    b"DATA": Dialog._data,
    b"BDAT": Dialog._bdat,
    b"RSET": Dialog._rset,
    b"NOOP": Dialog._noop,
    b"QUIT": Dialog._quit,
}


def _address(line: bytes) -> bytes:
    """What stands in the angle brackets."""
    return line.partition(b"<")[2].partition(b">")[0]


def _local(line: bytes) -> str:
    return _address(line).rpartition(b"@")[0].decode(errors="replace")
